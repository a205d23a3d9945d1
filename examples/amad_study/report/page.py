"""The report as one page: everything in it comes from the summary, and is escaped."""

from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from amad_study.analysis import numbers
from amad_study.report import names
from amad_study.report.charts.standalone import TEMPLATES, chart_style
from amad_study.report.figures import (
    PALETTE,
    curve_chart,
    likeness_chart,
    sentence_charts,
    strip_chart,
)
from amad_study.report.of_sentences import sentence_seeds, sentence_tables
from amad_study.report.pictures import alignment_picture, scene_picture
from amad_study.report.tables import (
    OF_DIFFERENCES,
    RECIPE_REPEATED,
    beside_amad_table,
    crossed_tables,
    other_conditions,
    recipe_table,
    score_seeds,
    scores_table,
    way_tables,
)
from amad_study.report.told_first import told_first

_CHOSEN = ("recipe", "recipe again", "recipe elsewhere", "own weights")


def as_html(summary: dict[str, Any]) -> str:
    """A complete page that loads nothing else.

    Args:
        summary: what `amad_study.analysis.summary.summarise` gives.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=numbers.number,
        p=numbers.p_value,
        method=names.method_name,
        sentence_method=names.sentence_method_name,
        readable=names.readable,
        of_weight=names.weight_name,
    )
    sentences = summary["sentences"]["rows"]
    return environment.get_template("report.html.jinja").render(
        summary,
        style=Markup(chart_style() + (TEMPLATES / "style.css").read_text(encoding="utf-8")),
        place=names.place_name,
        told_first=told_first(summary),
        palette=PALETTE,
        scores_table=scores_table(summary["scores"]),
        beside_amad={"told": OF_DIFFERENCES, "table": beside_amad_table(summary["beside AMAD"])},
        crossed=crossed_tables(summary["scores"]),
        others=other_conditions(summary["scores"]),
        seeds_of_scores=score_seeds(summary["scores"]),
        recipe_repeated=RECIPE_REPEATED,
        chosen={
            name: {"table": recipe_table(summary[name]["settings"]), "found": summary[name]}
            for name in _CHOSEN
            if summary[name]
        },
        of_sentences=sentence_tables(sentences),
        seeds_of_sentences=sentence_seeds(sentences),
        charts_of_sentences=list(sentence_charts(sentences).values()),
        methods_of_sentences=list(dict.fromkeys(one["method"] for one in sentences)),
        ways=way_tables(summary["on the way"]),
        strips={one["name"]: strip_chart(one) for one in _judged(summary)},
        curve_charts=[curve_chart(one) for one in summary["curves"]],
        curve_methods=_methods(summary),
        charts_of_likeness={
            one["name"]: likeness_chart(finding)
            for one in summary["hypotheses"]
            for finding in one["findings"]
            if finding["likeness"]
        },
        look_pictures=[
            (look, alignment_picture(look), [scene_picture(one) for one in look["examples"]])
            for look in summary["looks"]
        ],
    )


def _methods(summary: dict[str, Any]) -> list[str]:
    drawn = [curve["method"] for one in summary["curves"] for curve in one["methods"]]
    return list(dict.fromkeys(drawn))


def _judged(summary: dict[str, Any]) -> list[dict[str, Any]]:
    chosen = [summary[name] for name in _CHOSEN]
    return [*summary["hypotheses"], *(one for one in chosen if one)]
