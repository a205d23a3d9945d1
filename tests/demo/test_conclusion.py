"""The verdict must follow from the numbers, whichever way they fall."""

import pytest

from amad_demo.conclusion import IN_THE_STUDY, conclude
from amad_demo.results import Results, StudentResult

RIVAL = [0.60, 0.62, 0.64]


def student(method: str, seed: int, accuracy: float, amad_loss: float) -> StudentResult:
    return StudentResult(
        method=method,
        seed=seed,
        cell="",
        accuracy=100 * accuracy,
        accuracy_by_steps=[],
        amad_loss=amad_loss,
        one_to_one_loss=1.0,
        seconds=1.0,
        curve=[(1, 100 * accuracy)],
        weights_before={},
        weights_after={},
        examples=[],
    )


def results(
    answers: list[float], one: list[float], amad: list[float], *, amad_loss: float = 1.0
) -> Results:
    students = [
        student(method, seed, accuracy, amad_loss if method == "amad" else 2.0)
        for method, accuracies in (("answers", answers), ("one-to-one", one), ("amad", amad))
        for seed, accuracy in enumerate(accuracies)
    ]
    return Results(config={}, versions={}, teacher={"blind_accuracy": 20.0}, students=students)


def words(*arguments: list[float], amad_loss: float = 1.0) -> str:
    return "\n".join(conclude(results(*arguments, amad_loss=amad_loss)))


def test_ahead_on_every_seed() -> None:
    text = words(RIVAL, [0.5, 0.5, 0.5], [0.70, 0.72, 0.74])
    assert text.endswith(IN_THE_STUDY)
    assert text.startswith("AMAD is ahead of both others on every one of 3 seeds")
    assert (
        "ahead of answers alone on all 3 seeds, by 10.0 points on average (+10.0 to +10.0)" in text
    )


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (
            [0.8, 0.8, 0.8],
            "AMAD is behind one-to-one on all 3 seeds, by 8.0 points on average (-10.0 to -6.0)",
        ),
        ([0.72, 0.72, 0.72], "AMAD and one-to-one are level (+0.0 points)"),
        (
            [0.60, 0.72, 0.75],
            "ahead on 1 of 3 seeds, 3.0 points more on average (-1.0 to +10.0); the seeds",
        ),
        (
            [0.60, 0.80, 0.85],
            "ahead on 1 of 3 seeds, 3.0 points fewer on average (-11.0 to +10.0); the seeds",
        ),
    ],
)
def test_not_ahead_of_one_of_them(one: list[float], sentence: str) -> None:
    text = words(RIVAL, one, [0.70, 0.72, 0.74])
    assert text.startswith("AMAD is not clearly ahead of both others")
    assert sentence in text


def test_behind_answers_alone() -> None:
    text = words([0.8], [0.6], [0.7])
    assert text.startswith("AMAD is not clearly ahead")
    assert "AMAD is 10.0 points behind answers alone, on a single seed." in text


def test_a_single_seed_may_be_luck() -> None:
    text = words([0.5], [0.6], [0.7])
    assert text.startswith("AMAD is ahead of both others on the only seed; that may be luck")


def test_students_that_learned_nothing_get_no_verdict() -> None:
    text = words([0.2, 0.21], [0.2, 0.19], [0.22, 0.23])
    assert text.startswith("No verdict")
    assert "ahead" not in text
    assert IN_THE_STUDY not in text


@pytest.mark.parametrize(
    ("amad_loss", "sentence"),
    [
        (1.0, "As intended, AMAD's students come closest"),
        (
            3.0,
            "Even in AMAD's own measure, AMAD's students do not come closest: Answers",
        ),
    ],
)
def test_the_attention_measure_is_told_as_it_is(amad_loss: float, sentence: str) -> None:
    assert sentence in words(RIVAL, RIVAL, RIVAL, amad_loss=amad_loss)
