"""Divergences cell by cell: ``[TEACHERS, CELLS]`` of probabilities and of mixtures.

The same as ``closed_form/cells.py``, formula by formula. Guarded by
tests/kernels/interpreted/test_from_queries_keys.py::test_each_kind_of_attention.
"""

import triton
import triton.language as tl


@triton.jit
def slope_of(target, mixture, eps, KIND: tl.constexpr):
    """``kl`` (eq. 9): ``p/m``, 0 at and below the floor; ``js``: ``log(m/h)``, ``h = (p + m)/2``.

    The derivative by the mixture is minus the first and half the second. At the floor the second
    is ``log(max(m, eps)/max(h, eps)) + [m > eps] - [h > eps]``. 0 where both are 0, as in every
    padded head and cell.
    """
    if KIND == "js":
        half, floor = (target + mixture) * 0.5, tl.minimum(eps, 1.0)
        logarithm = tl.log(tl.div_rn(tl.maximum(mixture, floor), tl.maximum(half, floor)))
        return logarithm + (mixture > floor).to(tl.float32) - (half > floor).to(tl.float32)
    return tl.div_rn(target, tl.where(mixture <= eps, float("inf"), mixture))


@triton.jit
def value_of(target, mixture, slope, eps, log_eps, tiny, KIND: tl.constexpr):
    """``p log(p / max(m, eps))``; ``js``: half of that with ``h`` for ``m``, and ``½ m log(m/h)``.

    Where ``p`` is 0 any logarithm does: ``tiny`` keeps it finite. ``log_eps`` is of its own, since
    float32 may not hold ``eps``.
    """
    reference = mixture
    if KIND == "js":
        reference = (target + mixture) * 0.5
    missed = (reference <= eps) & (target > 0)
    ratio = tl.div_rn(target, tl.where(reference <= eps, 1.0, reference))
    below = tl.log(tl.where(missed, target, 1.0)) - log_eps
    found = target * tl.where(missed, below, tl.log(tl.maximum(ratio, tiny)))
    if KIND == "js":
        floor = tl.minimum(eps, 1.0)
        passed = (mixture > floor).to(tl.float32) - (reference > floor).to(tl.float32)
        found = (found + mixture * (slope - passed)) * 0.5
    return found
