"""What all charts have in common: a scale, ticks, escaped text, the frame around it all."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

WIDTH = 360
"""Units across; a phone shows a chart at about its natural size, so that its text can be read."""


@dataclass(frozen=True)
class Scale:
    """From values to places along an axis.

    Attributes:
        low, high: values at the ends; they are not equal.
        start, end: places.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values within the scale."""
        found = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [float(one) for one in found if self.low - slack <= one <= self.high + slack]


def scale_around(values: Sequence[float], start: float, end: float, *also: float) -> Scale:
    """A scale that holds all values, and others that must be seen, with a little room."""
    low, high = min([*values, *also]), max([*values, *also])
    room = 0.04 * (high - low) or 1.0
    return Scale(low - room, high + room, start, end)


def svg(height: float, label: str, parts: Sequence[Markup], width: float = WIDTH) -> Markup:
    """The whole picture; the label is read out where it cannot be seen."""
    opening = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        _number(width), _number(height), label
    )
    return opening + Markup("").join(parts) + Markup("</svg>")


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line."""
    return element("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> Markup:
    """A line of text; anchored at its start, middle or end."""
    return element("text", kind, content, x=x, y=y, text_anchor=anchor)


def dot(x: float, y: float, kind: str, hint: str = "", radius: float = 3.4) -> Markup:
    """A dot, with a hint for whoever points at it."""
    inside = element("title", "", hint) if hint else ""
    return element("circle", kind, inside, cx=x, cy=y, r=radius)


def path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    """A line through points."""
    return element("polyline", kind, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def element(name: str, kind: str, content: str = "", **given: float | str) -> Markup:
    """An element of SVG; everything in it is escaped, unless it is markup already."""
    told = {"class": kind, **given} if kind else given
    attributes = "".join(
        f' {key.replace("_", "-")}="{escape(_number(value))}"' for key, value in told.items()
    )
    return Markup(f"<{name}{attributes}>") + escape(content) + Markup(f"</{name}>")


def tick_label(value: float) -> str:
    """A number as short as it can be said, with a true minus sign."""
    return f"{value:g}".replace("-", "\u2212")


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
