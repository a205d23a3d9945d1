"""The loss of one pair of captured layers, and the tokens that count in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from amad_keras.backends.relations import relations_loss
from amad_keras.capture.layer_attention import LayerAttention, attention_scores
from amad_keras.capture.tensors import Tensor, lengths
from amad_keras.matching import Pair


def attention_loss(
    backend: Any,
    pair: Pair,
    student: Sequence[LayerAttention],
    method: str,
    options: Mapping[str, Any],
) -> Tensor:
    """The loss of one pair, a scalar: mean over samples.

    Args:
        backend: what computes it, see ``current_backend``.
        student: all its layers in the order of their calls, which tell its tokens.
    """
    cells = counted_cells(pair.student, student)
    inputs = backend.METHODS[method].inputs
    if inputs == "vectors":
        return relations_loss(backend.distillation_loss, pair, method, cells, options)
    if inputs == "scores":
        for layer in pair:
            if layer.mask is not None:
                seen = ops.all(layer.mask, axis=1)
                cells = seen if cells is None else ops.logical_and(cells, seen)
        compared = [attention_scores(layer.attended) for layer in pair]
    else:
        streamed = backend.streamed_loss(pair, method, cells, options)
        if streamed is not None:
            return streamed
        compared = [layer.maps for layer in pair]
    if method == "squeezing_heads":
        options = {"teacher_values": pair.teacher.head_outputs, **options}
    return backend.distillation_loss(
        name=method, teacher=compared[0], student=compared[1], mask=cells, **options
    )


def counted_cells(layer: LayerAttention, others: Sequence[LayerAttention]) -> Tensor | None:
    """The boolean mask ``[B, Q, K]`` of real tokens; ``None``: every cell counts.

    A key is real where a query sees it. Queries are the keys of self-attention: of this one, or,
    as masks of Keras get lost on their way through a model, of the last one before it that says.
    """
    place = next(index for index, one in enumerate(others) if one is layer)
    of_queries = (
        _real_keys(one)
        for one in reversed(others[: place + 1])
        if one.kind == "self" and one.shape[2] == layer.shape[2]
    )
    queries = next((real for real in of_queries if real is not None), None)
    keys = queries if layer.kind == "self" else _real_keys(layer)
    if keys is None:
        return None if queries is None else queries[:, :, None]
    return keys[:, None, :] if queries is None else queries[:, :, None] & keys[:, None, :]


def _real_keys(layer: LayerAttention) -> Tensor | None:
    """``[B, K]``, from the layer's mask; where it is not known, from cells that are not 0."""
    seen = layer.mask if layer.knows_queries_and_keys else layer.maps > 0
    if seen is None:
        return None
    length = lengths(layer.keys if layer.knows_queries_and_keys else layer.maps)
    real = ops.any(seen, axis=(1, 2))
    keys = length[2] if layer.knows_queries_and_keys else length[3]
    return ops.broadcast_to(real, (lengths(real)[0], keys))
