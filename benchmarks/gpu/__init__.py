"""The kernels on a GPU beside named peers: ``make bench-gpu``."""
