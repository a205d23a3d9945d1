"""The search for a recipe: the best setting of every pairing of heads, and its confirmation.

On the questions with VL-T5 and all else as usual, which is the regime that it is a recipe for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from amad_study.protocol.condition import (
    CONFIRMATION_SEEDS,
    FURTHER_SEEDS,
    TUNING_SEEDS,
    Records,
    Weights,
    at_seed,
    best_tried,
    condition,
    tuned_as,
    with_weight,
)
from amad_study.protocol.hypothesis import Comparison, Hypothesis
from amad_study.runs.cell import Cell

CONFIRMED = "R"
"""What the confirmation is called beside the hypotheses."""

CONFIRMED_AGAIN, ELSEWHERE = "R2", "R3"
"""And the one on further seeds, and what is asked of other tasks."""

OTHER_TASKS = ("digit-translation", "digit-captions")
SEEDS_ELSEWHERE = FURTHER_SEEDS[:12]

_PEERS = ("one-to-one", "best-match", "mean-head")


def _settings(method: str, weights: Iterable[float], **settings: float) -> list[Cell]:
    one = condition("vl-t5", "digit-questions", method, **settings)
    return [with_weight(one, weight) for weight in weights]


FIRST_ROUND: Mapping[str, tuple[Cell, ...]] = {
    "amad": (
        *_settings("amad-kl", (0.1, 0.3, 1.0)),
        *_settings("amad-kl", (0.1, 0.3, 1.0), temperature=10.0),
        *_settings("amad-kl", (0.1, 0.3, 1.0), temperature=10.0, last_temperature=0.1),
        *_settings("amad-js", (0.1, 0.3, 1.0)),
    ),
    **{
        pairing: tuple(
            one
            for divergence in ("kl", "js", "mse")
            for one in _settings(f"{pairing}-{divergence}", (0.03, 0.1, 0.3, 1.0))
        )
        for pairing in _PEERS
    },
}
"""Twelve settings of every pairing, which other stages have run on the tuning seeds."""

SECOND_ROUND: tuple[Mapping[str, object], ...] = (
    {"layers": "first"},
    {"parts": ("t5.encoder",)},
    {"parts": ("t5.decoder",)},
    {"release": 0.5},
    {"release": 0.25},
)
"""Each is tried with the best of the first round, for every pairing."""


def changed(best: Cell) -> list[Cell]:
    """A setting with every change of the second round."""
    return [replace(best, **change) for change in SECOND_ROUND]  # type: ignore[arg-type]


def best_settings(records: Records) -> dict[str, Cell]:
    """Of every pairing the setting with the best mean over the tuning seeds, of both rounds.

    The earlier of equal ones; nothing as long as one pairing has not had all its tries.
    """
    found: dict[str, Cell] = {}
    for pairing, settings in FIRST_ROUND.items():
        first = best_of(settings, records)
        both = None if first is None else best_of([first, *changed(first)], records)
        if both is None:
            return {}
        found[pairing] = both
    return found


def on_tuning_seeds(settings: Iterable[Cell]) -> list[Cell]:
    """The cells of settings that are tried."""
    return [at_seed(one, seed) for one in settings for seed in TUNING_SEEDS]


def confirmation_cells(
    best: Mapping[str, Cell], seeds: Sequence[int] = CONFIRMATION_SEEDS
) -> list[Cell]:
    """The cells of the best settings on seeds that nothing was chosen on."""
    return [at_seed(one, seed) for one in best.values() for seed in seeds]


def confirmation(best: Mapping[str, Cell]) -> tuple[Hypothesis, Weights]:
    """What is confirmed, and the weights that its cells have."""
    sentence = (
        "On questions with VL-T5 the best setting of AMAD beats those of one-to-one, best match "
        "and the mean map."
    )
    return _confirmed(CONFIRMED, sentence, best, CONFIRMATION_SEEDS)


def confirmation_again(best: Mapping[str, Cell]) -> tuple[Hypothesis, Weights]:
    """The same on further seeds."""
    sentence = (
        f"On {len(FURTHER_SEEDS)} further seeds, too, this setting of AMAD beats those of "
        "one-to-one, best match and the mean map."
    )
    return _confirmed(CONFIRMED_AGAIN, sentence, best, FURTHER_SEEDS)


def elsewhere(best: Mapping[str, Cell]) -> dict[str, dict[str, Cell]]:
    """By task the same settings as they are, on the other tasks of VL-T5."""
    return {
        task: {pairing: replace(one, task=task) for pairing, one in best.items()}
        for task in OTHER_TASKS
    }


def cells_elsewhere(best: Mapping[str, Cell]) -> list[Cell]:
    """Their cells."""
    return [
        cell
        for there in elsewhere(best).values()
        for cell in confirmation_cells(there, SEEDS_ELSEWHERE)
    ]


def comparison_elsewhere(best: Mapping[str, Cell]) -> tuple[Hypothesis, Weights]:
    """What is compared there, and the weights that its cells have."""
    sentence = (
        "With the settings that are best on questions AMAD beats one-to-one, best match and the "
        "mean map on translation and captions, too."
    )
    comparisons = tuple(
        one
        for task, there in elsewhere(best).items()
        for one in _comparisons(there, SEEDS_ELSEWHERE, f"vl-t5, {task}, ")
    )
    return Hypothesis(ELSEWHERE, sentence, comparisons), _weights(best)


def _confirmed(
    name: str, sentence: str, best: Mapping[str, Cell], seeds: tuple[int, ...]
) -> tuple[Hypothesis, Weights]:
    return Hypothesis(name, sentence, _comparisons(best, seeds)), _weights(best)


def _comparisons(
    best: Mapping[str, Cell], seeds: tuple[int, ...], where: str = ""
) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(f"{where}{pairing}", best["amad"], best[pairing], seeds=seeds)
        for pairing in _PEERS
    )


def _weights(best: Mapping[str, Cell]) -> Weights:
    return {tuned_as(one): one.weight for one in best.values()}


def best_of(settings: Iterable[Cell], records: Records) -> Cell | None:
    """The setting with the best mean over the tuning seeds, see `best_tried`."""
    return best_tried({one: on_tuning_seeds([one]) for one in settings}, records)
