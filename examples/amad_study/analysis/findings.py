"""What is found: numbers, p-values adjusted for all of them, and a word."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from amad_study.analysis.evidence import Evidence, evidence_of
from amad_study.analysis.statistics import (
    PairedDifferences,
    correlation,
    holm,
    paired_differences,
    spread_ratio,
)
from amad_study.protocol.condition import Records, Weights
from amad_study.protocol.hypothesis import Comparison, Hypothesis, Judged

LEVEL = 0.05
_FEWEST_POINTS = 4
AHEAD, BEHIND, UNDECIDED = "ahead", "behind", "undecided"
INCOMPLETE, NOT_RUN, SHOWN = "incomplete", "not run", "shown only"
NO_TEACHER = "no teacher"


@dataclass(frozen=True)
class Finding:
    """One line of the report: paired differences, a ratio of spreads, or a correlation.

    Attributes:
        hypothesis: its name.
        label: what tells it from the others of the hypothesis.
        what: what is subtracted from what.
        score: of which score.
        differences: by seed; of a correlation over several comparisons by comparison and seed.
        planned: how many the protocol has.
        missing, unpaired, refused: seeds that do not count, see `Evidence`.
        paired: what the differences say; `None` with fewer than two seeds.
        spread: of a ratio of spreads, the ratio and Levene's p; else `None`.
        sides: of a ratio of spreads, by method the scores by seed.
        correlation: of a correlation, it and its p; else `None`.
        likeness: of a correlation, how alike the teacher's heads are, by comparison and seed.
        adjusted_t, adjusted_sign: p-values after Holm's correction; of a spread and of a
            correlation both are those of its one test.
        tested: whether it carries p-values; what is only shown has none, and no verdict.
        word: `"ahead"`, `"behind"` or `"undecided"`; `"incomplete"` and `"not run"` as long as
            seeds are missing, whatever the others say; `"no teacher"` where the gate refused those
            of all seeds. Of a spread `"ahead"` is more than 1, of a
            correlation more than 0.
    """

    hypothesis: str
    label: str
    what: str
    score: str
    differences: dict[str, float]
    planned: int
    missing: tuple[int, ...]
    unpaired: tuple[int, ...]
    refused: tuple[int, ...] = ()
    paired: PairedDifferences | None = None
    spread: tuple[float, float] | None = None
    sides: dict[str, dict[str, float]] = field(default_factory=dict)
    correlation: tuple[float, float] | None = None
    likeness: dict[str, float] = field(default_factory=dict)
    adjusted_t: float = 1.0
    adjusted_sign: float = 1.0
    tested: bool = True
    word: str = field(default=NOT_RUN)

    @property
    def complete(self) -> bool:
        """Whether every seed of the protocol that has a teacher counts."""
        return not self.missing and not self.unpaired

    @property
    def p_values(self) -> tuple[float, float]:
        """Of both tests before Holm's correction; 1 as long as it is not complete."""
        if not self.complete:
            return 1.0, 1.0
        if (one_test := self.spread or self.correlation) is not None:
            return one_test[1], one_test[1]
        return (self.paired.t_p, self.paired.sign_p) if self.paired else (1.0, 1.0)


def find(hypotheses: Sequence[Hypothesis], records: Records, weights: Weights) -> list[Finding]:
    """All findings, adjusted as one family.

    What is not complete is in the family with p-values of 1, so that no comparison gets an easier
    verdict because others were not run.
    """
    found = [one for hypothesis in hypotheses for one in _of(hypothesis, records, weights)]
    tested = [one for one in found if one.tested]
    adjusted = [holm([one.p_values[test] for one in tested]) for test in (0, 1)]
    judged = [
        _judged(replace(one, adjusted_t=t, adjusted_sign=sign))
        for one, t, sign in zip(tested, *adjusted, strict=True)
    ]
    return [*judged, *(one for one in found if not one.tested)]


def _of(hypothesis: Hypothesis, records: Records, weights: Weights) -> list[Finding]:
    evidence = [evidence_of(one, records, weights) for one in hypothesis.comparisons]
    found = [_difference(hypothesis.name, one) for one in evidence]
    if hypothesis.judged is Judged.CONTRAST:
        contrast = _contrast(hypothesis.name, evidence[0], evidence[-1])
        return [contrast, *(replace(one, tested=False, word=SHOWN) for one in found)]
    if hypothesis.judged is Judged.CORRELATION:
        return [_correlation(hypothesis.name, evidence)]
    if hypothesis.judged is Judged.SPREAD:
        return [_spread(one, of) for one, of in zip(found, evidence, strict=True)]
    return found


def _difference(name: str, evidence: Evidence) -> Finding:
    comparison = evidence.comparison
    return _with_numbers(
        Finding(
            hypothesis=name,
            label=comparison.label,
            what=_what(comparison),
            score=comparison.score,
            differences=_by_seed(evidence.differences),
            planned=len(comparison.seeds),
            missing=evidence.missing,
            unpaired=evidence.unpaired,
            refused=evidence.refused,
        )
    )


def _contrast(name: str, first: Evidence, last: Evidence) -> Finding:
    both = [seed for seed in last.differences if seed in first.differences]
    return _with_numbers(
        Finding(
            hypothesis=name,
            label=f"{last.comparison.label} against {first.comparison.label}",
            what=f"({_what(last.comparison)}) minus the same of {first.comparison.label}",
            score=last.comparison.score,
            differences=_by_seed(
                {seed: last.differences[seed] - first.differences[seed] for seed in both}
            ),
            planned=len(last.comparison.seeds),
            missing=tuple(sorted({*first.missing, *last.missing})),
            unpaired=tuple(sorted({*first.unpaired, *last.unpaired})),
            refused=tuple(sorted({*first.refused, *last.refused})),
        )
    )


def _spread(finding: Finding, evidence: Evidence) -> Finding:
    if finding.paired is None:
        return finding
    comparison = evidence.comparison
    sides = {
        comparison.first.method: _by_seed(evidence.first),
        comparison.second.method: _by_seed(evidence.second),
    }
    ratio = spread_ratio(*(list(side.values()) for side in sides.values()))
    return replace(finding, spread=ratio, sides=sides)


def _correlation(name: str, evidence: Sequence[Evidence]) -> Finding:
    places = [
        (one, seed, f"{one.comparison.label}, {seed}") for one in evidence for seed in one.first
    ]
    finding = Finding(
        hypothesis=name,
        label="all of them together",
        what=f"({_what(evidence[0].comparison)}) with how alike the teacher's heads are",
        score=evidence[0].comparison.score,
        differences={place: one.differences[seed] for one, seed, place in places},
        planned=sum(len(one.comparison.seeds) for one in evidence),
        missing=tuple(sorted({seed for one in evidence for seed in one.missing})),
        unpaired=tuple(sorted({seed for one in evidence for seed in one.unpaired})),
        refused=tuple(sorted({seed for one in evidence for seed in one.refused})),
        likeness={place: one.likeness[seed] for one, seed, place in places},
    )
    # All seeds of a teacher have one likeness: taken one by one, each teacher would count as many.
    points = [point for one in evidence for point in one.by_teacher]
    if len(points) < _FEWEST_POINTS:
        return finding
    likeness, differences = zip(*points, strict=True)
    return replace(_with_numbers(finding), correlation=correlation(likeness, differences))


def _by_seed(differences: dict[int, float]) -> dict[str, float]:
    return {str(seed): value for seed, value in differences.items()}


def _with_numbers(finding: Finding) -> Finding:
    values = list(finding.differences.values())
    return replace(finding, paired=paired_differences(values)) if len(values) > 1 else finding


def _what(comparison: Comparison) -> str:
    return f"{comparison.first.method} − {comparison.second.method}"


def _judged(finding: Finding) -> Finding:
    if not finding.differences:
        return replace(finding, word=NO_TEACHER if finding.complete else NOT_RUN)
    if not finding.complete or finding.paired is None:
        return replace(finding, word=INCOMPLETE)
    if finding.adjusted_t >= LEVEL or finding.adjusted_sign >= LEVEL:
        return replace(finding, word=UNDECIDED)
    if finding.spread is not None:
        return replace(finding, word=AHEAD if finding.spread[0] > 1 else BEHIND)
    if finding.correlation is not None:
        return replace(finding, word=AHEAD if finding.correlation[0] > 0 else BEHIND)
    wins = finding.paired.wins - finding.paired.losses
    if wins * finding.paired.mean <= 0:
        return replace(finding, word=UNDECIDED)  # the tests point in different directions
    return replace(finding, word=AHEAD if wins > 0 else BEHIND)
