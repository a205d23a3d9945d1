"""The answer in a few lines, written from the verdicts alone."""

from collections.abc import Sequence

from amad_study.analysis.findings import Finding
from amad_study.analysis.verdicts import (
    CONTRADICTED,
    MIXED,
    NO_VERDICT,
    SUPPORTED,
    UNDECIDED,
    Verdict,
)

LEADING = ("H1", "H2", "H3", "H9", "H12")
"""The hypotheses that the paper's claims stand or fall with; if one is missing, others move up."""

LINES = 5

_WORDS = {
    SUPPORTED: "This study supports it.",
    CONTRADICTED: "This study speaks against it.",
    MIXED: "It depends.",
    UNDECIDED: "Nothing was found that the tests agree on; it may be there all the same.",
    NO_VERDICT: "No answer yet.",
}


def answer(
    verdicts: Sequence[Verdict], findings: Sequence[Finding], *, complete: bool
) -> list[dict[str, str]]:
    """At most five lines: what was asked, a word, and the numbers that it rests on.

    Args:
        verdicts: of all hypotheses.
        findings: of all hypotheses.
        complete: whether every cell of the plan was run.
    """
    if not any(one.differences for one in findings):
        return []
    by_name = {one.name: one for one in verdicts}
    leading = [by_name[name] for name in LEADING if name in by_name]
    leading += [one for one in verdicts if one not in leading]
    return [
        {
            "hypothesis": one.name,
            "asked": one.sentence,
            "word": one.word,
            "told": f"{_WORDS[one.word]} {one.explanation}",
        }
        for one in leading[:LINES]
    ]
