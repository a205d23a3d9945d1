"""Diagnosis: which known mistake, or which pair of them, gives what a port answered."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from amad_core.conformance.diagnosis.evidence import Evidence, Match
from amad_core.conformance.diagnosis.exhibit import Exhibit, Suspect
from amad_core.conformance.diagnosis.factors import gradient_ratio, matches_with_factor, plain_ratio
from amad_core.conformance.diagnosis.facts import known_facts, precision_mistake
from amad_core.conformance.diagnosis.formulas import Ratio
from amad_core.conformance.diagnosis.mistakes import mistake as mistake_named
from amad_core.conformance.diagnosis.near_misses import fitted_matches, near_matches, with_floors
from amad_core.conformance.diagnosis.search import all_suspects, pair_matches, single_matches
from amad_core.conformance.judging.judgement import Judgement
from amad_core.conformance.reports.explanation import Explanation

_EXPLANATIONS_LISTED = 8
"""At most so many explanations are listed."""

_ORDINARY_CASES = 4
"""From fewer cases than these nothing is concluded for a part of the cases."""

_EXACT = 1e-9
"""Below this error there is no number left to fit."""


@dataclass(frozen=True)
class Diagnosis:
    """What is known about a port that may disagree with the specification.

    Attributes:
        agrees: whether all values and gradients are the specification's.
        explanations: all that fit equally well, the likeliest first; empty where nothing fits.
        ratio: a plain factor between all values and the specification's; ``None`` for none.
        facts: one sentence each: which inputs agree, what the port is invariant to,
            its scale. Most useful where nothing fits.
    """

    agrees: bool
    explanations: tuple[Explanation, ...]
    ratio: Ratio | None
    facts: tuple[str, ...]

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


def diagnose(judgements: Sequence[Judgement]) -> Diagnosis:
    """Finds the mistakes that reproduce **all** values and gradients of a port.

    Singles are tried first, then numbers to fit, singles with a plain factor, and pairs. Tolerances
    follow from each judgement's dtype (see :mod:`amad_core.conformance.judging.tolerance`).

    Args:
        judgements: what the port was asked and what it answered; cases of
            :func:`discriminating_cases` tell mistakes apart; values and gradients may be missing
            or NaN.

    Returns:
        The diagnosis; explanations that match equally well are all listed.

    Raises:
        ValueError: no judgement, or judgements of several variants.
    """
    variants = {judgement.case.variant for judgement in judgements}
    if len(variants) != 1:
        raise ValueError(
            "diagnose needs judgements of one variant, at least one; diagnose each variant on its "
            f"own; got {len(judgements)} judgements of {', '.join(sorted(variants)) or 'none'}"
        )
    evidence = Evidence([Exhibit(judgement) for judgement in judgements])
    facts = known_facts(evidence)
    if evidence.agrees or not evidence.answered or evidence.never_finite:
        return Diagnosis(evidence.agrees and bool(evidence.answered), (), None, facts)
    ratio = plain_ratio(evidence) or gradient_ratio(evidence)
    return Diagnosis(False, _explanations(evidence, ratio), ratio, facts)


def _explanations(evidence: Evidence, ratio: Ratio | None) -> tuple[Explanation, ...]:
    suspects = all_suspects(evidence.variant)
    matches = single_matches(evidence, suspects)
    if not matches or min(match.error for match in matches) > _EXACT:
        matches += fitted_matches(evidence)
    matches = [match for match in matches if match.error <= evidence.unexplained]
    if not matches and evidence.unexplained == np.inf:
        matches = pair_matches(evidence, suspects)
    if matches:
        return _ranked(with_floors(evidence, matches))
    if ratio is not None:
        return ()
    return (
        factored_explanations(evidence, suspects)
        or _rounding(evidence)
        or _ranked(_extended(evidence, suspects))
        or _ordinary(evidence, suspects)
    )


def _extended(evidence: Evidence, suspects: list[Suspect]) -> list[Match]:
    if evidence.unexplained < np.inf:
        return []
    return with_floors(evidence, near_matches(evidence, suspects))


def _ordinary(evidence: Evidence, suspects: list[Suspect]) -> tuple[Explanation, ...]:
    """What explains the ordinary cases, if nothing explains all: rows sum to 1, values finite."""
    ordinary = [
        one
        for one in evidence.answered
        if one.is_finite
        and np.allclose(one.case.teacher.sum(axis=-1), 1)
        and np.allclose(one.case.student.sum(axis=-1), 1)
    ]
    others = tuple(one.case.name for one in evidence.answered if one not in ordinary)
    if len(ordinary) < _ORDINARY_CASES or not others:
        return ()
    fewer = Evidence(ordinary)
    if not fewer.differing:
        return ()
    matches = (
        single_matches(fewer, suspects)
        or pair_matches(fewer, suspects)
        or near_matches(fewer, suspects)
    )
    return tuple(
        replace(
            explanation,
            sentence=f"{explanation.sentence} This explains all cases but {', '.join(others)}.",
            except_for=others,
        )
        for explanation in _ranked(matches)
    )


def factored_explanations(evidence: Evidence, suspects: list[Suspect]) -> tuple[Explanation, ...]:
    """One mistake and a plain factor on top of it."""
    found = [
        _explanation(match, ratio)
        for match, ratio in matches_with_factor(evidence, suspects)[:_EXPLANATIONS_LISTED]
    ]
    return tuple(sorted(found, key=lambda explanation: explanation.error))


def _rounding(evidence: Evidence) -> tuple[Explanation, ...]:
    mistake = precision_mistake(evidence)
    if mistake is None:
        return ()
    gradients = sum(not np.isnan(one.gradient_error) for one in evidence.answered)
    told = from_catalogue(mistake.name)
    error = max(evidence.errors, default=0.0)
    return (replace(told, values=len(evidence.answered), gradients=gradients, error=error),)


def from_catalogue(name: str) -> Explanation:
    """What the catalogue says of one mistake."""
    entry = mistake_named(name)
    return Explanation(entry.name, entry.sentence, entry.symptom, entry.mend, (entry.name,))


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
    return tuple(by_names.values())[:_EXPLANATIONS_LISTED]


def _explanation(match: Match, factor: Ratio | None = None) -> Explanation:
    mistakes = [suspect.mistake for suspect in match.suspects]
    details = tuple(suspect.form.label for suspect in match.suspects)
    sentences = [
        f"{mistake.sentence.rstrip('.')} ({detail})." if detail else mistake.sentence
        for mistake, detail in zip(mistakes, details, strict=True)
    ]
    names = tuple(mistake.name for mistake in mistakes)
    return Explanation(
        name=" + ".join(names),
        sentence=" And: ".join(sentences + ([factor.sentence] if factor else [])),
        symptom=" ".join(mistake.symptom for mistake in mistakes),
        mend=" ".join(mistake.mend for mistake in mistakes),
        mistakes=names,
        details=details,
        values=match.values,
        gradients=match.gradients,
        error=match.error,
    )
