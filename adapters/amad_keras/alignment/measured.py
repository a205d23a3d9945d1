"""The alignment weights of a Distiller's layers, measured."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from amad_keras.backends import current_backend
from amad_keras.backends.pair_loss import counted_cells
from amad_keras.capture import LayerAttention, capture_attention
from amad_keras.capture.tensors import Tensor
from amad_keras.distillation import AttentionDistillation
from amad_keras.learned import keys_of_pairs, learned_of
from amad_keras.matching import Pair, matched_layers


def measure_alignment(distiller: Any, batches: Iterable[Any]) -> dict[str, list[list[float]]]:
    """The alignment weights of a Distiller's layers, mean over all samples of some batches.

    Args:
        distiller: a ``keras.distillation.Distiller`` with an ``AttentionDistillation``.
        batches: inputs of both models, as the Distiller is called with; no labels.

    Returns:
        By layer (``"student path <- teacher path"``) the weights ``[Ht][Hs]`` of eq. 2. A pair that
        several losses compare is there once for each, the second as ``"...#2"``.

    Raises:
        TypeError: no such Distiller.
        ValueError: no batch, or no layer that is compared by AMAD with weights for a whole map.

    Examples:
        >>> def model(heads):
        ...     inputs = keras.Input((6, 8))
        ...     hidden = keras.layers.MultiHeadAttention(heads, 4, name="attend")(inputs, inputs)
        ...     return keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(hidden))
        >>> distiller = keras.distillation.Distiller(
        ...     teacher=model(4), student=model(2), distillation_losses=[AttentionDistillation()]
        ... )
        >>> weights = measure_alignment(distiller, [keras.random.normal((3, 6, 8))])
        >>> {name: (len(rows), len(rows[0])) for name, rows in weights.items()}
        {'attend <- attend': (4, 2)}
    """
    losses = attention_losses(distiller)
    aligned = [loss for loss in losses if _has_weights(loss)]
    seen: dict[str, list[Any]] = {}
    for batch in batches if aligned else ():
        with capture_attention(distiller.teacher) as teacher:
            distiller.teacher(batch, training=False)
        with capture_attention(distiller.student) as student:
            distiller.student(batch, training=False)
        layers = list(teacher.values()), list(student.values())
        found = [
            (loss, pair, key, _weights(loss, pair, key, layers[1]))
            for loss in aligned
            for key, pair in _pairs(loss, *layers)
        ]
        names = keys_of_pairs([pair for _, pair, _, _ in found])
        for name, (_, _, _, weights) in zip(names, found, strict=True):
            seen.setdefault(name, []).append(ops.convert_to_numpy(weights))
    if not seen:
        raise ValueError(
            "there are no alignment weights: batches must hold at least one batch, and a method "
            "must be AMAD's, other than amad_token; got "
            f"{', '.join(repr(loss.method) for loss in losses)}"
        )
    return {name: np.concatenate(found).mean(axis=0).tolist() for name, found in seen.items()}


def attention_losses(distiller: Any) -> list[Any]:
    """Those of a Distiller.

    Raises:
        TypeError: it is none, or has none.
    """
    losses = getattr(distiller, "distillation_losses", None) or ()
    found = [loss for loss in losses if isinstance(loss, AttentionDistillation)]
    if not found:
        raise TypeError(
            "distiller must be a keras.distillation.Distiller with an AttentionDistillation among "
            f"its distillation_losses; got {type(distiller).__name__} with "
            f"{', '.join(type(loss).__name__ for loss in losses) or 'none'}"
        )
    return found


def _has_weights(loss: Any) -> bool:
    return bool(loss.method.startswith("amad_") and loss.method != "amad_token")


def _pairs(loss: Any, teacher: list[Any], student: list[Any]) -> Iterable[tuple[str, Pair]]:
    loss.make_learned(teacher, student)
    pairs = matched_layers(teacher, student, loss.selection)
    return zip(keys_of_pairs(pairs), pairs, strict=True)


def _weights(loss: Any, pair: Pair, key: str, student: Sequence[LayerAttention]) -> Tensor:
    maps = ops.stop_gradient(pair.student.maps)
    backend = current_backend()
    cells = counted_cells(pair.student, student)
    if loss.method == "amad_projected":
        maps = _projected(maps, cells, **learned_of(loss, pair, key))
    return backend.alignment_weights(
        teacher=pair.teacher.maps, student=maps, temperature=loss.temperature, mask=cells
    )


def _projected(maps: Tensor, cells: Tensor | None, weight: Any, bias: Any) -> Tensor:
    """``ReLU(W s_j/|s_j|_1 + b)`` of each head (eq. 10)."""
    shape = ops.shape(maps)
    maps = ops.cast(maps, "float32")
    if cells is not None:
        maps = ops.where(cells[:, None], maps, 0.0)
    heads = ops.reshape(maps, (*shape[:2], -1))
    heads = heads / ops.maximum(ops.sum(heads, axis=-1, keepdims=True), keras.config.epsilon())
    return ops.reshape(ops.relu(ops.matmul(heads, ops.transpose(weight)) + bias), shape)
