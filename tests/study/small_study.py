"""A study of four students that take a second each; as a program, `amad study` with this plan."""

from typing import Any

from amad_study.models import teacher
from amad_study.models.gate import Gate
from amad_study.protocol import hypotheses, stages
from amad_study.protocol.condition import condition
from amad_study.protocol.hypothesis import Comparison, Hypothesis
from amad_study.runs import student

SMALL: dict[str, Any] = {
    "teacher_steps": 2,
    "train_examples": 64,
    "test_examples": 8,
    "steps": 12,
    "batch_size": 8,
}
FIRST, SECOND = (
    condition("vl-t5", "digit-questions", method, **SMALL) for method in ("amad-kl", "logits")
)
SEEDS = (102, 105)
PLAN = (Hypothesis("H1", "AMAD beats logits.", (Comparison("small", FIRST, SECOND),), quick=True),)

CHANGES: tuple[tuple[Any, str, Any], ...] = (
    (hypotheses, "HYPOTHESES", PLAN),
    (stages, "ORDER", PLAN),
    (stages, "LAST", ()),
    (stages, "QUICK_SEEDS", SEEDS),
    (stages, "_recipe", lambda *_: []),
    (stages, "_own_weights", lambda *_: []),
    (student, "_OF_TEACHERS", 64),
    (student, "_VALIDATION", 8),
    (student, "_ON_THE_WAY", 8),
    (teacher, "run_gate", lambda *_: Gate(90, 20, 20, 4)),
)

if __name__ in ("__main__", "__mp_main__"):  # the second in the processes that it starts
    for place, name, value in CHANGES:
        setattr(place, name, value)

if __name__ == "__main__":
    from amad_study.command import study

    study(prog_name="amad study")
