"""Whether the kernels can take these tensors."""

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
"""Of maps, queries and keys. Sums are float32 in all; float64 is left to plain torch."""

MOST_HEADS = 64
"""One program holds all heads of some cells: more than these do not fit its registers."""

_CAPABILITY = (8, 0)
"""The first of NVIDIA's GPUs with products of bfloat16."""


def serves(teacher: Tensor, student: Tensor) -> bool:
    """Whether maps, or queries, ``[B, H, ...]``, are of a kind, and where, kernels can take them.

    That is on a GPU, with Triton installed. With ``TRITON_INTERPRET=1`` in the environment, Triton
    runs its programs in NumPy: then on the CPU, for tests.
    """
    both = teacher, student
    return _runs_on(student.device) and all(
        one.device == student.device
        and one.dtype in DTYPES
        and one.dim() == 4
        and one.shape[1] <= MOST_HEADS
        for one in both
    )


def _runs_on(device: torch.device) -> bool:
    if torch.compiler.is_compiling():
        return False  # a compiler makes kernels of its own, of the formulas
    if device.type == "cpu":
        return interpreted() and _installed()
    return device.type == "cuda" and not interpreted() and _installed() and _capable(device)


def interpreted() -> bool:
    """Whether Triton runs its programs on the CPU, as its own environment variable says."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


def in_integers(values: Tensor) -> bool:
    """Whether Triton would take these for integers: its interpreter does so with bfloat16.

    It multiplies their bits, and cuts off where it should round: there they are widened first.
    """
    return interpreted() and values.dtype == torch.bfloat16


@cache
def _installed() -> bool:
    return find_spec("triton") is not None


@cache
def _capable(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= _CAPABILITY
