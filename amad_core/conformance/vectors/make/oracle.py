"""The loss in 50-digit decimals: value, weights and gradients, each rounded once to float64.

The definitions of docs/specification.md with plain loops and the standard library alone;
gradients by the chain rule, one operation after another, with no formula of their own. Decimal
arithmetic is correctly rounded and so the same on every machine, unlike ``exp``, ``log`` and matrix
products in floating point: that is what makes the vectors reproducible bit for bit. The
specification is tested against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray, broadcast_mask
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.vectors.make.numbers import (
    INFINITE,
    ZERO,
    Number,
    Vector,
    differentiate,
    dot,
    total,
)

DIGITS = 50

_RESIDUE = Decimal("1e-40")

Numbers = NDArray[Any]  # of Number
Vectors = Sequence[Vector] | Numbers


@dataclass(frozen=True)
class Exact:
    """What a right port gives for one case.

    Attributes:
        value: the loss, a scalar or ``[B]``.
        weights: ``[B, Ht, Hs]``; ``[B, Q, Ht, Hs]`` in the variant ``token``.
        gradients: of the value (of its sum where it is ``[B]``) by ``student``, ``weight`` and
            ``bias``; empty where they were not asked for.
    """

    value: FloatArray
    weights: FloatArray
    gradients: dict[str, FloatArray]


def exact(case: Case, *, gradients: bool = True) -> Exact:
    """Evaluate one case with :data:`DIGITS` digits.

    Raises:
        ValueError: the gradient of an infinite divergence in the variant ``projected``, which the
            specification leaves to its floor (``eps > 0``).
    """
    with localcontext(Context(prec=DIGITS)):
        learned = {
            name: _numbers(getattr(case, name))
            for name in ("student", "weight", "bias")
            if getattr(case, name) is not None
        }
        samples = [_sample(case, learned, index) for index in range(len(case.teacher))]
        loss = total([value for value, _ in samples])
        if case.reduction == "mean":
            loss /= Number(len(samples))
        if gradients:
            if case.variant == "projected" and not loss.value.is_finite():
                raise ValueError("projected vectors need eps > 0 where the mixture is empty")
            differentiate(loss)
        each = [_without_residue(value.value) for value, _ in samples]
        return Exact(
            _rounded(each if case.reduction == "none" else _without_residue(loss.value)),
            _rounded([weights for _, weights in samples]),
            {name: _gradient(numbers) for name, numbers in learned.items()} if gradients else {},
        )


def _sample(case: Case, learned: dict[str, Numbers], index: int) -> tuple[Number, Any]:
    """Value and weights: of whole maps, or the sum over query rows (eq. 12)."""
    valid = broadcast_mask(case.mask, case.teacher.shape)[index]
    nothing = np.array(ZERO, dtype=object)
    teacher = np.where(valid, _numbers(case.teacher[index]), nothing)
    student = np.where(valid, learned["student"][index], nothing)
    if case.variant == "token":
        rows = [_aligned(case, teacher[:, query], student[:, query]) for query in range(len(valid))]
        return total([value for value, _ in rows]), [weights for _, weights in rows]
    heads = teacher.reshape(len(teacher), -1), student.reshape(len(student), -1)
    if case.variant != "projected":
        return _aligned(case, *heads)
    projected = [
        _projected(head, learned["weight"], learned["bias"], valid.ravel()) for head in heads[1]
    ]
    return _aligned(case, heads[0], projected)


def _aligned(case: Case, teacher: Vectors, student: Vectors) -> tuple[Number, list[list[Decimal]]]:
    """Eq. 2, the mixture and the divergence of heads (or rows) that are aligned together."""
    norm = _l2_norm if case.variant == "mse" else total
    divergence = _DIVERGENCES.get(case.variant, _kl_divergence)
    units = [_divided(head, _l2_norm(head)) for head in student]
    mixed = [_divided(head, norm(head)) for head in student]
    losses, all_weights = [], []
    for head in teacher:
        unit, target = _divided(head, _l2_norm(head)), _divided(head, norm(head))
        weights = _softmax([dot(unit, other) / Number(case.temperature) for other in units])
        mixture = [dot(weights, cells) for cells in zip(*mixed, strict=True)]
        cells = zip(target, mixture, strict=True)
        losses.append(total([divergence(p, m, Number(case.eps)) for p, m in cells]))
        all_weights.append([weight.value for weight in weights])
    return total(losses), all_weights


def _projected(head: Vector, weight: Numbers, bias: Numbers, valid: NDArray[np.bool_]) -> Vector:
    """Eq. 10: ``ReLU(W s/|s|_1 + b)``, cells that do not count left out."""
    unit = _divided(head, total(head))
    affine = [dot(row, unit) + offset for row, offset in zip(weight, bias, strict=True)]
    return [
        cell if counts and cell.value > 0 else ZERO
        for cell, counts in zip(affine, valid, strict=True)
    ]


def _softmax(logits: Vector) -> Vector:
    powers = [logit.exp() for logit in logits]
    return [power / total(powers) for power in powers]


def _squared_distance(p: Number, m: Number, eps: Number) -> Number:
    return (p - m) * (p - m)


def _kl_divergence(p: Number, m: Number, eps: Number) -> Number:
    if p.value == 0:
        return ZERO
    floored = _larger(m, eps)
    if floored.value == 0:
        return Number(INFINITE, ((m, -INFINITE),))
    return p * (p / floored).ln()


def _jensen_shannon(p: Number, m: Number, eps: Number) -> Number:
    """The floor is on ``m`` and ``h`` inside the logarithms."""
    two = Number(2)
    half = (p + m) / two
    if half.value == 0:
        return ZERO
    from_teacher = p * (p / _larger(half, eps)).ln() if p.value > 0 else ZERO
    if m.value == eps.value == 0:
        from_mixture = Number(0, ((m, -INFINITE),))
    else:
        from_mixture = m * (_larger(m, eps) / _larger(half, eps)).ln()
    return (from_teacher + from_mixture) / two


_DIVERGENCES = {"mse": _squared_distance, "js": _jensen_shannon}


def _larger(m: Number, eps: Number) -> Number:
    """No derivative at the floor and below."""
    return m if m.value > eps.value else eps


def _l2_norm(head: Vector) -> Number:
    square = dot(head, head)
    return square.sqrt() if square.value else ZERO


def _divided(head: Vector, norm: Number) -> Vector:
    return [cell / norm for cell in head] if norm.value else [ZERO] * len(head)


def _numbers(array: FloatArray) -> Numbers:
    return np.array([Number(cell) for cell in array.ravel().tolist()]).reshape(array.shape)


def _gradient(numbers: Numbers) -> FloatArray:
    """Adjoints; 0 for what cancellation leaves of a 0, in units of one over the largest cell."""
    heads = numbers.reshape(-1, numbers[0, 0].size) if numbers.ndim == 4 else [numbers.ravel()]
    kept: list[Decimal] = []
    for head in heads:
        finite = (abs(cell.value) for cell in head if cell.value.is_finite())
        size = max(finite, default=Decimal(0))
        kept += [_without_residue(cell.adjoint, size) for cell in head]
    return _rounded(kept).reshape(numbers.shape)


def _without_residue(number: Decimal, size: Decimal | int = 1) -> Decimal:
    return number if number.is_infinite() or abs(number) * size >= _RESIDUE else Decimal(0)


def _rounded(decimals: Any) -> FloatArray:
    """Rounded once."""
    return np.array(decimals, dtype=object).astype(np.float64)
