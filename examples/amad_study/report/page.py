"""The report as one page: everything in it comes from the summary, and is escaped."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from amad_study.protocol.tables import MAIN_METHODS
from amad_study.report import names
from amad_study.report.charts.curves import Curves, draw_curves
from amad_study.report.charts.scatter import Point, draw_scatter
from amad_study.report.charts.strips import Strip, draw_strips
from amad_study.report.pictures import alignment_picture, scene_picture
from amad_study.report.tables import (
    crossed_tables,
    other_conditions,
    recipe_table,
    scores_table,
    sentence_seeds,
    sentence_tables,
    way_tables,
)

_PALETTE = {name: number for number, name in enumerate(MAIN_METHODS)}
_OF_PLACES = (5, 2, 3)
_TEMPLATES = Path(__file__).parent / "templates"


def as_html(summary: dict[str, Any]) -> str:
    """A complete page that loads nothing else.

    Args:
        summary: what `amad_study.analysis.summary.summarise` gives.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=names.number,
        p=names.p_value,
        method=names.method_name,
        readable=names.readable,
    )
    return environment.get_template("report.html.jinja").render(
        summary,
        style=Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),
        place=names.place_name,
        palette=_PALETTE,
        scores_table=scores_table(summary["scores"]),
        crossed=crossed_tables(summary["scores"]),
        others=other_conditions(summary["scores"]),
        recipe_table=recipe_table(summary["recipe"]["settings"]) if summary["recipe"] else None,
        of_sentences=sentence_tables(summary["sentences"]["rows"]),
        seeds_of_sentences=sentence_seeds(summary["sentences"]["rows"]),
        ways=way_tables(summary["on the way"]),
        strips={one["name"]: _strips(one) for one in _judged(summary)},
        curve_charts=[_curves(one) for one in summary["curves"]],
        curve_methods=_methods(summary),
        charts_of_likeness={
            one["name"]: _likeness(finding)
            for one in summary["hypotheses"]
            for finding in one["findings"]
            if finding["likeness"]
        },
        look_pictures=[
            (look, alignment_picture(look), [scene_picture(one) for one in look["examples"]])
            for look in summary["looks"]
        ],
    )


def _judged(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [*summary["hypotheses"], *([summary["recipe"]] if summary["recipe"] else [])]


def _strips(hypothesis: dict[str, Any]) -> Markup:
    shown = [one for one in hypothesis["findings"] if one["differences"] and not one["likeness"]]
    if not shown:
        return Markup("")
    strips = []
    for one in shown:
        paired, note = one["paired"], one["word"]
        if one["spread"] is not None:
            note = f"ratio of spreads {names.number(one['spread'][0], '.2f')}: {note}"
        elif paired is not None:
            note = f"{names.number(paired['mean'], '+.1f')}, {note}"
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
    return draw_strips(strips, axis="difference in points; right of 0: the first is ahead")


def _methods(summary: dict[str, Any]) -> list[str]:
    drawn = [curve["method"] for one in summary["curves"] for curve in one["methods"]]
    return list(dict.fromkeys(drawn))


def _curves(one: dict[str, Any]) -> Markup:
    drawn = [
        Curves(_PALETTE[curve["method"]], curve["steps"], curve["seeds"])
        for curve in one["methods"]
    ]
    return draw_curves(names.place_name(one["family"], one["task"]), drawn, one["teacher"])


def _likeness(finding: dict[str, Any]) -> Markup:
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
