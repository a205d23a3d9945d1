"""Diagnosis: which known mistake, or which pair of them, gives what a port answered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from amad_core.conformance.diagnosis.evidence import Evidence, Match, Suspect
from amad_core.conformance.diagnosis.facts import known_facts, precision_mistake
from amad_core.conformance.diagnosis.mistakes import Mistake
from amad_core.conformance.diagnosis.near_misses import fitted_matches, near_matches
from amad_core.conformance.diagnosis.ratios import Ratio
from amad_core.conformance.diagnosis.scaling import gradient_ratio, matches_with_factor, plain_ratio
from amad_core.conformance.diagnosis.search import all_suspects, pair_matches, single_matches
from amad_core.conformance.inputs.case import Case, Observation

_LISTED = 8
"""At most so many explanations are listed."""

_FEW = 4
"""From fewer cases than these nothing is concluded for a part of the cases."""

_EXACT = 1e-9
"""Below this error there is no number left to fit."""


@dataclass(frozen=True)
class Explanation:
    """Known mistakes, one or two, rarely three, that give every value and gradient observed.

    Attributes:
        mistakes: the catalogue's entries.
        details: how each is made, where there are several ways (``"temperature 0.1"``).
        values, gradients: how many of each it reproduces: all that were observed.
        error: the largest relative distance of any of them.
        factor: a plain ratio on top of the mistake; ``None`` for none.
        except_for: names of cases that it does *not* reproduce, where nothing reproduces all: those
            are inputs out of the ordinary (rows that do not sum to 1, NaN).
    """

    mistakes: tuple[Mistake, ...]
    details: tuple[str, ...]
    values: int
    gradients: int
    error: float
    factor: Ratio | None = None
    except_for: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The mistakes' names, joined by " + "."""
        return " + ".join(mistake.name for mistake in self.mistakes)

    @property
    def sentence(self) -> str:
        """What the port does, for a human."""
        sentences = [
            f"{mistake.sentence.rstrip('.')} ({detail})." if detail else mistake.sentence
            for mistake, detail in zip(self.mistakes, self.details, strict=True)
        ]
        told = " And: ".join(sentences + ([self.factor.sentence] if self.factor else []))
        if not self.except_for:
            return told
        return f"{told} This explains all cases but {', '.join(self.except_for)}."

    @property
    def symptom(self) -> str:
        """How it shows."""
        return " ".join(mistake.symptom for mistake in self.mistakes)

    @property
    def mend(self) -> str:
        """What to change."""
        return " ".join(mistake.mend for mistake in self.mistakes)


@dataclass(frozen=True)
class Diagnosis:
    """What is known about a port that may disagree with the specification.

    Attributes:
        agrees: whether all values and gradients are the specification's.
        explanations: all that fit equally well, the likeliest first; empty where nothing fits.
        ratio: a plain factor between all values and the specification's; ``None`` for none.
        findings: facts, one sentence each: which inputs agree, what the port is invariant to,
            its scale. Most useful where nothing fits.
    """

    agrees: bool
    explanations: tuple[Explanation, ...]
    ratio: Ratio | None
    findings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.explanations:
            first, others = self.explanations[0], len(self.explanations) - 1
            more = f" ({others} more fit equally well)" if others else ""
            return f"{first.name}: {first.sentence}{more}"
        if self.ratio is not None:
            return self.ratio.sentence
        if self.agrees:
            return "All values and gradients are the specification's."
        return "No known mistake, and no pair of them, gives these values and gradients."


def diagnose(cases: Sequence[Case], observations: Sequence[Observation]) -> Diagnosis:
    """Finds the mistakes that reproduce **all** values and gradients of a port.

    Singles are tried first, then numbers to fit, singles with a plain factor, and pairs. Tolerances
    follow from each observation's dtype (see :mod:`amad_core.conformance.judging.tolerance`).

    Args:
        cases: what the port was asked; those of :func:`discriminating_cases` tell mistakes apart.
        observations: what it answered, one a case; values and gradients may be missing or NaN.

    Returns:
        The diagnosis; explanations that fit equally well are all listed.

    Raises:
        ValueError: as many observations as cases are needed, and at least one case; all cases of
            one variant.
    """
    if not cases or len(cases) != len(observations):
        raise ValueError(
            "diagnose needs one observation for every case, and at least one case; got "
            f"{len(cases)} cases and {len(observations)} observations"
        )
    if len({case.variant for case in cases}) > 1:
        raise ValueError("diagnose needs cases of one variant; diagnose each variant on its own")
    evidence = Evidence(cases, observations)
    findings = known_facts(evidence)
    if evidence.agrees or not evidence.answered:
        return Diagnosis(evidence.agrees and bool(evidence.answered), (), None, findings)
    ratio = plain_ratio(evidence) or gradient_ratio(evidence)
    return Diagnosis(False, _explanations(evidence, ratio), ratio, findings)


def _explanations(evidence: Evidence, ratio: Ratio | None) -> tuple[Explanation, ...]:
    suspects = all_suspects(evidence.cases[0].variant)
    matches = single_matches(evidence, suspects)
    if not matches or min(match.error for match in matches) > _EXACT:
        matches += fitted_matches(evidence)
    matches = [match for match in matches if match.error <= evidence.unexplained]
    if not matches and evidence.unexplained == np.inf:
        matches = pair_matches(evidence, suspects)
    if matches:
        return _ranked(matches)
    if ratio is not None:
        return ()
    return (
        factored_explanations(evidence, suspects)
        or _rounding(evidence)
        or _ranked(_extended(evidence, suspects))
        or _ordinary(evidence, suspects)
    )


def _extended(evidence: Evidence, suspects: list[Suspect]) -> list[Match]:
    return near_matches(evidence, suspects) if evidence.unexplained == np.inf else []


def _ordinary(evidence: Evidence, suspects: list[Suspect]) -> tuple[Explanation, ...]:
    """What explains the ordinary cases, if nothing explains all: rows sum to 1, values finite."""
    ordinary = [
        i
        for i in evidence.answered
        if np.isfinite(np.asarray(evidence.observations[i].value)).all()
        and np.allclose(evidence.cases[i].teacher.sum(axis=-1), 1)
        and np.allclose(evidence.cases[i].student.sum(axis=-1), 1)
    ]
    others = tuple(evidence.cases[i].name for i in evidence.answered if i not in ordinary)
    if len(ordinary) < _FEW or not others:
        return ()
    fewer = evidence.restricted(ordinary)
    if not fewer.differing:
        return ()
    matches = (
        single_matches(fewer, suspects)
        or pair_matches(fewer, suspects)
        or near_matches(fewer, suspects)
    )
    return tuple(replace(explanation, except_for=others) for explanation in _ranked(matches))


def factored_explanations(evidence: Evidence, suspects: list[Suspect]) -> tuple[Explanation, ...]:
    """One mistake and a plain factor on top of it."""
    found = [
        _explanation(match, ratio)
        for match, ratio in matches_with_factor(evidence, suspects)[:_LISTED]
    ]
    return tuple(sorted(found, key=lambda explanation: explanation.error))


def _rounding(evidence: Evidence) -> tuple[Explanation, ...]:
    mistake = precision_mistake(evidence)
    if mistake is None:
        return ()
    values, gradients = len(evidence.answered), int(np.sum(~np.isnan(evidence.gradient_errors)))
    error = float(np.nanmax([*evidence.value_errors, *evidence.gradient_errors]))
    return (Explanation((mistake,), ("",), values, gradients, error),)


def _ranked(matches: list[Match]) -> tuple[Explanation, ...]:
    """The best fits, and all that are as good up to rounding, every set of mistakes once.

    A fit that reproduces more cases is better than one that leaves some to a port's own floor.
    """
    if not matches:
        return ()
    most = max(match.values for match in matches)
    matches = [match for match in matches if match.values == most]
    best = min(match.error for match in matches)
    good = sorted(
        (match for match in matches if match.error <= 10 * best + 1e-11),
        key=lambda match: (len(match.suspects), round(np.log10(match.error + 1e-11))),
    )
    by_names: dict[frozenset[str], Explanation] = {}
    for match in good:
        names = frozenset(suspect.mistake.name for suspect in match.suspects)
        by_names.setdefault(names, _explanation(match))
    return tuple(by_names.values())[:_LISTED]


def _explanation(match: Match, factor: Ratio | None = None) -> Explanation:
    return Explanation(
        mistakes=tuple(suspect.mistake for suspect in match.suspects),
        details=tuple(suspect.form.label for suspect in match.suspects),
        values=match.values,
        gradients=match.gradients,
        error=match.error,
        factor=factor,
    )
