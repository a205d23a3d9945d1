"""Which teacher it was: one number for all that its outputs follow from."""

import hashlib
import json
from itertools import chain
from typing import Any

import torch
from torch import nn

from amad_torch.models import unwrapped

_NOT_OF_THE_OUTPUT = {
    "architectures", "attn_implementation", "dtype", "id2label", "label2id", "output_attentions",
    "output_hidden_states", "problem_type", "return_dict", "torch_dtype", "transformers_version",
    "use_cache",
}  # fmt: skip
"""Settings that do not change the numbers, some of which a forward pass writes itself."""


@torch.no_grad()
def teacher_fingerprint(teacher: nn.Module) -> str:
    """SHA-256 of the class, the settings, and all parameters and buffers with their names.

    Where the model is, what attends in it (SDPA, eager) and where it was loaded from do not count.
    """
    model = unwrapped(teacher)
    found = hashlib.sha256(f"{type(model).__name__};{_settings(model)};".encode())
    for name, value in chain(model.named_parameters(), model.named_buffers()):
        found.update(f"{name}:{value.dtype}{tuple(value.shape)};".encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        found.update(plain.view(torch.uint8).numpy().data)
    return found.hexdigest()


def _settings(model: nn.Module) -> str:
    config = getattr(model, "config", None)
    if not callable(to_dict := getattr(config, "to_dict", None)):
        return ""
    return json.dumps(_numbers(to_dict()), sort_keys=True, default=str)


def _numbers(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        str(name): _numbers(one)
        for name, one in value.items()
        if not str(name).startswith("_") and name not in _NOT_OF_THE_OUTPUT
    }
