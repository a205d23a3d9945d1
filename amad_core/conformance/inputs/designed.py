"""Inputs that tell mistakes apart.

Random maps hardly show mistakes in the alignment: uniform weights change the loss of random maps by
2 %, of nearly disjoint heads by half. So the inputs are designed, few and small:

- ``rect``: all five sizes differ, so that no axis can be taken for another; three of them, with
  different sizes, so that every ratio (1/Ht, 1/n, B, ...) shows as such.
- ``equal``: sizes that are equal on purpose, where axes can be exchanged in silence: ``heads`` (as
  many on both sides), ``lengths`` (as many queries as keys), ``all`` (the batch, too). No other
  input has them, but for the square ones of self-attention, which their names tell: ``causal``,
  ``mask/causal``, ``mask/padding``.
- ``disjoint``: heads look at different places, and every sample orders them differently.
- ``mixed-norms``: one sharp student head among flat ones. ``mixed-rows``: every query row follows
  another head. ``peaked``: cells down to 2^-18 under teacher mass. ``sparse``: many cells of
  exactly 0 in the teacher, where the student has mass. ``causal``: zeros that all heads share.
  ``cropped``: rows and heads of unequal mass.
- ``twin``: one input and what must not change it, see :data:`TWINS`. ``alone``: the samples of
  an input apart, see :data:`ALONE`.
- ``mask``: padding, causal and odd masks over cells with mass, a sample without any cell.

Cells are multiples of 1/256 (``peaked``: eight significant bits), which bfloat16, float16 and
float32 hold exactly: a port in low precision gets the same inputs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.projections import positive_projection

STEPS = 256
"""Cells are multiples of ``1 / STEPS``."""

TWINS: Mapping[str, str] = MappingProxyType(
    {
        "twin/student-heads-permuted": "permuting the student heads",
        "twin/teacher-heads-permuted": "permuting the teacher heads",
        "twin/student-head-scaled": "scaling one student head",
        "twin/teacher-head-scaled": "scaling one teacher head",
        "twin/student-heads-doubled": "repeating every student head once",
        "twin/samples-reversed": "reversing the order of the samples",
    }
)
"""Cases whose loss must equal that of ``twin/base``, and what was done to its inputs."""

ALONE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "rect/1": ("alone/first", "alone/second"),
        "mask/padding": ("alone/padded-first", "alone/padded-second", "alone/padded-third"),
    }
)
"""Cases, and for each sample of them the batch of the same size that holds nothing else: of the
same shape, so that a batch's loss is the mean of theirs, whatever depends on its size."""

_CUT_BY_RELU = ("rect/1", "disjoint", "cropped", "mixed-norms", "causal", "mask/any-cells")
"""Where the variant ``projected`` has cells below the kink of ReLU."""

_MASK_SIZES = (
    ("mask/padding", (3, 4, 3, 6, 6)),
    ("mask/any-cells", (2, 3, 4, 5, 7)),
    ("mask/keys", (4, 2, 3, 5, 6)),
    ("mask/causal", (2, 3, 2, 7, 7)),
    ("mask/empty-sample", (3, 3, 2, 4, 5)),
)


def discriminating_cases(
    variant: str,
    *,
    temperature: float = 1.0,
    reduction: str = "mean",
    masks: bool = True,
    seed: int = 0,
) -> list[Case]:
    """The designed inputs of one variant, reproducible bit for bit from the seed.

    Mistakes in the temperature show only at a temperature other than 1: ask for cases at a second
    one where the port takes it.

    Args:
        variant, temperature, reduction: options that every case has.
        masks: whether the port takes a mask; without it no case has one.
        seed: at least 0; another seed gives other maps of the same design.

    Returns:
        Small cases (at most 5 samples, 6 heads, 72 cells), the plainest first.
    """
    rng = np.random.default_rng([seed, 17])
    cases = [
        Case(name, _without_ties(teacher), student) for name, (teacher, student) in _plain_maps(rng)
    ]
    teacher, student = _random_maps(rng, (3, 3, 4, 2, 5))
    cases += _twins(_without_ties(teacher), student)
    if masks:
        cases += [_masked(name, sizes, rng) for name, sizes in _MASK_SIZES]
    cases += [one for case in cases if case.name in ALONE for one in _samples_alone(case)]
    cases = [
        replace(case, variant=variant, temperature=temperature, reduction=reduction)
        for case in cases
    ]
    return [_projected(case, seed) for case in cases] if variant == "projected" else cases


Maps = tuple[FloatArray, FloatArray]
Sizes = tuple[int, int, int, int, int]
"""Batch, teacher heads, student heads, queries, keys."""


def _plain_maps(rng: np.random.Generator) -> Iterator[tuple[str, Maps]]:
    yield "rect/1", _random_maps(rng, (2, 5, 3, 4, 7))
    yield "disjoint", _disjoint(rng, (3, 4, 3, 5, 6))
    yield "cropped", _cropped(rng, (3, 4, 2, 5, 7))
    yield "rect/2", _random_maps(rng, (4, 3, 5, 2, 6))
    yield "rect/3", _random_maps(rng, (5, 2, 4, 6, 3))
    yield "equal/all", _random_maps(rng, (4, 4, 4, 4, 4))
    yield "equal/heads", _random_maps(rng, (2, 6, 6, 3, 5))
    yield "equal/lengths", _random_maps(rng, (2, 4, 3, 5, 5))
    yield "mixed-norms", _mixed_norms(rng, (2, 3, 4, 5, 7))
    yield "mixed-rows", _mixed_rows(rng, (2, 5, 4, 6, 5))
    yield "peaked", _peaked(rng, (2, 3, 4, 5, 8))
    yield "sparse", _sparse(rng, (2, 4, 3, 6, 12))
    yield "causal", _causal(rng, (2, 3, 2, 6, 6))


def quantised(rows: FloatArray, steps: Any = STEPS) -> FloatArray:
    """Positive rows as multiples of 1/256 that sum to ``steps``/256, every cell at least 1/256."""
    keys = rows.shape[-1]
    share = rows / rows.sum(axis=-1, keepdims=True) * (steps - keys)
    counts = np.floor(share)
    missing = steps - keys - counts.sum(axis=-1, keepdims=True)
    rank = np.argsort(np.argsort(counts - share, axis=-1, kind="stable"), axis=-1, kind="stable")
    cells: FloatArray = (1 + counts + (rank < missing)) / STEPS
    return cells


def _softmax_rows(logits: FloatArray) -> FloatArray:
    return quantised(np.exp(logits - logits.max(axis=-1, keepdims=True)))


def _random_maps(rng: np.random.Generator, sizes: Sizes, sharpness: float = 1.5) -> Maps:
    batch, teacher_heads, student_heads, queries, keys = sizes
    teacher = rng.normal(size=(batch, teacher_heads, queries, keys))
    student = rng.normal(size=(batch, student_heads, queries, keys))
    return _softmax_rows(sharpness * teacher), _softmax_rows(sharpness * student)


def _bumps(places: NDArray[np.int64], sizes: Sizes, height: float) -> FloatArray:
    """Heads ``[B, H, Q, K]`` that look at key ``query + place``, one place a sample and head."""
    queries, keys = sizes[3:]
    looked_at = (places[:, :, None] + np.arange(queries)) % keys
    return height * np.asarray(looked_at[..., None] == np.arange(keys), dtype=np.float64)


def _disjoint(rng: np.random.Generator, sizes: Sizes) -> Maps:
    batch, teacher_heads, student_heads, _, keys = sizes
    places = np.stack([rng.permutation(keys)[:teacher_heads] for _ in range(batch)])
    order = np.stack([rng.permutation(teacher_heads)[:student_heads] for _ in range(batch)])
    noise = rng.normal(size=(2, batch, teacher_heads, *sizes[3:])) * 0.3
    teacher = _bumps(places, sizes, 4.5) + noise[0]
    student = _bumps(np.take_along_axis(places, order, axis=1), sizes, 4.5)
    return _softmax_rows(teacher), _softmax_rows(student + noise[1][:, :student_heads])


def _cropped(rng: np.random.Generator, sizes: Sizes) -> Maps:
    """Rows of unequal mass, and among them heads of unequal mass."""
    cropped = []
    for maps in _random_maps(rng, sizes):
        of_rows = rng.integers(3, 9, size=(*maps.shape[:3], 1))
        of_heads = rng.integers(3, 9, size=(*maps.shape[:2], 1, 1))
        cropped.append(quantised(maps, of_rows * of_heads * 4))
    return cropped[0], cropped[1]


def _mixed_norms(rng: np.random.Generator, sizes: Sizes) -> Maps:
    teacher, _ = _random_maps(rng, sizes, sharpness=2.5)
    logits = rng.normal(size=(sizes[0], sizes[2], *sizes[3:])) * 0.3
    logits[:, 1] *= 12
    return teacher, _softmax_rows(logits)


def _mixed_rows(rng: np.random.Generator, sizes: Sizes) -> Maps:
    teacher, student = _disjoint(rng, sizes)
    follows = rng.integers(sizes[2], size=(sizes[0], sizes[2], sizes[3], 1))
    return teacher, np.take_along_axis(student, follows, axis=1)


def _peaked(rng: np.random.Generator, sizes: Sizes) -> Maps:
    """Student cells that are tiny in every head where the teacher has mass."""
    teacher, student = _random_maps(rng, sizes, sharpness=2.5)
    queries = np.arange(sizes[3])
    tiny = 2.0 ** -rng.integers(14, 19, size=(sizes[0], sizes[2], sizes[3]))
    student[:, :, queries, queries % sizes[4]] = tiny
    return teacher, student


def _sparse(rng: np.random.Generator, sizes: Sizes) -> Maps:
    """Teacher rows that look at two or three keys and at nothing else."""
    teacher, student = _random_maps(rng, sizes)
    hidden = np.argsort(rng.random(teacher.shape), axis=-1) >= rng.integers(2, 4)
    teacher = np.where(hidden, 0.0, teacher)
    teacher[..., 0] += 1 - teacher.sum(axis=-1)
    return teacher, student


def _causal(rng: np.random.Generator, sizes: Sizes) -> Maps:
    """Square maps with exact zeros above the diagonal, shared by all heads."""
    maps = []
    for heads in sizes[1:3]:
        causal = np.zeros((sizes[0], heads, *sizes[3:]))
        for query in range(sizes[3]):
            logits = 1.5 * rng.normal(size=(sizes[0], heads, query + 1))
            causal[:, :, query, : query + 1] = _softmax_rows(logits)
        maps.append(causal)
    return maps[0], maps[1]


def _twins(teacher: FloatArray, student: FloatArray) -> list[Case]:
    scales = np.array([1.0, 2.0, 1.0, 1.0])[:, None, None]
    return [
        Case("twin/base", teacher, student),
        Case("twin/student-heads-permuted", teacher, student[:, [2, 0, 3, 1]]),
        Case("twin/teacher-heads-permuted", teacher[:, [1, 2, 0]], student),
        Case("twin/student-head-scaled", teacher, student * scales),
        Case("twin/teacher-head-scaled", teacher * scales[:3], student),
        Case("twin/student-heads-doubled", teacher, np.repeat(student, 2, axis=1)),
        Case("twin/samples-reversed", teacher[::-1].copy(), student[::-1].copy()),
    ]


def _without_ties(maps: FloatArray) -> FloatArray:
    """Where a head has mass enough, no two cells of it equal: all agree which are its largest.

    Row sums and zeros stay: what other cells gain, the largest of the row gives up.
    """
    untied = [[_head_without_ties(head) for head in sample] for sample in maps]
    return np.array(untied)


def _head_without_ties(head: FloatArray) -> FloatArray:
    counts = np.round(head * STEPS).astype(int)
    taken = {0}
    for row in counts:
        *others, largest = np.argsort(row, kind="stable")
        total = row.sum()
        for cell in others:
            while row[cell] and row[cell] in taken:
                row[cell] += 1
            taken.add(row[cell])
        row[largest] = total - row[others].sum()
        while row[largest] in taken and row[largest] > 0:
            row[others[-1]] += 1
            row[largest] -= 1
            taken.add(row[others[-1]])
        if row[largest] <= 0:
            return head
        taken.add(row[largest])
    return counts / STEPS


def _samples_alone(case: Case) -> Iterator[Case]:
    for sample, name in enumerate(ALONE[case.name]):
        repeated = [sample] * len(case.teacher)
        mask = None if case.mask is None else case.mask[repeated]
        yield Case(name, case.teacher[repeated], case.student[repeated], mask=mask)


def _masked(name: str, sizes: Sizes, rng: np.random.Generator) -> Case:
    teacher, student = _random_maps(rng, sizes)
    batch, queries, keys = sizes[0], sizes[3], sizes[4]
    mask = rng.random((batch, queries, keys)) < 0.75
    if name == "mask/padding":
        # As models give them: padded keys hold nothing, padded query rows still sum to 1.
        present = np.arange(keys) < np.array([keys, keys - 2, keys - 3])[:, None]
        teacher, student = (
            np.where(present[:, None, None], _within(maps, present), 0.0)
            for maps in (teacher, student)
        )
        mask = present[:, :, None] & present[:, None, :]
    elif name == "mask/keys":
        mask = np.repeat(rng.random((batch, 1, keys)) < 0.6, queries, axis=1)
        mask[:, :, 0] = True
    elif name == "mask/causal":
        mask = np.repeat(np.tri(queries, keys, dtype=bool)[np.newaxis], batch, axis=0)
    mask = _never_empty(mask)
    if name == "mask/empty-sample":
        mask[1] = False
    return Case(name, _without_ties(teacher), student, mask=mask)


def _within(maps: FloatArray, present: BoolArray) -> FloatArray:
    """Every row's mass moved onto the present keys."""
    moved = np.ones_like(maps)
    for sample, keys in enumerate(present):
        moved[sample][..., keys] = quantised(maps[sample][..., keys])
    return moved


def _never_empty(mask: BoolArray) -> BoolArray:
    mask[:, 0, 0] = True
    return mask


def _projected(case: Case, seed: int) -> Case:
    weight, bias = positive_projection(case, seed, cut=case.name in _CUT_BY_RELU)
    return replace(case, weight=weight, bias=bias)
