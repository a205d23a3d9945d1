"""These run in a process of their own, into which Triton is loaded."""

import os

if "TRITON_APART" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
