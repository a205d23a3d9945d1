"""The answer in a few lines, written from scores and verdicts alone."""

from collections.abc import Sequence
from typing import Any

from amad_study.analysis.findings import Finding
from amad_study.analysis.verdicts import (
    CONTRADICTED,
    IN_PART,
    MIXED,
    NO_VERDICT,
    SUPPORTED,
    UNDECIDED,
    Verdict,
)
from amad_study.protocol.own_weights import NAMED as OWN_WEIGHTS
from amad_study.protocol.recipe import CONFIRMED, CONFIRMED_AGAIN, ELSEWHERE
from amad_study.protocol.tables import ATTENTION_METHODS

LEADING = ("H1", "H2", CONFIRMED, "H9", "H12")
"""What the paper's claims stand or fall with, and the recipe; if one is missing, others move up."""

LINES = 5

_TOLD_WITH = {
    OWN_WEIGHTS: ("H1", "With weights chosen on translation it is", " there"),
    CONFIRMED_AGAIN: (CONFIRMED, "On further seeds it is", ""),
    ELSEWHERE: (CONFIRMED, "On translation and captions it is", ""),
}

_WORDS = {
    SUPPORTED: "This study supports it.",
    CONTRADICTED: "This study speaks against it.",
    MIXED: "It depends.",
    IN_PART: "No comparison supports it, and a part speaks against it.",
    UNDECIDED: (
        "Nothing was found that the tests agree on, which does not show that there is nothing."
    ),
    NO_VERDICT: "No answer yet.",
}


def worth_of_attention(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By family and task, what students score with attention taught and without.

    Args:
        scores: the summary's, of all conditions.

    Returns:
        `least` and `most`, of the means of all pairings by KL, and `without`, taught the teacher's
        answers alone; only where all of them were run.
    """
    means: dict[tuple[str, str], dict[str, float]] = {}
    for one in scores:
        if not one["settings"] and len(one["seeds"]) == one["planned"]:
            means.setdefault((one["family"], one["task"]), {})[one["method"]] = one["mean"]
    told = []
    for (family, task), by_method in means.items():
        if {"logits", *ATTENTION_METHODS} <= set(by_method):
            taught = [by_method[name] for name in ATTENTION_METHODS]
            least, most = min(taught), max(taught)
            without = by_method["logits"]
            told.append(
                {"family": family, "task": task, "least": least, "most": most, "without": without}
            )
    return told


def answer(verdicts: Sequence[Verdict], findings: Sequence[Finding]) -> list[dict[str, str]]:
    """At most five lines: what was asked, a word, and the numbers that it rests on.

    Args:
        verdicts: of all hypotheses and of the recipe; that of weights chosen on translation is
            told with H1, those of the recipe on further seeds and on other tasks with it.
        findings: of all hypotheses.
    """
    if not any(one.differences for one in findings):
        return []
    by_name = {one.name: one for one in verdicts}
    leading = [by_name[name] for name in LEADING if name in by_name]
    leading += [one for one in verdicts if one not in leading and one.name not in _TOLD_WITH]
    beside: dict[str, str] = {}
    for name, (with_which, opening, closing) in _TOLD_WITH.items():
        if (told := by_name.get(name)) is not None and told.word != NO_VERDICT:
            sentences = f" {opening} {told.word}{closing}. {told.explanation}"
            beside[with_which] = beside.get(with_which, "") + sentences
    return [
        {
            "hypothesis": one.name,
            "asked": one.sentence,
            "word": one.word,
            "told": f"{_WORDS[one.word]} {one.explanation}{beside.get(one.name, '')}",
        }
        for one in leading[:LINES]
    ]
