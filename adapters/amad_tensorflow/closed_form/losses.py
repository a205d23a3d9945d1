"""Loss and gradient from maps, in two passes that share small numbers alone."""

from typing import Any

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, whole_maps
from amad_tensorflow.closed_form import divergences, query_rows, squared_distances
from amad_tensorflow.closed_form.heads import Heads, MapHeads, RowHeads, blocks_of_rows
from amad_tensorflow.closed_form.options import Options

_VARIANTS = {
    "mse": squared_distances,
    "kl": divergences,
    "js": divergences,
    "token": query_rows,
}


def forward(teacher: Tensor, student: Tensor, options: Options) -> tuple[Tensor, Any]:
    """Of maps ``[B, H, Q, K]``: one loss a sample ``[B]``, and what its gradient needs besides."""
    heads = _heads(teacher, student, options)
    found: tuple[Tensor, Any] = of_heads(options).forward(heads, options)
    return found


def backward(
    teacher: Tensor, student: Tensor, options: Options, kept: Any, upstream: Tensor
) -> Tensor:
    """What comes from above, one number a sample ``[B]``, to the student's ``[B, Hs, Q, K]``."""
    heads = _heads(teacher, student, options)
    gradient = of_heads(options).backward(heads, options, kept, upstream)
    return tf.ensure_shape(tf.reshape(gradient, tf.shape(student)), student.shape)


def of_heads(options: Options) -> Any:
    """``forward`` and ``backward`` of a variant, of heads wherever they come from."""
    return _VARIANTS[options.variant]


def _heads(teacher: Tensor, student: Tensor, options: Options) -> Heads:
    if options.variant == "token":
        blocks = 1 if options.at_once else blocks_of_rows(student)
        if blocks > 1:
            return RowHeads(teacher, student, blocks, options.at_once)
        return MapHeads(teacher, student, options.at_once)
    return MapHeads(whole_maps(teacher), whole_maps(student), options.at_once)
