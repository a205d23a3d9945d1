"""The report's charts, made from the summary."""

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

from markupsafe import Markup

from amad_study.analysis.numbers import number
from amad_study.protocol.tables import MAIN_METHODS
from amad_study.report import names
from amad_study.report.charts.curves import Curves, draw_curves
from amad_study.report.charts.groups import Lane, draw_groups
from amad_study.report.charts.scatter import Point, draw_scatter
from amad_study.report.charts.strips import Strip, draw_strips

PALETTE = {name: colour for colour, name in enumerate(MAIN_METHODS)}
_OF_PLACES = (5, 2, 3)


def strip_chart(hypothesis: dict[str, Any]) -> Markup:
    """The differences of a hypothesis or recipe by seed; empty as long as there are none."""
    shown = [one for one in hypothesis["findings"] if one["differences"] and not one["likeness"]]
    if not shown:
        return Markup("")
    if any(one["sides"] for one in shown if one["spread"] is not None):
        return _spread_chart(shown)
    strips = []
    for one in shown:
        paired, note = one["paired"], one["word"]
        if paired is not None:
            note = f"{number(paired['mean'], '+.1f')}, {note}"
        strips.append(
            Strip(
                label=names.readable(one["label"]),
                note=note,
                values={f"seed {seed}": value for seed, value in one["differences"].items()},
                mean=paired and paired["mean"],
                low=paired and paired["low"],
                high=paired and paired["high"],
            )
        )
    return draw_strips(strips, axis=_axis(one["what"] for one in shown))


def _axis(told: Iterable[str]) -> str:
    """What is subtracted, where it is the same in all of them."""
    whats = {what for what in told if not what.startswith("(")}  # that is a difference of these
    if len(whats) != 1:
        return "difference in points\nright of 0: the first is ahead"
    what = names.readable(whats.pop())
    return f"{what}, in points\nright of 0: {what.partition(' − ')[0]} is ahead"


def _spread_chart(findings: Sequence[dict[str, Any]]) -> Markup:
    """The scores of both sides about their own means."""
    strips = []
    for one in findings:
        for row, (method, scores) in enumerate(one["sides"].items()):
            note = f"spread {stdev(scores.values()):.1f}"
            if row:
                note += f"; ratio {number(one['spread'][0], '.2f')}, {one['word']}"
            mean = fmean(scores.values())
            strips.append(
                Strip(
                    label=f"{names.readable(one['label'])}: {names.method_name(method)}",
                    note=note,
                    values={f"seed {seed}": score - mean for seed, score in scores.items()},
                )
            )
    return draw_strips(strips, axis="score minus the mean over seeds, in points")


def curve_chart(one: dict[str, Any]) -> Markup:
    """Scores over training of the main methods, on one task."""
    drawn = [
        Curves(PALETTE[curve["method"]], curve["steps"], curve["seeds"]) for curve in one["methods"]
    ]
    return draw_curves(names.place_name(one["family"], one["task"]), drawn, one["teacher"])


def likeness_chart(finding: dict[str, Any]) -> Markup:
    """A correlation: a dot for every comparison and seed, comparisons by colour."""
    places = finding["likeness"]
    if len(set(places.values())) < 2:
        return Markup("")
    labels = list(dict.fromkeys(place.rpartition(",")[0] for place in places))
    drawn = [
        Point(
            likeness,
            finding["differences"][place],
            f"{names.readable(place)}: {finding['differences'][place]:+.1f}",
            _OF_PLACES[labels.index(place.rpartition(",")[0]) % len(_OF_PLACES)],
        )
        for place, likeness in places.items()
    ]
    legend = Markup("").join(
        Markup('<span><i class="c{}"></i>{}</span>').format(
            _OF_PLACES[row % len(_OF_PLACES)], names.readable(label)
        )
        for row, label in enumerate(labels)
    )
    what = names.readable(finding["what"].partition(")")[0][1:])
    return Markup('<p class="legend">{}</p>{}').format(
        legend,
        draw_scatter(drawn, "how alike the teacher's heads are (mean cosine)", f"{what}, points"),
    )


def sentence_charts(rows: Sequence[dict[str, Any]]) -> dict[str, Markup]:
    """The students of MiniLM, a chart for each score by its name; none without students."""
    if not any(one["seeds"] for one in rows):
        return {}
    return {
        score: draw_groups(
            score.capitalize(),
            {
                f"{heads}": [
                    Lane(
                        PALETTE[one["method"]],
                        names.sentence_method_name(one["method"]),
                        {seed: scores[score] for seed, scores in one["seeds"].items()},
                    )
                    for one in rows
                    if one["heads"] == heads
                ]
                for heads in dict.fromkeys(one["heads"] for one in rows)
            },
            "heads of the student",
        )
        for score in rows[0]["means"]
    }
