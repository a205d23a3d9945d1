"""Mistakes with heads that are grouped, padded, or spread over devices."""

from collections.abc import Callable

import numpy as np

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.granularity import row_normalised
from amad_core.conformance.diagnosis.mistakes.heads import one_to_one, picked
from amad_core.conformance.diagnosis.mistakes.mistake import ALL, Form, Mistake
from amad_core.conformance.diagnosis.mistakes.similarity import both_mixed_in
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Stage,
    Wrap,
    after,
    as_it_is,
)

_NOT_PROJECTED = ("mse", "kl", "js", "token")


_Otherwise = Callable[[Problem, Array], Array]
"""What becomes of the teacher where its heads make no groups of one size."""


def _refused(problem: Problem, maps: Array) -> Array:
    raise ValueError(f"{maps.shape[1]} heads make no {problem.student_heads} groups of one size")


def _all_averaged(problem: Problem, maps: Array) -> Array:
    mean = problem.arrays.sum(maps, 1, True) / maps.shape[1]
    return problem.arrays.concatenate([mean] * problem.student_heads, 1)


def _left(problem: Problem, maps: Array) -> Array:
    return maps


def _grouped(split: bool = False, otherwise: _Otherwise = _refused) -> Mutation:
    """Teacher heads averaged to the student's number; ``split``: every Hs-th makes a group."""

    def layout(inner: Stage, problem: Problem, maps: Array) -> Array:
        heads, groups = maps.shape[1], problem.student_heads
        if heads == groups:
            return inner(problem, maps)
        if heads % groups:
            return inner(problem, otherwise(problem, maps))
        shape = (heads // groups, groups) if split else (groups, heads // groups)
        cells = (problem.queries, problem.keys)
        apart = problem.arrays.reshape(maps, (maps.shape[0], *shape, *cells))
        return inner(problem, problem.arrays.sum(apart, 1 if split else 2) * groups / heads)

    return {"teacher_layout": Wrap(layout)}


def _pooled(inner: Stage, problem: Problem, maps: Array) -> Array:
    """As adaptive pooling does: groups of sizes that differ, and overlap."""
    heads, groups = maps.shape[1], problem.student_heads
    bounds = [(i * heads // groups, -(-(i + 1) * heads // groups)) for i in range(groups)]
    means = [
        problem.arrays.sum(maps[:, first:end], 1, True) / (end - first) for first, end in bounds
    ]
    return inner(problem, problem.arrays.concatenate(means, 1))


_SAME_INDEX = one_to_one(lambda i, teachers, students: i % students)
_GROUPINGS = (
    (
        "groups of neighbours, all heads where the numbers do not divide",
        _grouped(otherwise=_all_averaged),
    ),
    ("groups of neighbours", _grouped()),
    ("every Hs-th head in a group", _grouped(split=True)),
)
_FURTHER_GROUPINGS = (
    ("groups of neighbours where the numbers divide", _grouped(otherwise=_left)),
    ("every Hs-th head in a group where the numbers divide", _grouped(True, _left)),
    ("groups as adaptive pooling makes them", {"teacher_layout": Wrap(_pooled)}),
)
_MEANS = (
    ("summed", lambda problem: 1),
    ("mean over heads", lambda problem: problem.student_heads),
    ("mean over rows", lambda problem: problem.queries),
    ("mean over heads and rows", lambda problem: problem.student_heads * problem.queries),
    ("mean over elements", lambda problem: problem.student_heads * problem.cells),
)


def _divided_by(count: Stage) -> Wrap:
    return after(lambda problem, losses: losses / count(problem))


def _one_to_one_losses() -> tuple[Form, ...]:
    """What one-to-one losses of attention maps do: rows as they come, or divided by their sums."""
    rows = (
        ("maps as they come", both_mixed_in(as_it_is), ALL),
        ("rows divided by their sums", both_mixed_in(row_normalised(-1)), ("kl", "js")),
    )
    return tuple(
        Form(
            f"{grouping}; {label}; {mean}",
            {
                **grouped,
                **_SAME_INDEX,
                **mixed_in,
                "per_sample": _divided_by(count),
            },
            tuple(set(variants) & set(_NOT_PROJECTED)),
            in_pairs=False,
        )
        for grouping, grouped in _GROUPINGS
        for label, mixed_in, variants in rows
        for mean, count in _MEANS
    )


def _smaller_half(problem: Problem, heads: int) -> list[int]:
    return list(range(max(heads // 2, 1)))


def _larger_half(problem: Problem, heads: int) -> list[int]:
    return list(range((heads + 1) // 2))


def _uniform_heads(count: Stage) -> Stage:
    """Further heads whose scores are all 0: every key gets the same."""

    def layout(inner: Stage, problem: Problem, maps: Array) -> Array:
        missing = count(problem, maps.shape[1]) - maps.shape[1]
        if missing <= 0:
            return inner(problem, maps)
        valid = problem.valid[:, np.newaxis]
        rows = problem.arrays.where(valid, maps[:, :1] * 0.0 + 1 / problem.keys, 0.0)
        return inner(problem, problem.arrays.concatenate([maps] + [rows] * missing, 1))

    return layout


def _one_more(problem: Problem, heads: int) -> int:
    return heads + 1


def _of_the_teacher(problem: Problem, heads: int) -> int:
    return max(problem.teacher_heads, heads)


def _multiple_of(number: int) -> Stage:
    return lambda problem, heads: -(-heads // number) * number


def _padded(count: Stage) -> Mutation:
    return {
        "teacher_layout": Wrap(_uniform_heads(count)),
        "student_layout": Wrap(_uniform_heads(count)),
    }


MISTAKES = (
    Mistake(
        name="teacher-heads-grouped",
        sentence="Teacher heads are averaged in groups until there are as many as the student has.",
        symptom="Heads of one group cancel out; exact where both models have equally many heads.",
        mend="Leave the teacher's heads as they are: the weights are rectangular.",
        evidence="view(B, Hs, Ht // Hs, Q, K).mean(2), as for grouped queries.",
        forms=tuple(
            Form(label, mutation) for label, mutation in (*_GROUPINGS, *_FURTHER_GROUPINGS)
        ),
    ),
    Mistake(
        name="one-to-one-loss",
        sentence="Grouped teacher heads are compared with the student heads of the same index, "
        "row by row: this is a one-to-one loss of attention maps and aligns nothing.",
        symptom="The value changes when student heads are permuted; it must not.",
        mend="Align with softmax weights (eq. 2), normalise whole maps, sum over the heads.",
        evidence="What losses did before AMAD: TinyBERT and its ports.",
        variants=_NOT_PROJECTED,
        forms=_one_to_one_losses(),
    ),
    Mistake(
        name="heads-of-one-shard",
        sentence="Only the heads of one device count: their losses are never summed over devices.",
        symptom="Right on one device; a half, a quarter, ... of the loss with tensor parallelism.",
        mend="Sum over the shards (all_reduce) before the mean over the batch.",
        evidence="Heads are what tensor parallelism splits attention by.",
        forms=(
            Form("half of the teacher's", {"teacher_layout": Wrap(picked(_smaller_half))}),
            Form("larger half of the teacher's", {"teacher_layout": Wrap(picked(_larger_half))}),
            Form(
                "half of both models'",
                {
                    "teacher_layout": Wrap(picked(_smaller_half)),
                    "student_layout": Wrap(picked(_smaller_half)),
                },
            ),
            Form(
                "larger half of both models'",
                {
                    "teacher_layout": Wrap(picked(_larger_half)),
                    "student_layout": Wrap(picked(_larger_half)),
                },
            ),
        ),
    ),
    Mistake(
        name="padded-heads-count",
        sentence="Heads that only pad take part: their scores are 0, so that their rows are "
        "exp(0 - logsumexp), the same for every key.",
        symptom="A flat head in the mixture, or one divergence too many in the sum.",
        mend="Cut padded heads off before the loss.",
        evidence="Head counts are padded to what a kernel or a device mesh takes.",
        variants=_NOT_PROJECTED,
        forms=(
            Form("one in the student", {"student_layout": Wrap(_uniform_heads(_one_more))}),
            Form("one in the teacher", {"teacher_layout": Wrap(_uniform_heads(_one_more))}),
            Form("one in both", _padded(_one_more)),
            Form(
                "in the student, up to the teacher's number",
                {"student_layout": Wrap(_uniform_heads(_of_the_teacher))},
            ),
            Form("in both, up to a multiple of 4", _padded(_multiple_of(4)), in_pairs=False),
            Form("in both, up to a multiple of 8", _padded(_multiple_of(8)), in_pairs=False),
        ),
    ),
)
