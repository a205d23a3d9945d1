"""Inputs drawn by Hypothesis; what fails is shrunk to its smallest form."""

from random import Random
from typing import TYPE_CHECKING

import numpy as np

from amad_core.conformance.inputs.borders import MASKED_SHAPES, SHAPES, prepared
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import FAILED, PASSED, CheckResult
from amad_core.conformance.judging.checks.values import value_or_gradient
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import Judgement

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from amad_core.conformance.strategies import AmadInputs

_MOST_CALLS_TO_SHRINK = 250


def check_drawn(examinee: Examinee) -> CheckResult:
    """Search for an input on which the port is wrong, and shrink it."""
    search = _Search(examinee)
    smallest = search.run()
    if smallest is None:
        return CheckResult(PASSED, cases=search.calls)
    return CheckResult(
        FAILED,
        f"the smallest wrong input: {value_or_gradient(examinee, smallest)}",
        search.calls,
        search.wrong,
        smallest,
    )


class _Search:
    """One run of Hypothesis, bounded in calls so that it takes as long as it always does."""

    def __init__(self, examinee: Examinee) -> None:
        self.calls = self.wrong = 0
        self._examinee = examinee
        self._smallest: Judgement | None = None
        self._calls_at_first = 0

    def run(self) -> Judgement | None:
        """The smallest wrong input, judged; ``None`` where none was found."""
        # Hypothesis takes half a second to import: only who draws pays.
        from hypothesis import HealthCheck, Phase, find, settings
        from hypothesis.errors import Flaky, NoSuchExample

        try:
            find(
                _strategy(self._examinee),
                self._is_wrong,
                settings=settings(
                    max_examples=self._examinee.max_examples,
                    phases=(Phase.generate, Phase.shrink),
                    suppress_health_check=list(HealthCheck),
                    database=None,
                    deadline=None,
                    derandomize=False,
                ),
                random=Random(self._examinee.seed),
            )
        except NoSuchExample:
            return None
        except Flaky:
            # A port that gives another result each time; the check of repeated calls says so.
            pass
        return self._smallest

    def _is_wrong(self, inputs: "AmadInputs") -> bool:
        case = _case(self._examinee, inputs)
        if self._smallest and self.calls - self._calls_at_first > _MOST_CALLS_TO_SHRINK:
            return _same(case, self._smallest.case)
        judgement = self._examinee.judge_unnamed(case)
        self.calls += 1
        if not value_or_gradient(self._examinee, judgement):
            return False
        if self._smallest is None:
            self._calls_at_first = self.calls
        self.wrong += 1
        self._smallest = judgement
        return True


def _same(case: Case, other: Case) -> bool:
    """Whether two cases hold the same maps."""
    return case.student.shape == other.student.shape and all(
        np.array_equal(getattr(case, name), getattr(other, name), equal_nan=name != "mask")
        for name in ("teacher", "student", "mask")
    )


def _case(examinee: Examinee, inputs: "AmadInputs") -> Case:
    teacher, student, mask = inputs
    case = Case("drawn", teacher, student, mask=mask)
    return examinee.fitting(prepared(case, examinee.terms, examinee.seed))


def _strategy(examinee: Examinee) -> "SearchStrategy[AmadInputs]":
    from hypothesis import strategies as st

    from amad_core.conformance.strategies import GENTLE_SCALES, amad_inputs

    def inputs_of(shape: tuple[int, ...], masked: bool) -> "SearchStrategy[AmadInputs]":
        batch, teacher_heads, student_heads, queries, keys = shape
        return amad_inputs(
            batch=batch,
            teacher_heads=teacher_heads,
            student_heads=student_heads,
            queries=queries,
            keys=keys,
            masked=masked,
            matching_supports=True,
            scales=GENTLE_SCALES,
            exact=True,
        )

    kinds = [(shape, False) for shape in SHAPES]
    if examinee.takes_masks:
        kinds += [(shape, True) for shape in (*MASKED_SHAPES, *MASKED_SHAPES)]
    return st.sampled_from(kinds).flatmap(lambda kind: inputs_of(*kind)).filter(_heads_have_mass)


def _heads_have_mass(inputs: "AmadInputs") -> bool:
    """Whether no head is empty in a sample where cells count.

    No softmax gives such a head: a row has mass on the keys that its model sees. Whether one is
    drawn would decide by luck about ports that divide by a norm with a floor.
    """
    teacher, student, mask = inputs
    if mask is None:
        return True
    counts = np.broadcast_to(mask, (len(student), *student.shape[2:]))[:, np.newaxis]
    some = counts.any(axis=(2, 3))
    return all(
        bool((((maps > 0) & counts).any(axis=(2, 3)) | ~some).all()) for maps in (teacher, student)
    )
