"""The tables of the report: methods by tasks, and pairings by divergences."""

from collections.abc import Collection, Sequence
from typing import Any

from amad_study.analysis.numbers import interval, number
from amad_study.protocol.tables import DIVERGENCES, MAIN_METHODS, PAIRINGS
from amad_study.report.names import DIVERGENCE_NAMES, METHOD_NAMES, method_name, place_name

_CROSSED = {f"{pairing}-{divergence}" for pairing in PAIRINGS for divergence in DIVERGENCES}

Table = dict[str, Any]
"""`columns`, and `rows` of a heading and cells; a cell has `text` and perhaps a `note`."""


OF_DIFFERENCES = (
    "AMAD, KL, minus each of the others, seed by seed: the mean difference and its 95 % interval. "
    "Put down before the runs, and tested, are H1 and H2 alone, against one-to-one and best match "
    "on the six tasks that are made; the rest is shown, and of so many intervals some leave out "
    "zero by chance."
)


RECIPE_REPEATED = {
    "recipe again": (
        "The same settings on further seeds, added after R had been seen, and put down before any "
        "of these students was trained"
    ),
    "recipe elsewhere": (
        "The same settings on other tasks, as they are, added after R had been seen, and put down "
        "before any of these students was trained"
    ),
}
"""What of the summary repeats the recipe, and how it is introduced."""


def scores_table(scores: Sequence[dict[str, Any]]) -> Table:
    """Mean main score ± standard deviation, a row a main method, a column a family and task."""
    usual = {
        (one["family"], one["task"], one["method"]): one
        for one in scores
        if not one["settings"] and one["method"] in MAIN_METHODS
    }
    places, methods = _places_and_methods(usual)
    return {
        "columns": [place_name(*place) for place in places],
        "rows": [
            {
                "heading": method_name(name),
                "cells": [_cell(usual.get((*place, name))) for place in places],
            }
            for name in methods
        ],
    }


def beside_amad_table(beside: Sequence[dict[str, Any]]) -> Table:
    """AMAD minus each of the others, a row a family and task, a column a method."""
    found = {(one["family"], one["task"], one["method"]): one for one in beside}
    places, methods = _places_and_methods(found)
    return {
        "columns": [method_name(name) for name in methods],
        "rows": [
            {
                "heading": place_name(*place),
                "cells": [_difference_cell(found.get((*place, name))) for name in methods],
            }
            for place in places
        ],
    }


def _places_and_methods(
    found: Collection[tuple[str, str, str]],
) -> tuple[list[tuple[str, str]], list[str]]:
    """Of families, tasks and methods: the places as they come, the methods as all tables do."""
    there = {method for _, _, method in found}
    places = dict.fromkeys((family, task) for family, task, _ in found)
    return list(places), [name for name in MAIN_METHODS if name in there]


def score_seeds(scores: Sequence[dict[str, Any]]) -> Table:
    """Every student's main score: a row a condition, a column a seed."""
    seeds = sorted({seed for one in scores for seed in one["seeds"]}, key=int)
    return {
        "columns": seeds,
        "rows": [
            {
                "heading": _condition_name(one),
                "cells": [{"text": number(one["seeds"].get(seed)), "note": ""} for seed in seeds],
            }
            for one in scores
            if one["seeds"]
        ],
    }


def _condition_name(one: dict[str, Any]) -> str:
    told = _condition_heading(one)
    return f"{told}; {one['settings']}" if one["settings"] else told


def _condition_heading(one: dict[str, Any]) -> str:
    return f"{place_name(one['family'], one['task'])}: {method_name(one['method'])}"


def other_conditions(scores: Sequence[dict[str, Any]]) -> Table:
    """The conditions that neither of the other tables has, one a row."""
    return {
        "columns": ["settings", "main score"],
        "rows": [
            {
                "heading": _condition_heading(one),
                "cells": [{"text": one["settings"] or "as usual", "note": ""}, _cell(one)],
            }
            for one in scores
            if one["settings"] or not (one["method"] in MAIN_METHODS or one["method"] in _CROSSED)
        ],
    }


def crossed_tables(scores: Sequence[dict[str, Any]]) -> list[Table]:
    """Pairings by divergences, for every family and task that has more than one divergence."""
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for one in scores:
        if not one["settings"]:
            found.setdefault((one["family"], one["task"]), {})[one["method"]] = one
    tables = []
    for place, by_method in found.items():
        divergences = [
            name for name in DIVERGENCES if any(f"{one}-{name}" in by_method for one in PAIRINGS)
        ]
        if len(divergences) > 1:
            tables.append(
                {
                    "title": place_name(*place),
                    "columns": [DIVERGENCE_NAMES[name] for name in divergences],
                    "rows": [
                        {
                            "heading": METHOD_NAMES[pairing],
                            "cells": [
                                _cell(by_method.get(f"{pairing}-{name}")) for name in divergences
                            ],
                        }
                        for pairing in PAIRINGS
                        if any(f"{pairing}-{name}" in by_method for name in divergences)
                    ],
                }
            )
    return tables


def way_tables(told: Sequence[dict[str, Any]]) -> list[Table]:
    """How fast the main methods' students learn and what becomes of their heads, by place."""
    places = list(dict.fromkeys((one["family"], one["task"]) for one in told))
    return [
        {
            "title": place_name(*place),
            "columns": [*_WAY, f"steps to {number(_mark(told, place))}"],
            "rows": [
                {"heading": method_name(one["method"]), "cells": _way_cells(one)}
                for one in sorted(told, key=lambda one: MAIN_METHODS.index(one["method"]))
                if (one["family"], one["task"]) == place
            ],
        }
        for place in places
    ]


def recipe_table(settings: Sequence[dict[str, Any]]) -> Table:
    """The best setting of every pairing, and what it scored; with the place where there are two."""
    several = len({(one["family"], one["task"]) for one in settings}) > 1
    return {
        "columns": ["weight", "settings", "main score"],
        "rows": [
            {
                "heading": _condition_heading(one) if several else method_name(one["method"]),
                "cells": [
                    {"text": f"{one['weight']:g}", "note": ""},
                    {"text": one["settings"] or "as usual", "note": ""},
                    _cell(one),
                ],
            }
            for one in settings
        ],
    }


_WAY = (
    "at a quarter",
    "at half",
    "weights' evenness",
    "student's heads alike",
    "teacher's",
)


def _mark(told: Sequence[dict[str, Any]], place: tuple[str, str]) -> float | None:
    marks = [
        one["mark"]
        for one in told
        if (one["family"], one["task"]) == place and one["mark"] is not None
    ]
    return sum(marks) / len(marks) if marks else None


def _way_cells(one: dict[str, Any]) -> list[dict[str, str]]:
    texts = [mean_and_spread(*one[part]) for part in ("quarter", "half")]
    for name in ("evenness", "likeness"):
        before, after = one[name]
        texts.append(f"{number(before, '.2f')} → {number(after, '.2f')}")
    texts.append(number(one["likeness of the teacher"], ".2f"))
    cells = [{"text": text, "note": ""} for text in texts]
    some = one["reached"] is not None and one["reached"] < one["seeds"]
    note = f"{one['reached']} of {one['seeds']} come there" if some else ""
    return [*cells, {"text": number(one["steps"], ".0f"), "note": note}]


def mean_and_spread(mean: float | None, spread: float | None) -> str:
    """As tables show it; without the spread where there is none."""
    return number(mean) + (f" ± {spread:.1f}" if spread is not None else "")


def _difference_cell(one: dict[str, Any] | None) -> dict[str, str]:
    if one is None:
        return {"text": "–", "note": ""}
    some = "" if one["seeds"] == one["planned"] else f"; {one['seeds']} of {one['planned']} seeds"
    return {"text": number(one["mean"], "+.1f"), "note": interval(one["low"], one["high"]) + some}


def _cell(one: dict[str, Any] | None) -> dict[str, str]:
    if one is None:
        return {"text": "", "note": ""}
    done, planned = len(one["seeds"]), one["planned"]
    if not done:
        return {"text": "not run", "note": ""}
    text = mean_and_spread(one["mean"], one["spread"])
    return {"text": text, "note": "" if done == planned else f"{done} of {planned} seeds"}
