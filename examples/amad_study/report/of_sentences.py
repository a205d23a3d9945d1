"""The students of MiniLM: tables, and a section of the documentation."""

from collections.abc import Sequence
from typing import Any

from amad_study.analysis.numbers import number
from amad_study.protocol.condition import SEEDS
from amad_study.report.markdown import folded, markdown_table
from amad_study.report.names import sentence_method_name
from amad_study.report.picture_files import of_score
from amad_study.report.tables import Table, mean_and_spread

_SECTION = """\
## A teacher that was really pre-trained

Students of MiniLM-L6 with 12, 6, 3 and 1 heads on unseen sentences, in percent, mean ± standard
deviation over seeds: cosine of the student's and the teacher's embedding; how often the student's
is nearest to the teacher's of the same sentence (recall at 1); for how many sentences both find the
same other one nearest. All learn the teacher's embedding; all but the first are taught attention
as well. There is no hypothesis about this, and nothing in it is tested; the
[protocol](study-protocol.md#a-teacher-that-was-really-pre-trained) says how it was made."""


def told_of_sentences(found: dict[str, Any]) -> str:
    """The documentation's section; empty as long as no student of the table is there."""
    if not any(one["seeds"] for one in found["rows"]):
        return ""
    parts = [_SECTION, f"{found['done']} of {found['planned']} students."]
    if len(found["corpora"]) > 1:
        parts.append(
            f"**They learned from {len(found['corpora'])} different collections of sentences, and "
            "cannot be compared.**"
        )
    methods = dict.fromkeys(sentence_method_name(one["method"]) for one in found["rows"])
    parts.append(
        "A dot is a seed, the bar the mean, the line through it one standard deviation either way. "
        f"In each group from left to right: {'; '.join(methods)}."
    )
    parts += [
        f"![{score} by heads and method](assets/{of_score(score)})"
        for score in found["rows"][0]["means"]
    ]
    for one in sentence_tables(found["rows"]):
        parts += [f"{one['title'].capitalize()}:", markdown_table(one, "taught by")]
    parts.append(folded("Every seed", _seeds_of_sentences(found["rows"])))
    return "\n\n".join(parts)


def _seeds_of_sentences(rows: Sequence[dict[str, Any]]) -> str:
    return "\n\n".join(
        f"{one['title'].capitalize()}:\n\n{markdown_table(one, 'heads, taught by')}"
        for one in sentence_seeds(rows)
    )


def sentence_tables(rows: Sequence[dict[str, Any]]) -> list[Table]:
    """The students of MiniLM: a table for each number of heads, a row a method."""
    columns = list(rows[0]["means"]) if rows else []
    return [
        {
            "title": f"{heads} head{'s' * (heads > 1)}",
            "columns": [*columns, "cosine at half", "weight"],
            "rows": [
                {
                    "heading": sentence_method_name(one["method"]),
                    "cells": _sentence_cells(one, columns),
                }
                for one in rows
                if one["heads"] == heads
            ],
        }
        for heads in dict.fromkeys(one["heads"] for one in rows)
    ]


def sentence_seeds(rows: Sequence[dict[str, Any]]) -> list[Table]:
    """Every seed of the students of MiniLM: a table for each score, a column a seed."""
    seeds = sorted({seed for one in rows for seed in one["seeds"]}, key=int)
    return [
        {
            "title": score,
            "columns": seeds,
            "rows": [
                {
                    "heading": f"{one['heads']}, {sentence_method_name(one['method'])}",
                    "cells": [
                        {"text": number(one["seeds"].get(seed, {}).get(score)), "note": ""}
                        for seed in seeds
                    ],
                }
                for one in rows
            ],
        }
        for score in (rows[0]["means"] if rows else ())
    ]


def _sentence_cells(one: dict[str, Any], columns: Sequence[str]) -> list[dict[str, str]]:
    some = f"{len(one['seeds'])} of {len(SEEDS)} seeds" if len(one["seeds"]) < len(SEEDS) else ""
    diverged = f"{len(one['diverged'])} diverged" if one["diverged"] else ""
    note = ", ".join(part for part in (some, diverged) if part)
    texts = [mean_and_spread(one["means"][name], one["spreads"][name]) for name in columns]
    of_weight = "" if one["method"] == "ground-truth" else number(one["weight"], "g")
    cells = [*texts, number(one["half"]), of_weight]
    return [{"text": text, "note": "" if row else note} for row, text in enumerate(cells)]
