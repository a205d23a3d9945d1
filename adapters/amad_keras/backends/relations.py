"""The loss of one pair by methods that compare relations among queries, keys and values."""

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from amad_core.arguments.words import check_choice
from amad_keras.capture.tensors import Tensor
from amad_keras.matching import Pair

RELATED = ("queries", "keys", "values")
"""What relations are compared of."""

_OF_VALUES = "minilm_value_relation"


def relations_loss(
    distillation_loss: Callable[..., Tensor],
    pair: Pair,
    method: str,
    cells: Tensor | None,
    options: Mapping[str, Any],
) -> Tensor:
    """Relations among the tokens of each kind of vectors, added up.

    Args:
        distillation_loss: the backend's.
        cells: boolean ``[B, Q, K]``, true where a cell of the maps counts.
        options: of the method, and ``vectors``: which of ``RELATED``.

    Raises:
        ValueError: ``vectors`` that are none of these, or are not known of a layer.
    """
    related = dict(options)
    chosen = ("values",) if method == _OF_VALUES else related.pop("vectors", RELATED)
    if isinstance(chosen, str) or not chosen:
        raise ValueError(f"vectors must be a tuple of some of {RELATED}; got {chosen!r}")
    losses = []
    for name in chosen:
        check_choice("vectors", name, RELATED)
        losses.append(
            distillation_loss(
                name=method,
                teacher=getattr(pair.teacher, name),
                student=getattr(pair.student, name),
                mask=_among_tokens(cells, 2 if name == "queries" else 1),
                **related,
            )
        )
    return ops.sum(ops.stack(losses))


def _among_tokens(cells: Tensor | None, other: int) -> Tensor | None:
    """The relations ``[B, L, L]`` among tokens of one axis of the cells, of which any counts."""
    if cells is None:
        return None
    counts = ops.any(cells, axis=other)
    return ops.logical_and(counts[:, :, None], counts[:, None, :])
