"""A suggestion as lines for the file of settings."""

from typing import Any

import yaml

from amad_torch import Suggestion


def as_yaml(suggestion: Suggestion) -> str:
    """The section `distiller` that the suggestion makes."""
    section: dict[str, Any] = {
        name: getattr(suggestion, name)
        for name in ("temperature", "attention_weight", "output_weight", "task_weight")
    }
    section["matches"] = []
    for match in suggestion.matches:
        entries = {
            name: getattr(match, name)
            for name in ("teacher", "student", "kind", "method", "weight", "tokens", "options")
        }
        kept = {name: value for name, value in entries.items() if value not in (None, {}, 1.0)}
        named = isinstance(match.layers, str)
        layers = match.layers if named else [list(pair) for pair in match.layers]
        section["matches"].append(kept | {"layers": layers})
    return str(yaml.safe_dump({"distiller": section}, sort_keys=False, default_flow_style=None))
