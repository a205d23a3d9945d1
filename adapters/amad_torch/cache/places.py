"""Where the tokens of each sample are in a batch, and samples put there."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from amad_torch.cache.layout import stored_tokens
from amad_torch.padding import real_tokens

Place: TypeAlias = slice | Tensor
"""Where a sample's tokens are among the batch's."""


class Padding:
    """Where the tokens of each sample are in a batch."""

    def __init__(self, batch: Mapping[str, Any]) -> None:
        self._batch = batch
        self._found: dict[tuple[str, bool], tuple[int, list[Place], list[int]]] = {}
        self.device = next(
            (one.device for one in batch.values() if isinstance(one, Tensor)), torch.device("cpu")
        )

    def axis(
        self, entry: str | None, sizes: Sequence[int], what: str, of_logits: bool = False
    ) -> tuple[int, list[Place]]:
        """The length of an axis, and each sample's place on it.

        Raises:
            ValueError: the batch says other numbers of tokens than were stored, or says none where
                samples differ.
        """
        if entry is None or not isinstance(self._batch.get(entry), Tensor):
            if len(set(sizes)) > 1:
                without = "" if entry is None else f" without {entry!r}"
                raise ValueError(
                    f"{what} has {sorted(set(sizes))} tokens in the samples of one batch, and the "
                    f"cache knows no mask for them{without}: give masks in the first batch of "
                    "cache_teacher and here, or batches of one length"
                )
            return sizes[0], [slice(None)] * len(sizes)
        key = entry, of_logits
        if key not in self._found:
            real = real_tokens(self._batch, entry).cpu()
            real = stored_tokens(real) if of_logits else real
            self._found[key] = real.shape[1], _places(real), real.sum(1).tolist()
        length, places, counts = self._found[key]
        if counts != list(sizes):
            raise ValueError(
                f"{what} was stored with {list(sizes)} tokens in these samples, of which {entry!r} "
                f"leaves {counts}: the data is not what the cache was built from; build it again"
            )
        return length, places


def padded(parts: Sequence[Tensor], *axes: tuple[int, list[Place]]) -> Tensor:
    """Parts ``[H, q, ...]`` or ``[H, q, k]`` as one batch, 0 (false) where there is padding."""
    lengths = [length for length, _ in axes]
    if all(list(part.shape[1 : 1 + len(axes)]) == lengths for part in parts):
        return torch.stack(list(parts))
    rest = parts[0].shape[1 + len(axes) :]
    found = parts[0].new_zeros(len(parts), parts[0].shape[0], *lengths, *rest)
    for number, part in enumerate(parts):
        places = [places[number] for _, places in axes]
        if len(places) == 2 and not all(isinstance(one, slice) for one in places):
            rows, columns = (
                torch.arange(length)[place] for (length, _), place in zip(axes, places, strict=True)
            )
            found[number][:, rows[:, None], columns] = part
        else:
            found[number][(slice(None), *places)] = part
    return found


def _places(real: Tensor) -> list[Place]:
    places: list[Place] = []
    for row in real:
        tokens = row.nonzero()[:, 0]
        first, last = (int(tokens[0]), int(tokens[-1]) + 1) if len(tokens) else (0, 0)
        places.append(slice(first, last) if last - first == len(tokens) else tokens)
    return places
