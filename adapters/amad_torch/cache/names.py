"""What names a sample: the content of its entries, without padding."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from amad_torch.padding import real_tokens

_REMEDY = (
    "number the samples, give the numbers in the batch, and name that entry to cache_teacher: "
    "index='index'"
)


def sample_names(batch: Mapping[str, Any], named_by: Iterable[str]) -> list[str]:
    """For each sample 128 bits in hexadecimal, which follow from these entries of its own.

    Padding does not count, so that a sample has one name in whatever batch it comes: tokens that
    ``attention_mask``, ``decoder_attention_mask`` or ``labels`` leave out.

    Raises:
        ValueError: an entry that the batch lacks, or that has not one row for each sample.
        TypeError: an entry that is no tensor, number or text.
    """
    entries = {name: _given(batch, name) for name in named_by}
    sizes = {
        name: len(one) for name, one in entries.items() if isinstance(one, Tensor) and one.dim()
    }
    if not sizes:
        raise ValueError(f"no entry of the batch has one row for each sample; {_REMEDY}")
    samples = next(iter(sizes.values()))
    if set(sizes.values()) != {samples}:
        raise ValueError(
            f"entries that name samples must have one row for each; got {sizes} rows: {_REMEDY}"
        )
    hashes = [hashlib.blake2b(digest_size=16) for _ in range(samples)]
    for name, value in entries.items():
        if not isinstance(value, Tensor) or not value.dim():
            shared = f"{name}={value.item() if isinstance(value, Tensor) else value!r};".encode()
            for one in hashes:
                one.update(shared)
            continue
        rows = _plain(value)
        real = _real(batch, name, value)
        for number, one in enumerate(hashes):
            row = rows[number] if real is None else rows[number][real[number]]
            one.update(f"{name}:{row.dtype}{row.shape};".encode())
            one.update(np.ascontiguousarray(row).data)
    return [one.hexdigest() for one in hashes]


def _given(batch: Mapping[str, Any], name: str) -> Any:
    value = batch.get(name)
    if value is None:
        known = ", ".join(map(repr, batch)) or "nothing"
        raise ValueError(
            f"samples of the cache are named by {name!r}, which the batch lacks (it has {known}): "
            "give it, or build the cache from batches without it"
        )
    if not isinstance(value, Tensor | bool | int | float | str):
        raise TypeError(
            f"entries that name samples must be tensors, numbers or text; {name!r} is a "
            f"{type(value).__name__}: {_REMEDY}"
        )
    return value


def _plain(value: Tensor) -> NDArray[Any]:
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:
        value = value.view(torch.int16)
    elif not value.is_floating_point():
        value = value.long()
    found: NDArray[Any] = value.numpy()
    return found


def _real(batch: Mapping[str, Any], name: str, value: Tensor) -> NDArray[Any] | None:
    """``[B, L]``, true where an entry of tokens holds no padding."""
    if value.dim() != 2 and not (value.dim() == 3 and name.endswith("embeds")):
        return None
    of_decoder = name == "labels" or name.startswith("decoder_")
    for mask in ("decoder_attention_mask", "labels") if of_decoder else ("attention_mask",):
        given = batch.get(mask)
        if isinstance(given, Tensor) and given.shape == value.shape[:2]:
            found: NDArray[Any] = real_tokens(batch, mask).cpu().numpy()
            return found
    return None
