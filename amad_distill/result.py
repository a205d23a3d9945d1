"""What came of a run: as JSON, and in words."""

import json
from pathlib import Path
from typing import Any

from amad_core.files import write_atomically
from amad_distill.log import shown


def save_result(result: dict[str, Any], path: Path) -> None:
    """Write it, in full or not at all."""
    write_atomically(path, json.dumps(result, indent=1) + "\n")


def in_words(result: dict[str, Any]) -> list[str]:
    """The lines that people read at the end."""
    lines = [f"Trained {result['steps']} steps."]
    if result["training"]:
        lines.append(f"Last log     {shown(result['training'])}")
    if result["evaluation"]:
        lines.append(f"Evaluation   {shown(result['evaluation']).replace('eval_', '')}")
    lines.append(f"Student      {result['student']}")
    lines += [f"Picture      {picture}" for picture in result["pictures"]]
    lines.append(f"Log          {result['log']}")
    return lines
