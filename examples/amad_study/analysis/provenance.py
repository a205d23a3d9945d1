"""Where results come from: machines, versions, dates, hours; and the teachers behind them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_study.protocol.condition import Records
from amad_study.runs.records import read_teachers


def provenance(records: Records) -> dict[str, Any]:
    """What the runs of the records have in common, and where they differ."""
    runs: list[Mapping[str, Any]] = [record.get("run", {}) for record in records.values()]
    dates = sorted(run["date"] for run in runs if "date" in run)
    return {
        "first": dates[0] if dates else "",
        "last": dates[-1] if dates else "",
        "hours": sum(record.get("seconds", 0.0) for record in records.values()) / 3600,
        "machines": _different([run["machine"] for run in runs if "machine" in run]),
        "versions": _different([run["versions"] for run in runs if "versions" in run]),
        "unknown": sum("date" not in run for run in runs),
    }


def teachers(folder: Path, records: Records) -> list[dict[str, Any]]:
    """Gate figures of all teachers: those in the folder, and those that records tell of."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, facts in read_teachers(folder).items():
        found[name, facts["sha256"]] = {
            "name": name,
            "task": facts["task"],
            "family": facts["family"],
            "seed": facts["recipe"]["seed"],
            "pretrained": facts["recipe"]["pretraining"] is not None,
            "gate": facts["gate"],
            "sha256": facts["sha256"],
            "students": 0,
        }
    for record in records.values():
        facts, cell = record.get("run", {}).get("teacher", {}), record["cell"]
        if not facts:
            continue
        one = found.setdefault(
            (facts["name"], facts["sha256"]),
            {
                "name": facts["name"],
                "task": cell["task"],
                "family": cell["family"],
                "seed": cell["teacher_seed"],
                "pretrained": cell["pretraining_steps"] > 0,
                "gate": facts["gate"],
                "sha256": facts["sha256"],
                "students": 0,
            },
        )
        one["students"] += 1
    return sorted(
        found.values(), key=lambda one: (one["family"], one["task"], one["pretrained"], one["seed"])
    )


def _different(found: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    once = {str(sorted(one.items())): dict(one) for one in found}
    counts = [sum(one == other for other in found) for one in once.values()]
    return [{**one, "cells": count} for one, count in zip(once.values(), counts, strict=True)]
