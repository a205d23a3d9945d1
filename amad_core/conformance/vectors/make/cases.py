"""Which cases the vectors of a variant hold, and why each is there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import TWINS, discriminating_cases, quantised

_COMMENTS = {
    "rect": "All five sizes differ, so that no axis can be taken for another.",
    "disjoint": "Heads look at different places, and every sample orders them differently.",
    "cropped": "Rows and heads of unequal mass.",
    "equal": "Sizes are equal on purpose: an exchange of axes runs here in silence.",
    "alone": "One sample of another case fills a batch: the mean of such batches is that case's.",
    "sparse": "Teacher cells of exactly 0 where the student has mass.",
    "mixed-norms": "One sharp student head among flat ones.",
    "mixed-rows": "Every query row follows another head.",
    "peaked": "Student cells down to 2^-18 where the teacher has mass.",
    "causal": "Causal maps: exact zeros above the diagonal.",
    "mask/padding": "Padded keys hold nothing; padded query rows still sum to 1 and are masked.",
    "mask/any-cells": "Cells with mass are masked anywhere.",
    "mask/keys": "Whole key columns with mass are masked.",
    "mask/causal": "A causal mask over cells with mass.",
    "mask/empty-sample": "One sample has no cell that counts, and contributes 0.",
    "twin/base": "The other twins must have the same loss as this case.",
    **{name: f"Twin: {change} changes no loss." for name, change in TWINS.items()},
}

_OTHER_OPTIONS = (
    ("sharp", {"temperature": 0.25, "reduction": "sum"}, ("rect/1", "disjoint", "mask/any-cells")),
    ("even", {"temperature": 4.0, "reduction": "none"}, ("rect/2", "mask/padding")),
)
"""Prefix, options, and the designs that are repeated with them."""

_FLOOR = 2.0**-10


@dataclass(frozen=True)
class VectorCase:
    """One case of the vectors.

    Attributes:
        id: unique among all variants: ``"kl-rect-1"``, from variant and name of the case.
        comment: what it is for.
        degenerate: it tests a border of the definition, and hardly tells mistakes apart.
        case: inputs and options.
    """

    id: str
    comment: str
    degenerate: bool
    case: Case


def vector_cases(variant: str, seed: int) -> list[VectorCase]:
    """All cases of one variant, the designed ones first, then borders of the definition."""
    designed = [(case, _comment(case.name)) for case in discriminating_cases(variant, seed=seed)]
    for prefix, options, names in _OTHER_OPTIONS:
        designed += _again(variant, seed, prefix, options, names)
    if variant != "mse":
        peaked = next(case for case, _ in designed if case.name == "peaked")
        floored = replace(peaked, name="floor", eps=_FLOOR)
        designed.append((floored, "A floor of 2^-10 inside the logarithm, above many cells."))
    borders = [
        (_with_projection(replace(case, variant=variant)), comment)
        for case, comment in _borders(variant)
    ]
    return [
        VectorCase(f"{variant}-{case.name.replace('/', '-')}", comment, degenerate, case)
        for group, degenerate in ((designed, False), (borders, True))
        for case, comment in group
    ]


def _again(
    variant: str, seed: int, prefix: str, options: dict[str, object], names: tuple[str, ...]
) -> Iterator[tuple[Case, str]]:
    cases = {case.name: case for case in discriminating_cases(variant, seed=seed)}
    told = ", ".join(f"{name} {value}" for name, value in options.items())
    for name in names:
        case = replace(cases[name], name=f"{prefix}/{name}", **options)  # type: ignore[arg-type]
        yield case, f"{_comment(name)} With {told}."


def _comment(name: str) -> str:
    known = _COMMENTS.get(name) or _COMMENTS.get(name.partition("/")[0])
    return known or f"The designed input {name}."


def _borders(variant: str) -> Iterator[tuple[Case, str]]:
    """Borders of the definition; maps by formula, so that no seed changes them."""
    teacher, student = _maps(2, 3, 4, 5, phase=1), _maps(2, 2, 4, 5, phase=2)
    yield (
        Case("one-student-head", teacher, student[:, :1]),
        "A single student head: every weight is 1.",
    )
    yield (
        Case("identical", teacher, teacher.copy()),
        "The student is the teacher: the loss is not 0, since the weights are soft.",
    )
    yield (
        Case("all-heads-equal", teacher[:, [0, 0]], teacher[:, [0, 0, 0]]),
        "All heads of both models are equal: the loss is 0.",
    )
    uniform = np.full((1, 2, 4, 4), 0.25)
    yield Case("uniform", uniform, uniform.copy()), "All cells are equal: the loss is 0."
    yield (
        Case("one-query", teacher[:, :, :1], student[:, :, :1]),
        "One query row: token equals kl.",
    )
    one = np.ones((1, 1, 1, 1))
    yield Case("one-cell", one, one.copy()), "One head, one cell."
    empty_head = teacher.copy(), np.concatenate([student, 0 * student[:, :1]], axis=1)
    empty_head[0][1, 1] = 0.0
    yield (
        Case("head-of-zeros", *empty_head),
        "A teacher head and a student head are all zeros: cosine 0, no gradient.",
    )
    empty_row = teacher.copy(), student.copy()
    for maps in empty_row:
        maps[0, :, 2] = 0.0
    yield Case("row-of-zeros", *empty_row), "One query row is all zeros in every head."
    mask = np.ones((2, 4, 5), dtype=bool)
    mask[0, 1] = mask[1, :, 3:] = False
    dirty = [np.where(mask[:, None], maps, -3.0) for maps in (teacher, student)]
    yield (
        Case("masked-garbage", dirty[0], dirty[1], mask=mask),
        "Masked cells hold -3: what they hold has no influence.",
    )
    yield (
        Case("all-masked", teacher[:1], student[:1], mask=np.zeros((1, 4, 5), dtype=bool)),
        "No cell counts: loss 0, gradient 0.",
    )
    if variant != "projected":
        yield (
            _one_hot("no-common-cell"),
            (
                "The teacher has mass where no student head has: kl and token are infinite, mse "
                "and js are not."
            ),
        )
    if variant != "mse":
        floored = _one_hot("no-common-cell-floor", eps=2.0**-20, least=2.0**-24)
        yield floored, "Mixture cells of 2^-24 under teacher mass, below a floor of 2^-20."


def _maps(batch: int, heads: int, queries: int, keys: int, phase: int) -> FloatArray:
    """Maps with whole numbers as proportions, quantised; no head like another."""
    b, h, q, k = np.ogrid[1 : batch + 1, 1 : heads + 1, 1 : queries + 1, 1 : keys + 1]
    proportions = 1.0 + (phase + 3 * b + 5 * h * k + 7 * q * k * phase + h * q) % 11
    return quantised(proportions**2)


def _one_hot(name: str, eps: float = 0.0, least: float = 0.0) -> Case:
    teacher, student = np.zeros((1, 2, 3, 4)), np.full((1, 2, 3, 4), least)
    teacher[:, 0, :, :2] = 0.5
    teacher[:, 1, :, 3] = 1.0
    student[:, 0, :, 0] = student[:, 1, :, 1] = 1.0
    return Case(name, teacher, student, eps=eps)


def _with_projection(case: Case) -> Case:
    """``W`` of both signs and far from symmetric; ``W u + b`` >= 1/8, so that ReLU never cuts."""
    if case.variant != "projected":
        return case
    cells = case.student.shape[2] * case.student.shape[3]
    row, column = np.ogrid[:cells, :cells]
    weight = ((7 * row + 3 * column + row * column) % 9 - 2) / 8
    bias = (6 + np.arange(cells) % 4) / 16
    return replace(case, weight=weight, bias=bias)
