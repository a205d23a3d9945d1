"""A wrong input and its gradient as a picture: a line of heads each, a square a cell."""

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.judging.judgement import Judgement

_CELL, _GAP, _LABEL = 16, 14, 150
_WIDEST, _MOST_QUERIES = 800, 16
_KEY = (
    "<small>The first sample, a square a cell. Blue: above zero, red: below, the fuller the "
    "larger; amber: NaN or infinite; dashed: masked out.</small>"
)

_Maps = NDArray[np.float64]


def picture(judgement: Judgement) -> str:
    """The first sample as inline SVG: its maps, and the port's gradient above the right one.

    Empty where it would be too large.
    """
    case, found = judgement.case, judgement.answer.grad_student
    wanted = judgement.expected.grad_student
    pairs = [(("teacher", case.teacher[0]), ("student", case.student[0]))]
    if found is not None and wanted is not None and found.shape == wanted.shape:
        pairs.append((("gradient of the port", found[0]), ("specification", wanted[0])))
    heads, (queries, keys) = (
        max(case.teacher.shape[1], case.student.shape[1]),
        case.teacher.shape[2:],
    )
    width, line = _LABEL + heads * (keys * _CELL + _GAP), queries * _CELL + _GAP
    if width > _WIDEST or queries > _MOST_QUERIES:
        return ""
    mask = np.ones((queries, keys), bool) if case.mask is None else case.mask[0]
    drawn, top = "", 0
    for pair in pairs:
        largest = max(_largest(maps) for _, maps in pair)
        for label, maps in pair:
            drawn += f'<text x="0" y="{top + 12}">{label}</text>{_line(maps, mask, largest, top)}'
            top += line
    return (
        f'<svg viewBox="0 0 {width} {top}" width="{width}" role="img" '
        f'aria-label="maps and gradients of the first sample">{drawn}</svg>{_KEY}'
    )


def _largest(maps: _Maps) -> float:
    return float(np.abs(maps[np.isfinite(maps)]).max(initial=0.0)) or 1.0


def _line(maps: _Maps, mask: NDArray[np.bool_], largest: float, top: int) -> str:
    """Heads side by side."""
    cells = []
    for (head, query, key), number in np.ndenumerate(maps):
        left = _LABEL + head * (maps.shape[2] * _CELL + _GAP) + key * _CELL
        finite = np.isfinite(number)
        kind = ("below" if number < 0 else "above") if finite else "odd"
        fullness = abs(number) / largest if finite else 1.0
        cells.append(
            f'<rect x="{left}" y="{top + query * _CELL}" width="{_CELL - 2}" height="{_CELL - 2}" '
            f'class="{kind}{"" if mask[query, key] else " masked"}" fill-opacity="{fullness:.2f}">'
            f"<title>{number:.6g}</title></rect>"
        )
    return "".join(cells)
