"""A finding as a row of a table."""

from typing import Any

from amad_study.analysis.numbers import interval, number, p_value
from amad_study.report.names import readable

COLUMNS = (
    "comparison",
    "seeds",
    "difference",
    "95 % interval",
    "d",
    "p, t-test",
    "p, signs",
    "",
)


def finding_cells(finding: dict[str, Any]) -> list[str]:
    """Its cells below `COLUMNS`; the last is the word.

    Args:
        finding: a `Finding` as a dictionary.
    """
    paired = finding["paired"]
    counted = finding["tested"] and not finding["missing"] and not finding["unpaired"]
    cells = [
        readable(f"{finding['label']}: {finding['what']}"),
        f"{len(finding['differences'])} of {finding['planned']}",
        number(paired and paired["mean"], "+.1f"),
        interval(paired["low"], paired["high"]) if paired else "–",
        number(paired and paired["effect"], ".2f"),
        p_value(finding["adjusted_t"]) if counted else "–",
        p_value(finding["adjusted_sign"]) if counted else "–",
        finding["word"],
    ]
    if finding["spread"] is not None:
        ratio = f"ratio of spreads {number(finding['spread'][0], '.2f')}"
        return [*cells[:2], *_of_one_test(ratio, cells[5], "Levene"), cells[-1]]
    if finding["correlation"] is not None:
        told = f"correlation {number(finding['correlation'][0], '+.2f')}"
        return [*cells[:2], *_of_one_test(told, cells[5], "Pearson"), cells[-1]]
    return cells


def _of_one_test(told: str, p: str, test: str) -> list[str]:
    """In place of difference, interval and d, which are of means, and of two p-values."""
    return [told, "–", "–", f"{p} ({test})" if p != "–" else p, "–"]


def finding_lines(finding: dict[str, Any]) -> tuple[str, str]:
    """The same for a terminal, however narrow: what is compared, and what came out."""
    compared, seeds, difference, interval_told, effect, p, by_signs, word = finding_cells(finding)
    told = [difference]
    if interval_told != "–":
        told = [f"{difference} points ({interval_told}), d {effect}"]
    told.append(f"{seeds} seeds")
    if by_signs != "–":
        told.append(f"p {p} by the t-test, {by_signs} by signs")
    elif p != "–":
        told.append(f"p {p}")
    return compared, f"{'; '.join(told)}: {word}"
