"""The pictures of the documentation's page, as files beside it."""

from typing import Any

from amad_study.report.charts.standalone import as_file
from amad_study.report.figures import sentence_charts, strip_chart

SHOWN = ("H1", "H2")
"""Hypotheses that the page has a picture of; the report has one of each."""


def picture_files(summary: dict[str, Any]) -> dict[str, str]:
    """By the file's name; pictures without anything to show are left out."""
    charts = {
        of_hypothesis(one["name"]): strip_chart(one)
        for one in summary["hypotheses"]
        if one["name"] in SHOWN
    }
    for score, chart in sentence_charts(summary["sentences"]["rows"]).items():
        charts[of_score(score)] = chart
    return {name: as_file(chart) for name, chart in charts.items() if chart}


def of_hypothesis(name: str) -> str:
    """What the picture of a hypothesis is called."""
    return f"study-{name.lower()}.svg"


def of_score(score: str) -> str:
    """What the picture of a score of MiniLM's students is called."""
    return f"study-sentences-{score.replace(' ', '-')}.svg"
