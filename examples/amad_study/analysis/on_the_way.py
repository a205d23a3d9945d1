"""How fast students learn, and what becomes of their heads: tables beside the hypotheses."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

from amad_study.analysis.conditions import Row
from amad_study.protocol.condition import score_of
from amad_study.protocol.tables import MAIN_METHODS


def on_the_way(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Of the main methods in every usual condition, over the seeds that did not diverge.

    `"quarter"`, `"half"`: mean and spread of the score on validation after so much of the steps.
    `"mark"`: half of the way from the best blind answers to the teacher, mean of the seeds'
    teachers; `"reached"`: how many seeds came there, and `"steps"`: the median of when, if more
    than half did. `"evenness"`, `"likeness"`: of the alignment weights and of the student's heads,
    before and after; `"likeness of the teacher"`.
    """
    return [
        {
            "family": row.cell.family,
            "task": row.cell.task,
            "method": row.cell.method,
            "seeds": len(row.finished),
            **{part: _mean_and_spread(row, part) for part in ("quarter", "half")},
            **_steps_to_mark(row),
            **_heads(row),
        }
        for row in rows
        if row.usual and row.cell.method in MAIN_METHODS and row.finished
    ]


def _mean_and_spread(row: Row, part: str) -> list[float | None]:
    scores = [score_of(record, part) for record in row.finished.values()]
    return [fmean(scores), stdev(scores) if len(scores) > 1 else None]


def _steps_to_mark(row: Row) -> dict[str, Any]:
    if not row.gates:
        return {"mark": None, "reached": None, "steps": None}
    mark = fmean((gate["score"] + gate["blind"]) / 2 for gate in row.gates)
    curves = [record["curve"] for record in row.finished.values()]
    first = [next((step for step, score in curve if score >= mark), None) for curve in curves]
    reached = sorted(step for step in first if step is not None)
    never = [float("inf")] * (len(first) - len(reached))
    middle = median([*reached, *never])
    return {"mark": mark, "reached": len(reached), "steps": middle if middle < 1e9 else None}


def _heads(row: Row) -> dict[str, Any]:
    looks = [record["heads"] for record in row.finished.values()]
    return {
        "evenness": [_over_layers(looks, when, "evenness") for when in ("before", "after")],
        "likeness": [_over_layers(looks, when, "student") for when in ("before", "after")],
        "likeness of the teacher": _over_layers(looks, "before", "teacher"),
    }


def _over_layers(looks: Sequence[Mapping[str, Any]], when: str, name: str) -> float:
    return fmean(layer[name] for look in looks for layer in look[when].values())
