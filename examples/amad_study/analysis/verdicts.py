"""A verdict for every hypothesis, in cautious words."""

from collections.abc import Sequence
from dataclasses import dataclass

from amad_study.analysis.findings import AHEAD, BEHIND, INCOMPLETE, NO_TEACHER, NOT_RUN, Finding
from amad_study.analysis.numbers import interval, number
from amad_study.protocol.hypothesis import Hypothesis, Judged

SPREAD_BOUND = 0.5
"""A hypothesis about spreads says "at most half"."""

SUPPORTED, CONTRADICTED, MIXED = "supported", "contradicted", "mixed"
IN_PART = "in part contradicted"
"""Some comparisons contradict it, and none supports it."""

NO_VERDICT, UNDECIDED = "not complete", "undecided"

_FEW = 3
"""So many comparisons are told one by one, more by the least and the greatest of their numbers."""


@dataclass(frozen=True)
class Verdict:
    """Of one hypothesis.

    Attributes:
        name, sentence: of the hypothesis.
        judged: how.
        word: `"supported"`, `"contradicted"`, `"mixed"`, `"in part contradicted"`, `"undecided"` or
            `"not complete"`.
        explanation: a sentence with the numbers.
    """

    name: str
    sentence: str
    judged: str
    word: str
    explanation: str


def verdict(hypothesis: Hypothesis, findings: Sequence[Finding]) -> Verdict:
    """The verdict on a hypothesis from those of its findings that are tested and had teachers."""
    findings = [one for one in findings if one.tested and one.word != NO_TEACHER]
    word = _word(hypothesis, findings)
    return Verdict(
        hypothesis.name,
        hypothesis.sentence,
        hypothesis.judged.value,
        word,
        _explanation(hypothesis, findings, word),
    )


def _word(hypothesis: Hypothesis, findings: Sequence[Finding]) -> str:
    if not findings or any(one.word in (INCOMPLETE, NOT_RUN) for one in findings):
        return NO_VERDICT
    supported = sum(_supports(hypothesis, one) for one in findings)
    contradicted = sum(_contradicts(hypothesis, one) for one in findings)
    if supported == len(findings) or (supported and hypothesis.one_suffices):
        return SUPPORTED
    if contradicted == len(findings):
        return CONTRADICTED
    if supported:
        return MIXED
    return IN_PART if contradicted and not hypothesis.one_suffices else UNDECIDED


def _supports(hypothesis: Hypothesis, finding: Finding) -> bool:
    if hypothesis.judged is Judged.SPREAD and finding.spread and hypothesis.expected < 0:
        return finding.word == BEHIND and finding.spread[0] <= SPREAD_BOUND
    return finding.word == (AHEAD if hypothesis.expected > 0 else BEHIND)


def _contradicts(hypothesis: Hypothesis, finding: Finding) -> bool:
    return finding.word == (BEHIND if hypothesis.expected > 0 else AHEAD)


def _explanation(hypothesis: Hypothesis, findings: Sequence[Finding], word: str) -> str:
    if word == NO_VERDICT:
        pairs = sum(len(one.differences) for one in findings)
        planned = sum(one.planned for one in findings)
        return f"{pairs} of {planned} pairs of students are there; no verdict before all are."
    told = _counts(hypothesis, findings) + _range(hypothesis, findings)
    return f"{told}{_sides(hypothesis, findings)}" if word == UNDECIDED else told


def _counts(hypothesis: Hypothesis, findings: Sequence[Finding]) -> str:
    if len(findings) == 1:
        return ""
    by_word: dict[str, list[str]] = {SUPPORTED: [], CONTRADICTED: [], UNDECIDED: []}
    for one in findings:
        if _supports(hypothesis, one):
            word = SUPPORTED
        else:
            word = CONTRADICTED if _contradicts(hypothesis, one) else UNDECIDED
        by_word[word].append(one.label)
    told = [
        f"{word} in {len(labels)} ({'; '.join(labels)})"
        for word, labels in by_word.items()
        if labels
    ]
    if len(told) == 1:
        return f"So say all {len(findings)} comparisons. "
    return f"Of {len(findings)} comparisons {', '.join(told)}. "


def _range(hypothesis: Hypothesis, findings: Sequence[Finding]) -> str:
    several = "s" * (len(findings) > 1)
    if hypothesis.judged is Judged.SPREAD:
        ratios = [one.spread[0] for one in findings if one.spread]
        return f"Ratio{several} of spreads {_from_to(ratios, '.2f')}."
    if hypothesis.judged is Judged.CORRELATION:
        found = [one.correlation[0] for one in findings if one.correlation]
        return f"Correlation {_from_to(found, '+.2f')}."
    if 1 < len(findings) <= _FEW:
        each = "; ".join(
            f"{one.label} {number(one.paired.mean, '+.1f')} "
            f"({interval(one.paired.low, one.paired.high)})"
            for one in findings
            if one.paired
        )
        return f"Mean differences, with confidence intervals: {each}."
    paired = [one.paired for one in findings if one.paired]
    within = interval(min(one.low for one in paired), max(one.high for one in paired))
    return (
        f"Mean difference{several} {_from_to([one.mean for one in paired], '+.1f')} points, "
        f"confidence interval{several} from {within}."
    )


def _sides(hypothesis: Hypothesis, findings: Sequence[Finding]) -> str:
    """Where no word is said, the intervals may say something all the same."""
    paired = [one.paired for one in findings if one.paired]
    above, below = sum(one.low > 0 for one in paired), sum(one.high < 0 for one in paired)
    if hypothesis.judged is not Judged.EACH or len(paired) < 2 or not above + below:
        return ""
    return f" Of {len(paired)} intervals {above or 'none'} above zero, {below or 'none'} below."


def _from_to(values: Sequence[float], form: str) -> str:
    low, high = number(min(values), form), number(max(values), form)
    return low if low == high else f"from {low} to {high}"
