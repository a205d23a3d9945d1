"""All that the report shows, as JSON: what is not in here is not in the report."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from amad_study.analysis.answer import answer, worth_of_attention
from amad_study.analysis.beside_amad import beside_amad
from amad_study.analysis.conditions import Row, rows_of
from amad_study.analysis.findings import find
from amad_study.analysis.numbers import finite
from amad_study.analysis.on_the_way import on_the_way
from amad_study.analysis.outlook import outlook, plan_weights, untuned, whole_plan
from amad_study.analysis.provenance import provenance, teachers
from amad_study.analysis.recipe import (
    own_weights,
    recipe,
    recipe_again,
    recipe_elsewhere,
    verdict_of,
)
from amad_study.analysis.verdicts import verdict
from amad_study.protocol import hypotheses
from amad_study.protocol.stages import stages
from amad_study.protocol.tables import MAIN_METHODS
from amad_study.runs.records import read_records
from amad_study.sentences.cell import SentenceCell
from amad_study.sentences.summary import summarise_sentences


def summarise(folder: Path, *, quick: bool = False) -> dict[str, Any]:
    """What the records of a folder say, judged by the protocol.

    Args:
        folder: of records and teachers.
        quick: whether the plan is the quick one. Verdicts are the protocol's all the same, so that
            they say "not complete".

    Raises:
        DamagedRecordError: a file that is no record.
    """
    records = read_records(folder)
    weights = plan_weights(records, quick=quick)
    asked = [one for one in hypotheses.HYPOTHESES if one.quick or not quick]
    known, whole = stages(records, quick=quick, weights=weights), whole_plan(records, quick=quick)
    found = find(asked, records, weights)
    verdicts = [
        verdict(one, [finding for finding in found if finding.hypothesis == one.name])
        for one in asked
    ]
    searched = {
        "recipe": recipe(records),
        "recipe again": recipe_again(records),
        "recipe elsewhere": recipe_elsewhere(records),
        "own weights": own_weights(records),
    }
    rows = rows_of([cell for one in whole if not one.apart for cell in one.cells], records)
    scores = [_row(row) for row in rows]
    ahead = outlook(known, whole, records, folder)
    planned = {cell.key for stage in whole for cell in stage.cells}
    return {
        "format": 1,
        "quick": quick,
        "cells": {
            "planned": len(planned),
            "done": len(planned & set(records)),
            "beyond the plan": len(set(records) - planned),
        },
        "answer": answer(
            [*verdicts, *(told for one in searched.values() for told in verdict_of(one))], found
        ),
        "worth": worth_of_attention(scores),
        "stages": [asdict(stage) for stage in ahead.stages],
        "hypotheses": [
            {
                **asdict(one),
                "findings": [
                    finite(asdict(finding)) for finding in found if finding.hypothesis == one.name
                ],
            }
            for one in verdicts
        ],
        **{name: finite(one) for name, one in searched.items()},
        "sentences": {
            **summarise_sentences(folder),
            "runs": provenance(read_records(folder, SentenceCell)),
        },
        "scores": scores,
        "beside AMAD": beside_amad(rows, records, weights),
        "curves": _curves(rows),
        "on the way": on_the_way(rows),
        "weights": dict(sorted(weights.items())),
        "untuned": untuned(records) if quick else [],
        "teachers": teachers(folder, records),
        "missing": [_seeds(row, row.missing) for row in rows if row.missing],
        "refused": [_seeds(row, row.refused) for row in rows if row.refused],
        "diverged": [_seeds(row, row.diverged) for row in rows if row.diverged],
        "runs": provenance(records),
        "looks": _looks(folder),
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "family": row.cell.family,
        "task": row.cell.task,
        "method": row.cell.method,
        "settings": row.settings,
        "score": next((record["main score"] for record in row.records.values()), ""),
        "mean": row.mean,
        "spread": row.spread,
        "seeds": {str(seed): score for seed, score in row.scores.items()},
        "planned": len(row.records) + len(row.missing) + len(row.refused),
    }


def _seeds(row: Row, seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "family": row.cell.family,
        "task": row.cell.task,
        "method": row.cell.method,
        "settings": row.settings,
        "seeds": list(seeds),
        "all": len(seeds) == len(row.records) + len(row.missing) + len(row.refused),
    }


def _curves(rows: Sequence[Row]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    levels: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if not row.usual or row.cell.method not in MAIN_METHODS:
            continue
        place = (row.cell.family, row.cell.task)
        curves = [record["curve"] for record in row.finished.values()]
        if not curves:
            continue
        found.setdefault(place, []).append(
            {
                "method": row.cell.method,
                "steps": [step for step, _ in curves[0]],
                "seeds": [[score for _, score in curve] for curve in curves],
            }
        )
        levels.setdefault(place, []).extend(gate["score"] for gate in row.gates)
    return [
        {
            "family": family,
            "task": task,
            "methods": sorted(curves, key=lambda one: MAIN_METHODS.index(one["method"])),
            "teacher": sum(level) / len(level) if (level := levels[family, task]) else None,
        }
        for (family, task), curves in found.items()
    ]


def _looks(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "looks").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]
