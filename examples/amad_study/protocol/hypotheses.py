"""The hypotheses of the study, in the order in which they count."""

from typing import Any

from amad_study.protocol.condition import condition
from amad_study.protocol.hypothesis import Comparison, Hypothesis, Judged
from amad_study.runs.cell import Cell

TASKS = tuple(
    (family, task)
    for family in ("vl-t5", "blip")
    for task in ("digit-questions", "digit-translation", "digit-captions")
)
"""Family and task, in the order in which they run."""

TEMPERATURES = (0.1, 0.3, 3.0, 10.0)
"""Of AMAD's weights, beside 1: from nearly best match to nearly the mean map."""

OTHER_PAIRINGS = ("one-to-one-kl", "best-match-kl", "mean-head-kl")

SMALL_BUDGETS: dict[str, dict[str, Any]] = {
    "150 steps": {"steps": 150},
    "500 examples": {"train_examples": 500},
}

PRETRAINED = {"pretraining_steps": 2000}
"""Of a teacher that matched pictures and captions before it learned its task."""


def _against(
    other: str, tasks: tuple[tuple[str, str], ...] = TASKS, **settings: Any
) -> tuple[Comparison, ...]:
    """AMAD by KL minus another method, on every task."""
    return tuple(
        Comparison(
            f"{family}, {task}",
            condition(family, task, "amad-kl", **settings),
            condition(family, task, other, **settings),
        )
        for family, task in tasks
    )


def _questions(method: str, **settings: Any) -> Cell:
    return condition("vl-t5", "digit-questions", method, **settings)


def _on_questions(label: str, first: str, second: str, **settings: Any) -> Comparison:
    return Comparison(label, _questions(first, **settings), _questions(second, **settings))


HYPOTHESES = (
    Hypothesis(
        "H1",
        "AMAD beats one-to-one with the same divergence.",
        _against("one-to-one-kl"),
        quick=True,
    ),
    Hypothesis(
        "H2",
        "AMAD beats best match with the same divergence.",
        _against("best-match-kl"),
        quick=True,
    ),
    Hypothesis(
        "H3",
        "Against the mean map AMAD falls behind where a question takes more steps.",
        tuple(
            Comparison(
                f"vl-t5, {steps}",
                _questions("amad-kl"),
                _questions("mean-head-kl"),
                f"accuracy: {steps}",
            )
            for steps in ("1 step", "2 steps", "3 steps")
        ),
        Judged.CONTRAST,
        expected=-1,
        quick=True,
    ),
    Hypothesis(
        "H4",
        "The spread of AMAD over orders of heads is at most half of one-to-one's.",
        _against("one-to-one-kl"),
        Judged.SPREAD,
        expected=-1,
        quick=True,
    ),
    Hypothesis(
        "H5",
        "With a student that begins as a part of its teacher, one-to-one is better than AMAD.",
        (
            _on_questions(
                "vl-t5, heads of the teacher",
                "one-to-one-kl",
                "amad-kl",
                student="student-3-of-8-heads",
                start="heads of the teacher",
            ),
        ),
        quick=True,
    ),
    Hypothesis(
        "H6",
        "What AMAD is behind the mean map shrinks with the width of the student's heads.",
        tuple(
            _on_questions(label, "amad-kl", "mean-head-kl", student=student)
            for label, student in (
                ("vl-t5, 3 heads of 12", "student-3-heads"),
                ("vl-t5, 3 heads of 24", "student-3-heads-of-24"),
                ("vl-t5, 3 heads of 40", "student-3-heads-of-40"),
            )
        ),
        Judged.CONTRAST,
        quick=True,
    ),
    Hypothesis(
        "H6b",
        "At equal width of all heads together, AMAD is better with 3 heads than with 6.",
        (
            Comparison(
                "vl-t5, 3 heads of 24 minus 6 of 12",
                _questions("amad-kl", student="student-3-heads-of-24"),
                _questions("amad-kl", student="student-6-heads"),
            ),
        ),
    ),
    Hypothesis(
        "H7",
        "A temperature between best match and the mean map beats the mean map.",
        (
            *(
                Comparison(
                    f"vl-t5, temperature {temperature:g}",
                    _questions("amad-kl", temperature=temperature),
                    _questions("mean-head-kl"),
                )
                for temperature in TEMPERATURES
            ),
            Comparison(
                "vl-t5, temperature from 10 to 0.1",
                _questions("amad-kl", temperature=10.0, last_temperature=0.1),
                _questions("mean-head-kl"),
            ),
            Comparison(
                "vl-t5, temperature learned",
                _questions("amad-kl-learned-temperature"),
                _questions("mean-head-kl"),
            ),
        ),
        one_suffices=True,
        quick=True,
    ),
    Hypothesis(
        "H8",
        "AMAD is better without the cells of sinks.",
        (_on_questions("vl-t5", "amad-kl-without-sinks", "amad-kl"),),
    ),
    Hypothesis(
        "H9",
        "From a teacher with multimodal pre-training AMAD makes up for a student's lack of it, "
        "more than one-to-one does.",
        (
            _on_questions("vl-t5, AMAD minus one-to-one", "amad-kl", "one-to-one-kl", **PRETRAINED),
            Comparison(
                "vl-t5, AMAD minus ground truth with pre-training of the student",
                _questions("amad-kl", **PRETRAINED),
                _questions("ground-truth", start="pre-trained", **PRETRAINED),
            ),
        ),
    ),
    Hypothesis(
        "H10",
        "What AMAD gains over ground truth is less with more steps.",
        tuple(
            _on_questions(f"vl-t5, {steps} steps", "amad-kl", "ground-truth", steps=steps)
            for steps in (150, 600, 2400)
        ),
        Judged.CONTRAST,
        expected=-1,
    ),
    Hypothesis(
        "H10b",
        "What AMAD gains over ground truth is less with more examples.",
        tuple(
            _on_questions(f"vl-t5, {examples} examples", "amad-kl", "ground-truth", **settings)
            for examples, settings in ((500, {"train_examples": 500}), (4000, {}))
        ),
        Judged.CONTRAST,
        expected=-1,
    ),
    Hypothesis(
        "H11",
        "It is the alignment that helps: AMAD beats itself with weights that are permuted, equal, "
        "or not learned through.",
        tuple(
            _on_questions(f"vl-t5, {control}", "amad-kl", f"amad-kl-{control}")
            for control in ("permuted", "uniform", "detached")
        ),
    ),
    Hypothesis(
        "H12",
        "AMAD gains the more on one-to-one, the more alike the teacher's heads are.",
        _against("one-to-one-kl"),
        Judged.CORRELATION,
    ),
    Hypothesis(
        "H13",
        "H1 to H3 hold with another map of layers.",
        tuple(
            _on_questions(f"vl-t5, first layers, {other}", "amad-kl", other, layers="first")
            for other in OTHER_PAIRINGS
        ),
    ),
    Hypothesis(
        "H14",
        "In 150 steps, or from 500 examples, AMAD beats the other pairings (added later).",
        tuple(
            _on_questions(f"vl-t5, {budget}, {other}", "amad-kl", other, **settings)
            for budget, settings in SMALL_BUDGETS.items()
            for other in OTHER_PAIRINGS
        ),
    ),
)


def hypothesis(name: str) -> Hypothesis:
    """A hypothesis by its name.

    Raises:
        ValueError: there is none of that name.
    """
    for one in HYPOTHESES:
        if one.name == name:
            return one
    raise ValueError(f"name is {name!r}, expected one of {', '.join(h.name for h in HYPOTHESES)}")
