"""A chart as a file of its own, with its colours, for pages that are not the report."""

from pathlib import Path

from markupsafe import Markup

_WIDTH = 480
"""Pixels at which it is shown, where there is room."""

TEMPLATES = Path(__file__).parents[1] / "templates"


def chart_style() -> str:
    """The colours of a page, light and dark, and how charts use them."""
    return (TEMPLATES / "chart.css").read_text(encoding="utf-8")


def as_file(chart: Markup) -> str:
    """A chart as the text of an SVG file, on a ground of its own; dark for readers in the dark."""
    opening, rest = chart.split(">", 1)
    return (
        f'{opening} xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" '
        'font-family="system-ui, sans-serif" style="background: var(--card)">'
        f"<style>{chart_style()}</style>{rest}\n"
    )
