"""The protocol as data: what is asked, which cells answer it, and in what order they run."""
