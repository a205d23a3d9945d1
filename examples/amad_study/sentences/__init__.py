"""A teacher that was really pre-trained: MiniLM, and students of sentences with fewer heads."""
