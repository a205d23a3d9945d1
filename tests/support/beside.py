"""What lies beside the environment, in folders that only processes that need it put on their path.

timm and torchvision cannot be in one environment with a PyTorch of another build; Triton cannot be
in one process with TensorFlow, and PyTorch loads it where it is installed.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

BESIDE = Path(sys.prefix) / "beside"
TRITON = Path(sys.prefix) / "triton"

_DECLARED = """
import sys, torch
sys.path.insert(0, {beside!r})
try:
    import torchvision
except RuntimeError:
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        operators.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
# Where PyTorch is of another build, torchvision's compiled part does not load; a vision transformer
# does not use it, but torchvision's Python part does not load without these two operators.


def missing() -> str | None:
    """What is missing, in words; ``None``: nothing."""
    if find_spec("torchvision") or BESIDE.exists():
        return None
    return f"timm needs torchvision: `make test` puts both into {BESIDE}"


def prelude() -> str:
    """What a script begins with that imports them."""
    return "" if find_spec("torchvision") else _DECLARED.format(beside=str(BESIDE))
