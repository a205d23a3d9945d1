"""Mistakes with heads: roles, counts, single heads and cells left out."""

import numpy as np

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.batch import both_layouts
from amad_core.conformance.diagnosis.mistakes.mistake import (
    TEACHER_GRADIENT,
    WHOLE_MAP,
    Form,
    Mistake,
    one,
)
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    aligned_maps,
)

_NOT_PROJECTED = ("mse", "kl", "js", "token")


def _exchanged(detach: str) -> Mutation:
    """Teacher and student change places; ``detach`` says which of the true ones is constant."""

    def inputs(problem: Problem, teacher: Array, student: Array) -> tuple[Problem, Array, Array]:
        stop = problem.arrays.stop_gradient
        if detach == "teacher":
            return problem, student, stop(teacher)
        return problem, stop(student), teacher

    return {"inputs": Replace(inputs)}


def _teacher_mixed() -> Mutation:
    """Student heads query teacher heads; the mixture of teacher heads is the target."""

    def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
        return inner(problem, mixture, target)

    return {**_exchanged("teacher"), "terms": Wrap(terms)}


def picked(pick: Stage) -> Stage:
    """A layout of those heads alone whose indices ``pick(problem, heads)`` gives."""

    def layout(inner: Stage, problem: Problem, maps: Array) -> Array:
        return inner(problem, problem.arrays.take(maps, pick(problem, maps.shape[1]), 1))

    return layout


def _without(index: int) -> Stage:
    def pick(problem: Problem, heads: int) -> list[int]:
        return [head for head in range(heads) if heads == 1 or head != index % heads]

    return picked(pick)


def _only(index: int) -> Stage:
    return picked(lambda problem, heads: [index % heads])


def _fewest(problem: Problem, heads: int) -> list[int]:
    return list(range(min(problem.teacher_heads, problem.student_heads)))


def _repeated(problem: Problem, heads: int) -> list[int]:
    count = max(problem.teacher_heads, heads)
    return [head % heads for head in range(count)]


def _repeated_in_blocks(problem: Problem, heads: int) -> list[int]:
    count = max(problem.teacher_heads, heads)
    return [head * heads // count for head in range(count)]


def _padded(inner: Stage, problem: Problem, maps: Array) -> Array:
    missing = max(problem.teacher_heads - maps.shape[1], 0)
    if missing == 0:
        return inner(problem, maps)
    zeros = maps[:, :1] * 0.0
    return inner(problem, problem.arrays.concatenate([maps] + [zeros] * missing, 1))


def _last_repeated(problem: Problem, heads: int) -> list[int]:
    return list(range(heads)) + [heads - 1] * max(problem.teacher_heads - heads, 0)


def one_to_one(choose: Stage) -> Mutation:
    """Weights that give teacher head i the student head ``choose(i)`` and nothing else."""

    def weights(problem: Problem, logits: Array) -> Array:
        teachers, students = logits.shape[-2], logits.shape[-1]
        chosen = np.zeros((teachers, students))
        for i in range(teachers):
            chosen[i, choose(i, teachers, students)] = 1.0
        shape = (*tuple(logits.shape[:-2]), teachers, students)
        return problem.arrays.constant(np.array(np.broadcast_to(chosen, shape)))

    return {"weights": Replace(weights)}


def _truncated_pairs() -> Mutation:
    return {**both_layouts(picked(_fewest)), **one_to_one(lambda i, teachers, students: i)}


def _cropped(queries: int, keys: int) -> Mutation:
    """The first rows and columns are set to 0, as if cropped."""

    def layout(inner: Stage, problem: Problem, maps: Array) -> Array:
        keep = np.ones((problem.queries, problem.keys), dtype=bool)
        keep[:queries] = False
        keep[:, :keys] = False
        return inner(problem, problem.arrays.where(keep, maps, 0.0))

    return both_layouts(layout)


MISTAKES = (
    Mistake(
        name="roles-swapped",
        sentence="The roles are swapped: student heads are explained by mixtures of teacher heads.",
        symptom="0.71 to 0.76 of the value with fewer student heads, 1.005 with equally many.",
        mend="Softmax over student heads for every teacher head; mix student heads.",
        evidence="Measured: disjoint heads 0.51, gradient cosine -0.41.",
        variants=_NOT_PROJECTED,
        forms=(
            Form("teacher and student exchanged", _exchanged("teacher")),
            Form("mixture of teacher heads as target", _teacher_mixed()),
        ),
    ),
    Mistake(
        name="arguments-swapped",
        sentence="Teacher and student arguments are exchanged: the student is detached and the "
        "teacher gets the gradient.",
        symptom="The student never moves.",
        mend="Pass the maps by keyword: teacher=..., student=....",
        evidence="labmlai #66: teacher logits in the student's place.",
        variants=_NOT_PROJECTED,
        forms=one(_exchanged("student")),
        found_by=TEACHER_GRADIENT,
    ),
    Mistake(
        name="head-left-out",
        sentence="One head is left out (or only one is used).",
        symptom="An off-by-one in a loop over heads; its gradient is 0.",
        mend="Use all heads.",
        forms=(
            Form("the teacher's last", {"teacher_layout": Wrap(_without(-1))}),
            Form("the student's last", {"student_layout": Wrap(_without(-1))}),
            Form("the teacher's first", {"teacher_layout": Wrap(_without(0))}),
            Form("the student's first", {"student_layout": Wrap(_without(0))}),
            Form("all but the teacher's first", {"teacher_layout": Wrap(_only(0))}),
            Form("all but the student's first", {"student_layout": Wrap(_only(0))}),
        ),
    ),
    Mistake(
        name="heads-truncated",
        sentence="Both models are cut to the smaller number of heads.",
        symptom="0.77 to 1.87 of the value; it changes when heads are permuted.",
        mend="Use all heads: the weights are rectangular.",
        evidence="TinyBERT #125.",
        forms=one(both_layouts(picked(_fewest))),
    ),
    Mistake(
        name="heads-paired-by-index",
        sentence="Teacher head i is compared with student head i: no alignment at all.",
        symptom="The value changes when student heads are permuted; it must not.",
        mend="Align with softmax weights (eq. 2).",
        evidence="zip() over heads of one-to-one losses.",
        forms=(
            Form("as many as both have", _truncated_pairs()),
            Form("i modulo Hs", one_to_one(lambda i, teachers, students: i % students)),
            Form("in blocks", one_to_one(lambda i, teachers, students: i * students // teachers)),
        ),
    ),
    Mistake(
        name="heads-padded-with-zeros",
        sentence="Missing student heads are padded with zeros and take part in the softmax.",
        symptom="Weight is lost to heads that do not exist.",
        mend="Leave the student's heads as many as they are.",
        forms=one({"student_layout": Wrap(_padded)}),
    ),
    Mistake(
        name="student-heads-repeated",
        sentence="Student heads are repeated until there are as many as the teacher has, some "
        "more often than others.",
        symptom="3 to 9 % where the numbers do not divide; no effect where every head is repeated "
        "equally often.",
        mend="Leave the student's heads as many as they are.",
        evidence="Measured: 1.03 to 1.09.",
        forms=(
            Form("in turn", {"student_layout": Wrap(picked(_repeated))}),
            Form("in blocks", {"student_layout": Wrap(picked(_repeated_in_blocks))}),
            Form("the last one", {"student_layout": Wrap(picked(_last_repeated))}),
        ),
    ),
    Mistake(
        name="first-cells-cropped",
        sentence="The first query and key ([CLS], sink) are left out although they count.",
        symptom="22 % of the mass is gone where a first token draws attention.",
        mend="Use all cells; what must not count belongs into the mask.",
        evidence="Measured on a public BLIP-2 port.",
        forms=(
            Form("first query and key", _cropped(1, 1)),
            Form("first key", _cropped(0, 1)),
            Form("first query", _cropped(1, 0)),
        ),
        variants=(*WHOLE_MAP, "token"),
    ),
    Mistake(
        name="student-mixed-for-the-teacher-only-once",
        sentence="One mixture (the mean of all teacher heads' weights) serves every teacher head.",
        symptom="Heads of the teacher are not told apart.",
        mend="One row of weights for every teacher head.",
        forms=one(
            {
                "mixture": Wrap(
                    lambda inner, problem, weights, student: aligned_maps(
                        problem,
                        problem.arrays.sum(weights, -2, True) / weights.shape[-2] + 0.0 * weights,
                        student,
                    )
                )
            }
        ),
    ),
)
