"""The weights that the committed study chose, for runs that do not tune: the quick one."""

import json
from pathlib import Path

FILE = Path(__file__).parent / "weights.json"


def shipped_weights() -> dict[str, float]:
    """By family, method and temperature, as far as the study's tuning has come."""
    found: dict[str, float] = json.loads(FILE.read_text(encoding="utf-8"))
    return found
