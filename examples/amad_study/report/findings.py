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
        cells[2] = f"ratio of spreads {number(finding['spread'][0], '.2f')}"
    if finding["correlation"] is not None:
        cells[2:5] = [f"correlation {number(finding['correlation'][0], '+.2f')}", "–", "–"]
    return cells
