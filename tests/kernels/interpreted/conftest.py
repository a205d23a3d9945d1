"""These run in a process of their own, in which Triton is an interpreter from its import on."""

from amad_torch.kernels.availability import interpreted

if not interpreted():
    collect_ignore_glob = ["test_*.py"]
