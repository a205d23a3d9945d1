"""Which matched layers are compared by their queries and keys, without a map being built."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from amad_torch.distillation.lengths import Lengths
from amad_torch.distillation.match import MatchedLayers
from amad_torch.streaming.loss import (
    STREAMED,
    alignment_from_queries_and_keys,
    amad_loss_from_queries_and_keys,
)

WORTHWHILE = 2**22
"""From so many cells of both models' maps on, training steps are faster without them.

Steps of two BERT layers under SDPA (12 and 8 heads of 64, one thread of a busy CPU, interleaved),
with ``amad_mse`` and ``amad_kl``: 1.01 to 1.10 times as fast at 2.6 to 3 million cells (8 samples
of 128 tokens, 2 of 256, one of 384), 1.02 to 1.12 times at 5 to 12 million (``amad_mse`` of one of
512 or 768, 4 of 256, 2 of 384; both of 8 of 197).
"""

_OPTIONS = {"temperature", "eps", "check_values"}


class Layer(Protocol):
    """A captured layer, of this library's or of Keras's models."""

    @property
    def knows_queries_and_keys(self) -> bool:
        """Whether they can be asked for."""

    @property
    def holds_maps(self) -> bool:
        """Whether the maps are there already."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(B, H, Q, K)`` of the maps."""


def is_streamed(
    matched: MatchedLayers, method: str, lengths: Lengths, options: Mapping[str, Any]
) -> bool:
    """Whether the loss is to come from queries and keys.

    Not where several teacher layers are averaged or lengths are made equal, either.
    """
    layers = (matched.teacher[0], matched.student)
    return (
        len(matched.teacher) == 1
        and not any(lengths.crop or ())
        and is_better_streamed(layers, method, options)
        and layers[0].device == layers[1].device
    )


def is_better_streamed(layers: Sequence[Layer], method: str, options: Mapping[str, Any]) -> bool:
    """Whether two layers are compared faster without maps than by building them.

    Maps are needed where the method compares something else, and where only maps are known; and
    taken where they are there already, or small.
    """
    return (
        method.removeprefix("amad_") in STREAMED
        and method.startswith("amad_")
        and set(options) <= _OPTIONS
        and all(one.knows_queries_and_keys and not one.holds_maps for one in layers)
        and len({_cells(one.shape) for one in layers}) == 1
        and sum(_size(one.shape) for one in layers) >= WORTHWHILE
    )


def streamed_loss(
    matched: MatchedLayers, method: str, mask: Tensor | None, options: Mapping[str, Any]
) -> Tensor:
    """The loss of one student layer, a scalar: mean over samples."""
    return amad_loss_from_queries_and_keys(
        teacher=matched.teacher[0],
        student=matched.student,
        variant=method.removeprefix("amad_"),
        mask=mask,
        **options,
    )


def streamed_alignment(matched: MatchedLayers, temperature: float, mask: Tensor | None) -> Tensor:
    """The alignment weights ``[B, Ht, Hs]`` of one student layer (eq. 2), without gradients."""
    return alignment_from_queries_and_keys(
        teacher=matched.teacher[0], student=matched.student, temperature=temperature, mask=mask
    )


def _cells(shape: tuple[int, int, int, int]) -> tuple[int, int, int]:
    return shape[0], *shape[2:]


def _size(shape: tuple[int, int, int, int]) -> int:
    batch, heads, queries, keys = shape
    return batch * heads * queries * keys
