"""Right ports as source text, and how to spoil them."""

RIGHT_MSE = """
import numpy as np

def loss(teacher, student):
    t, s = (maps.reshape(*maps.shape[:2], -1) for maps in (teacher, student))
    t = t / np.linalg.norm(t, axis=-1, keepdims=True)
    s = s / np.linalg.norm(s, axis=-1, keepdims=True)
    weights = np.exp(t @ s.swapaxes(-1, -2))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return ((t - weights @ s) ** 2).sum(axis=(1, 2)).mean()
"""

RIGHT_TORCH_KL = """
import torch
import torch.nn.functional as F

def loss(teacher, student, mask=None):
    teacher = teacher.detach()
    if mask is not None:
        teacher, student = (m.masked_fill(~mask[:, None], 0) for m in (teacher, student))
    t, s = teacher.flatten(2), student.flatten(2)
    weights = (F.normalize(t, dim=-1) @ F.normalize(s, dim=-1).mT).softmax(-1)
    mixture = weights @ F.normalize(s, p=1, dim=-1)
    target = F.normalize(t, p=1, dim=-1)
    logarithm = mixture.clamp_min(torch.finfo(t.dtype).tiny).log()
    divergence = F.kl_div(logarithm, target, reduction="none")
    return divergence.sum((1, 2)).mean()
"""


FLOOR = "torch.finfo(t.dtype).tiny"
"""The floor of the port above, one that every dtype holds."""


def spoilt(source: str, old: str, new: str) -> str:
    """The source with one thing changed; an error where that thing is not there."""
    assert source.count(old) == 1, old
    return source.replace(old, new)
