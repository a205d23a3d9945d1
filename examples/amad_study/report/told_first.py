"""The sentences that stand before the answer."""

from collections.abc import Sequence
from typing import Any

from amad_study.analysis.numbers import interval, number
from amad_study.report.names import place_name


def told_first(summary: dict[str, Any]) -> list[str]:
    """What is shown and not tested, a sentence each; only those that there is something to say of.

    Args:
        summary: what `amad_study.analysis.summary.summarise` gives.
    """
    told = (
        worth_told(summary["worth"]),
        mean_map_told(summary["beside AMAD"]),
        sentences_told(summary["sentences"]["rows"]),
    )
    return [sentence for sentence in told if sentence]


def worth_told(worth: Sequence[dict[str, Any]]) -> str:
    """What being taught attention adds, in a sentence; empty if unknown."""
    if not worth:
        return ""
    told = "; ".join(
        f"{number(one['least'] - one['without'], '+.1f')} to "
        f"{number(one['most'] - one['without'], '+.1f')} "
        f"({place_name(one['family'], one['task'])})"
        for one in worth
    )
    return (
        "What being taught attention adds to a student's score, in points, with the worst and the "
        f"best of four pairings of heads, over the teacher's answers alone: {told}."
    )


def mean_map_told(beside: Sequence[dict[str, Any]]) -> str:
    """How AMAD stands to the mean map with the same divergence, in a sentence; empty if unknown."""
    found = [one for one in beside if one["method"] == "mean-head-kl"]
    if not found:
        return ""
    first = found[0]
    within = interval(first["low"], first["high"])
    told = f"{number(first['mean'], '+.1f')} points ({within})."
    if len(found) > 1:
        least, most = (number(end(one["mean"] for one in found), "+.1f") for end in (min, max))
        below, above = sum(one["high"] < 0 for one in found), sum(one["low"] > 0 for one in found)
        told = (
            f"{least} to {most} points, and of {len(found)} intervals {below or 'none'} below "
            f"zero, {above or 'none'} above."
        )
    return (
        "AMAD minus the mean map, which weighs all heads alike, both with KL; shown and not "
        f"tested: {told}"
    )


def sentences_told(rows: Sequence[dict[str, Any]]) -> str:
    """What attention is worth to MiniLM's students, in a sentence; empty if one has no scores."""
    if not rows or any(one["means"]["cosine"] is None for one in rows):
        return ""
    taught, alone = (
        [one["means"]["cosine"] for one in rows if (one["method"] != "ground-truth") == whether]
        for whether in (True, False)
    )
    return (
        "A teacher that was really pre-trained, MiniLM-L6, whose students learn its embeddings of "
        f"sentences; shown and not tested: a cosine of {min(alone):.1f} to {max(alone):.1f} with "
        f"no attention term, and of {min(taught):.1f} to {max(taught):.1f} with one, over four "
        "pairings and four numbers of heads."
    )
