"""Pictures for the page: alignment, and scenes with what teacher and student look at."""

import base64
from io import BytesIO
from typing import Any

from markupsafe import Markup

from amad_study.report.charts.drawing import element, svg, text

_SIDE, _GAP, _LEFT, _TOP = 164, 12, 8, 22
_THINNEST, _THICKEST = 0.8, 7.0


def alignment_picture(look: dict[str, Any]) -> str:
    """Which teacher heads went to which student heads, as the address of a PNG."""
    from amad_torch import plot_alignment

    figure = plot_alignment(
        {
            "before training": look["alignment"]["before"],
            "after training": look["alignment"]["after"],
        }
    )
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def scene_picture(example: dict[str, Any]) -> Markup:
    """A scene twice: the thicker a frame, the more the teacher, and the student, looks there."""
    parts = []
    for column, who in enumerate(("teacher", "student")):
        left = _LEFT + column * (_SIDE + _GAP)
        said = example[who] or "(nothing)"
        right = "right" if said == example["target"] else "wrong"
        parts.append(
            element("text", f"label {right}", f"{who}: {said}", x=left, y=14, text_anchor="start")
        )
        parts.append(
            element(
                "image",
                "scene",
                href=f"data:image/png;base64,{example['picture']}",
                x=left,
                y=_TOP,
                width=_SIDE,
                height=_SIDE,
            )
        )
        parts.append(element("rect", "edge", x=left, y=_TOP, width=_SIDE, height=_SIDE))
        parts += _frames(example["boxes"], example[f"{who} attention"], left, example["side"])
    parts.append(text(_LEFT, _SIDE + 40, f"answer: {example['target']}", "note"))
    return svg(_SIDE + 48, f"Scene for the question {example['text']}", parts)


def _frames(
    boxes: list[list[float]], attention: list[float], left: float, side: int
) -> list[Markup]:
    unit = _SIDE / side
    return [
        element(
            "rect",
            "frame",
            element("title", "", f"{100 * weight:.0f} % of the attention"),
            x=left + unit * x1,
            y=_TOP + unit * y1,
            width=unit * (x2 - x1),
            height=unit * (y2 - y1),
            stroke_width=_THINNEST + (_THICKEST - _THINNEST) * weight,
            stroke_opacity=f"{min(1.0, 0.4 + 1.2 * weight):.2f}",
        )
        for (y1, x1, y2, x2), weight in zip(boxes, attention, strict=True)
    ]
