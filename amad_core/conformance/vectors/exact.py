"""The loss in 50-digit decimals: value, weights and gradient, each rounded once to float64.

An independent derivation with plain loops and the standard library alone. Decimal arithmetic is
correctly rounded and so the same on every machine, unlike ``exp``, ``log`` and matrix products in
floating point: that is what makes the vectors reproducible bit for bit. The specification is
tested against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

import numpy as np

from amad_core.attention.inputs import FloatArray, broadcast_mask
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.vectors.decimals import (
    DIVERGENCES,
    ONE,
    ZERO,
    Vector,
    Vectors,
    add_multiple,
    divided,
    dot,
    l1_norm,
    l2_norm,
    plus,
    softmax,
)

DIGITS = 50

_RESIDUE = 1e-40


@dataclass(frozen=True)
class Expected:
    """What a right port gives for one case.

    Attributes:
        value: the loss, a scalar or ``[B]``.
        weights: ``[B, Ht, Hs]``; ``[B, Q, Ht, Hs]`` in the variant ``token``.
        grad_student: ``[B, Hs, Q, K]``, the gradient of the value (of its sum where it is ``[B]``).
    """

    value: FloatArray
    weights: FloatArray
    grad_student: FloatArray


@dataclass(frozen=True)
class _Part:
    """Value, weights and student gradient of the heads (or rows) that are aligned together."""

    value: Decimal
    weights: Vectors
    gradient: Vectors


def expected(case: Case) -> Expected:
    """Evaluate one case with :data:`DIGITS` digits.

    Raises:
        ValueError: an infinite divergence in the variant ``projected``, whose gradient the
            specification leaves to its floor (``eps > 0``).
    """
    with localcontext(Context(prec=DIGITS)):
        samples = [_sample(case, index) for index in range(len(case.teacher))]
        values = [sum((part.value for part in parts), ZERO) for parts in samples]
        share = ONE / len(samples) if case.reduction == "mean" else ONE
        value = values if case.reduction == "none" else sum(values, ZERO) * share
        weights = [[part.weights for part in parts] for parts in samples]
        gradient = [
            [[[cell * share for cell in head] for head in part.gradient] for part in parts]
            for parts in samples
        ]
    return Expected(
        _rounded(value),
        _rounded(weights if case.variant == "token" else [parts[0] for parts in weights]),
        _as_maps(_rounded(gradient), case),
    )


def _sample(case: Case, index: int) -> list[_Part]:
    """One part for the whole maps, or one for every query row (eq. 12)."""
    valid = broadcast_mask(case.mask, case.teacher.shape)[index]
    teacher = np.where(valid, case.teacher[index], 0.0)
    student = np.where(valid, case.student[index], 0.0)
    if case.variant == "token":
        rows = range(case.teacher.shape[2])
        return [_part(case, _vectors(teacher[:, q]), _vectors(student[:, q])) for q in rows]
    whole = [maps.reshape(len(maps), -1) for maps in (teacher, student)]
    heads, student_heads = _vectors(whole[0]), _vectors(whole[1])
    if case.variant != "projected":
        return [_part(case, heads, student_heads)]
    return [_projected_part(case, heads, student_heads, valid.reshape(-1).tolist())]


def _part(case: Case, teacher: Vectors, student: Vectors) -> _Part:
    """Eq. 2, the mixture, the divergence, and the chain rule back to the student heads."""
    temperature, eps = Decimal(case.temperature), Decimal(case.eps)
    norm = l2_norm if case.variant == "mse" else l1_norm
    divergence = DIVERGENCES[case.variant]
    teacher_units = [divided(head, l2_norm(head)) for head in teacher]
    student_units = [divided(head, l2_norm(head)) for head in student]
    targets = [divided(head, norm(head)) for head in teacher]
    entering = [divided(head, norm(head)) for head in student]

    value = ZERO
    all_weights: Vectors = []
    by_cosine = [[ZERO] * len(head) for head in student]
    by_mixture = [[ZERO] * len(head) for head in student]
    for unit, target in zip(teacher_units, targets, strict=True):
        weights = softmax([dot(unit, other) / temperature for other in student_units])
        mixture = [dot(weights, cell) for cell in zip(*entering, strict=True)]
        terms = [divergence(p, m, eps) for p, m in zip(target, mixture, strict=True)]
        value += sum((term for term, _ in terms), ZERO)
        all_weights.append(weights)

        # An infinite derivative stays in its cell; the products of the chain rule leave it out.
        slopes = [slope for _, slope in terms]
        finite = [slope if slope.is_finite() else ZERO for slope in slopes]
        by_weight = [dot(finite, head) for head in entering]
        average = dot(weights, by_weight)
        for j, weight in enumerate(weights):
            by_logit = weight * (by_weight[j] - average) / temperature
            add_multiple(by_cosine[j], by_logit, unit)
            add_multiple(by_mixture[j], weight, slopes)

    gradient = [
        plus(
            _through_norm(by_cosine[j], head, student_units[j], l2_norm(head), student_units[j]),
            _through_norm(by_mixture[j], head, entering[j], norm(head), _along(case, entering[j])),
        )
        for j, head in enumerate(student)
    ]
    return _Part(value, all_weights, gradient)


def _projected_part(case: Case, teacher: Vectors, student: Vectors, valid: Sequence[bool]) -> _Part:
    """Eq. 10 before everything else, and its chain rule after."""
    assert case.weight is not None
    assert case.bias is not None
    matrix, offset = _vectors(case.weight), _vectors(case.bias[np.newaxis])[0]
    units = [divided(head, l1_norm(head)) for head in student]
    affine = [[dot(row, unit) + b for row, b in zip(matrix, offset, strict=True)] for unit in units]
    active = [[ok and cell > 0 for ok, cell in zip(valid, head, strict=True)] for head in affine]
    projected = [
        [cell if on else ZERO for cell, on in zip(head, ons, strict=True)]
        for head, ons in zip(affine, active, strict=True)
    ]
    part = _part(case, teacher, projected)
    if not part.value.is_finite():
        raise ValueError("projected vectors need eps > 0 where the mixture is empty")
    columns = [list(column) for column in zip(*matrix, strict=True)]
    gradient = []
    for j, upstream in enumerate(part.gradient):
        through = [cell if on else ZERO for cell, on in zip(upstream, active[j], strict=True)]
        back = [dot(column, through) for column in columns]
        ones = [ONE] * len(back)
        gradient.append(_through_norm(back, student[j], units[j], l1_norm(student[j]), ones))
    return _Part(part.value, part.weights, gradient)


def _through_norm(
    upstream: Vector, head: Vector, unit: Vector, norm: Decimal, along: Vector
) -> Vector:
    """``(g - along <g, v/|v|>) / |v|``; 0 for a head of zeros."""
    if norm == 0:
        return [ZERO] * len(head)
    inner = dot([g if g.is_finite() else ZERO for g in upstream], unit)
    return [(g - a * inner) / norm for g, a in zip(upstream, along, strict=True)]


def _along(case: Case, entering: Vector) -> Vector:
    """The derivative of the norm: ``v/|v|_2``, or ones for ``|v|_1`` of non-negative ``v``."""
    return entering if case.variant == "mse" else [ONE] * len(entering)


def _vectors(heads: FloatArray) -> Vectors:
    return [[Decimal(cell) for cell in head] for head in heads.tolist()]


def _rounded(numbers: object) -> FloatArray:
    """Decimals as float64, rounded once; 0 for what cancellation leaves of a 0."""
    rounded = np.array(numbers, dtype=object).astype(np.float64)
    return np.where(np.abs(rounded) < _RESIDUE, 0.0, rounded)


def _as_maps(gradient: FloatArray, case: Case) -> FloatArray:
    """``[B, parts, Hs, cells]`` to ``[B, Hs, Q, K]``; 0 in masked cells."""
    maps = np.moveaxis(gradient, 1, 2).reshape(case.student.shape)
    return np.where(broadcast_mask(case.mask, case.teacher.shape)[:, np.newaxis], maps, 0.0)
