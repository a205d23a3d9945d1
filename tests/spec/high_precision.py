"""The definitions, evaluated with loops in mpmath at 50 digits: somebody else's arithmetic.

Written from the paper's equations and the decisions on the specification page, not from the code of
the specification; slow, for small maps only. Derivatives are complex-step derivatives,
``Im f(x + ih) / h`` with ``h = 1e-1000``: no subtraction, and a step far smaller than any float64,
hence exact to 50 digits. Every function below is analytic where it is used; comparisons look at the
real part.
"""

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
from mpmath import mp
from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray

mp.dps = 50
STEP = mpmath.mpf(10) ** -1000

Vector = list[Any]  # of mpmath numbers, real or complex


def loss(
    *,
    teacher: FloatArray,
    student: FloatArray,
    variant: str,
    temperature: float = 1.0,
    mask: NDArray[np.bool_] | None = None,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
) -> Any:
    """Eq. 5 of one sample (the first and only one of the batch), exact."""
    inputs = _Inputs(teacher, student, mask, weight, bias)
    return _loss(inputs, variant, mpmath.mpf(temperature))


def gradient(
    *,
    teacher: FloatArray,
    student: FloatArray,
    variant: str,
    temperature: float = 1.0,
    mask: NDArray[np.bool_] | None = None,
    weight: FloatArray | None = None,
    bias: FloatArray | None = None,
    with_respect_to: str = "student",
) -> FloatArray:
    """The derivative by every entry of ``with_respect_to``, rounded to float64 (saturating)."""
    inputs = _Inputs(teacher, student, mask, weight, bias)
    tau = mpmath.mpf(temperature)
    values = {"student": student, "weight": weight, "bias": bias}[with_respect_to]
    assert values is not None
    found = np.zeros(values.shape)
    for index in np.ndindex(found.shape):
        numbers, position, size = inputs.entry(with_respect_to, index)
        if size == 0:
            continue  # a masked cell, or a head of zeros: derivative 0 [D]
        kept = numbers[position]
        numbers[position] = mpmath.mpc(kept, STEP * size)
        found[index] = _rounded(mpmath.im(_loss(inputs, variant, tau)) / (STEP * size))
        numbers[position] = kept
    return found


class _Inputs:
    """The maps of one sample as lists of mpmath numbers, 0 in masked cells."""

    def __init__(
        self,
        teacher: FloatArray,
        student: FloatArray,
        mask: NDArray[np.bool_] | None,
        weight: FloatArray | None,
        bias: FloatArray | None,
    ) -> None:
        _, _, self.queries, self.keys = teacher.shape
        valid = np.ones((self.queries, self.keys), bool) if mask is None else mask[0]
        self.valid: list[bool] = [bool(cell) for cell in valid.ravel()]
        self.teacher = [self._masked(head) for head in teacher[0]]
        self.student = [self._masked(head) for head in student[0]]
        self.weight = None if weight is None else [_exact(row) for row in weight]
        self.bias = None if bias is None else _exact(bias)

    def _masked(self, head: FloatArray) -> Vector:
        cells = zip(head.ravel(), self.valid, strict=True)
        return [mpmath.mpf(float(cell)) if counts else mpmath.mpf(0) for cell, counts in cells]

    def entry(self, name: str, index: tuple[int, ...]) -> tuple[Vector, int, Any]:
        """Where one entry lies, and the size of a step that is small for it."""
        if name == "weight":
            assert self.weight is not None
            return self.weight[index[0]], index[1], 1
        if name == "bias":
            assert self.bias is not None
            return self.bias, index[0], 1
        head = self.student[index[1]]
        position = index[2] * self.keys + index[3]
        return head, position, max(head) if self.valid[position] else 0


def _loss(inputs: _Inputs, variant: str, temperature: Any) -> Any:
    student = inputs.student
    if variant == "projected":
        student = [_projected(inputs, head) for head in student]
    if variant != "token":
        return _heads_loss(inputs.teacher, student, variant, temperature)
    total = mpmath.mpf(0)
    for query in range(inputs.queries):
        row = slice(query * inputs.keys, (query + 1) * inputs.keys)
        teacher_rows = [head[row] for head in inputs.teacher]
        student_rows = [head[row] for head in student]
        total += _heads_loss(teacher_rows, student_rows, "kl", temperature)
    return total


def _projected(inputs: _Inputs, head: Vector) -> Vector:
    # eq. 10: ReLU(W s/|s|_1 + b), cells that do not count left out
    assert inputs.weight is not None
    assert inputs.bias is not None
    unit = _divided(head, _l1(head))
    result = []
    for row, offset, counts in zip(inputs.weight, inputs.bias, inputs.valid, strict=True):
        cell = sum((w * u for w, u in zip(row, unit, strict=True)), offset)
        result.append(cell if counts and mpmath.re(cell) > 0 else mpmath.mpf(0))
    return result


def _heads_loss(
    teacher: Sequence[Vector], student: Sequence[Vector], variant: str, temperature: Any
) -> Any:
    norm = _l2 if variant == "mse" else _l1
    parts = [_divided(head, norm(head)) for head in student]
    total = mpmath.mpf(0)
    for head in teacher:
        weights = _weights(head, student, temperature)
        mixture = [
            sum(w * part[cell] for w, part in zip(weights, parts, strict=True))
            for cell in range(len(head))
        ]
        total += _DIVERGENCES.get(variant, _kl)(_divided(head, norm(head)), mixture)
    return total


def _weights(head: Vector, student: Sequence[Vector], temperature: Any) -> Vector:
    # eq. 2
    powers = [mpmath.exp(_cosine(head, other) / temperature) for other in student]
    return [power / sum(powers) for power in powers]


def _cosine(left: Vector, right: Vector) -> Any:
    if not any(map(mpmath.re, left)) or not any(map(mpmath.re, right)):
        return mpmath.mpf(0)
    return sum(x * y for x, y in zip(left, right, strict=True)) / (_l2(left) * _l2(right))


def _squared_distance(target: Vector, mixture: Vector) -> Any:
    return sum((p - m) ** 2 for p, m in zip(target, mixture, strict=True))


def _kl(target: Vector, mixture: Vector) -> Any:
    total = mpmath.mpf(0)
    for p, m in zip(target, mixture, strict=True):
        if mpmath.re(p) == 0:
            continue
        if m == 0:
            return mpmath.inf
        total += p * mpmath.log(p / m)
    return total


def _js(target: Vector, mixture: Vector) -> Any:
    half = [(p + m) / 2 for p, m in zip(target, mixture, strict=True)]
    return (_kl(target, half) + _kl(mixture, half)) / 2


_DIVERGENCES = {"mse": _squared_distance, "js": _js}


def _l1(vector: Vector) -> Any:
    return sum(vector)


def _l2(vector: Vector) -> Any:
    return mpmath.sqrt(sum(x * x for x in vector))


def _divided(vector: Vector, norm: Any) -> Vector:
    if mpmath.re(norm) == 0:
        return [mpmath.mpf(0)] * len(vector)
    return [x / norm for x in vector]


def _exact(values: FloatArray) -> Vector:
    return [mpmath.mpf(float(value)) for value in values]


def _rounded(value: Any) -> float:
    most = np.finfo(np.float64).max
    return float(min(max(value, -most), most))
