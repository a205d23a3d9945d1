"""Similarity: unit vectors, and the cosine between every teacher and every student head.

Heads come ``scaled_to_peak``: their norms and products then neither overflow nor vanish, and the
formulas can be computed as they stand.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import backend, ops

from amad_keras.attention.precision import product
from amad_keras.capture.tensors import Tensor


def l2_normalise(heads: Tensor) -> Tensor:
    """``v / |v|_2`` along the last axis (eq. 2, 4); 0 where the norm is 0 [D4]."""
    squares = ops.sum(ops.square(heads), axis=-1, keepdims=True)
    # The square root has no derivative at 0; those heads are taken out in `_divide`.
    norm = ops.sqrt(ops.where(squares == 0, ops.ones_like(squares), squares))
    return _divide(heads, norm, empty=squares == 0)


def l1_normalise(heads: Tensor) -> Tensor:
    """``v / |v|_1`` of ``v >= 0`` along the last axis (eq. 9-12); 0 where the norm is 0 [D4]."""
    norm = ops.sum(heads, axis=-1, keepdims=True)
    return _divide(heads, norm, empty=norm == 0)


def cosine_similarity(teacher: Tensor, student: Tensor) -> Tensor:
    """``c_ij = <t_i, s_j> / (|t_i|_2 |s_j|_2)``, in [0, 1]; 0 where a norm is 0 [D4].

    ``[..., Ht, n]`` and ``[..., Hs, n]`` to ``[..., Ht, Hs]``: the inner part of eq. 2.
    """
    return product(l2_normalise(teacher), ops.swapaxes(l2_normalise(student), -1, -2))


def largest(heads: Tensor) -> Tensor:
    """The largest cell along the last axis, kept as an axis; 1 for a vector of zeros."""
    # Detached: it changes no normalised vector, hence no gradient either.
    peak = ops.stop_gradient(ops.max(heads, axis=-1, keepdims=True))
    return ops.where(peak == 0, ops.ones_like(peak), peak)


def scaled_to_peak(heads: Tensor) -> Tensor:
    """``v / largest(v)``, done once before all normalisations, none of which it changes.

    So the gradient, of the size of ``1/|v|``, is divided once, for the sum of what came through all
    normalisations. What is too large for the dtype gives its largest number [D10].
    """
    dtype = backend.standardize_dtype(heads.dtype)
    # A tensor: on PyTorch Keras's clip makes a Python number float32, where this one is infinite.
    most = ops.convert_to_tensor(float(np.finfo(dtype).max), dtype=dtype)

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def scaled(heads: Tensor, peak: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        def gradient(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
            through = args[0] if upstream is None else upstream
            return ops.clip(through / peak, -most, most), ops.zeros_like(peak)

        return heads / peak, gradient

    return scaled(heads, largest(heads))


def _divide(heads: Tensor, norm: Tensor, empty: Tensor) -> Tensor:
    # The inner `where` keeps the derivative of 0/0 from reaching the outer one as NaN.
    quotient = heads / ops.where(empty, ops.ones_like(norm), norm)
    return ops.where(empty, ops.zeros_like(heads), quotient)
