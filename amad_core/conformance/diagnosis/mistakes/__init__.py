"""The catalogue of known mistakes: each one executable, with a sentence, a symptom and a mend."""

from amad_core.conformance.diagnosis.mistakes import (
    alignment,
    batch,
    divergence,
    floor,
    gradient,
    granularity,
    head_groups,
    heads,
    masking,
    normalisation,
    projection,
    reduction,
    similarity,
    state,
    subsets,
    temperature,
    zeros,
)
from amad_core.conformance.diagnosis.mistakes.mistake import FittedForm, Form, Mistake

MISTAKES: tuple[Mistake, ...] = (
    *similarity.MISTAKES,
    *alignment.MISTAKES,
    *temperature.MISTAKES,
    *granularity.MISTAKES,
    *normalisation.MISTAKES,
    *divergence.MISTAKES,
    *reduction.MISTAKES,
    *heads.MISTAKES,
    *head_groups.MISTAKES,
    *batch.MISTAKES,
    *masking.MISTAKES,
    *gradient.MISTAKES,
    *floor.MISTAKES,
    *zeros.MISTAKES,
    *subsets.MISTAKES,
    *projection.MISTAKES,
    *state.MISTAKES,
)
"""Every known mistake, grouped as the stages of the loss follow each other."""

_BY_NAME = {entry.name: entry for entry in MISTAKES}


def mistake(name: str) -> Mistake:
    """The mistake of this name.

    Raises:
        KeyError: no mistake has this name; the message lists the nearest names.
    """
    if name not in _BY_NAME:
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(name, _BY_NAME, n=3)) or "none is near"
        raise KeyError(f"no known mistake is called {name!r}; near: {near}")
    return _BY_NAME[name]


__all__ = ["MISTAKES", "FittedForm", "Form", "Mistake", "mistake"]
