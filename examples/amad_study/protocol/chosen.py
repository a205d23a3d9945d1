"""What the committed study chose, for runs that do not tune: the quick one, and fresh seeds."""

import json
from pathlib import Path

from amad_study.runs.cell import Cell

FILE = Path(__file__).parent / "weights.json"
RECIPE = Path(__file__).parent / "recipe.json"


def shipped_weights() -> dict[str, float]:
    """By family, method and temperature, as far as the study's tuning has come."""
    found: dict[str, float] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def shipped_recipe() -> dict[str, Cell]:
    """Of every pairing the best setting, as `best_settings` gives it."""
    settings = json.loads(RECIPE.read_text(encoding="utf-8"))
    return {pairing: Cell.from_json(one) for pairing, one in settings.items()}
