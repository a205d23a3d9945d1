"""What runs on the GPU. Untyped, as Triton's language is; importing it imports Triton."""
