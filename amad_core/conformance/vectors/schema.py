"""The published JSON Schemas, and what a document breaks in them, in words and with its place."""

import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from amad_core.conformance.vectors.file_error import FileError, pointer_to

VECTORS_SCHEMA = "vectors.schema.json"
RESULTS_SCHEMA = "results.schema.json"

_LONGEST = 60


def schema_text(name: str) -> str:
    """A schema as shipped."""
    return files("amad_core.conformance.vectors").joinpath(name).read_text(encoding="utf-8")


def check_schema(document: Any, name: str, path: Path) -> None:
    """Raise unless ``document`` follows the schema.

    Raises:
        FileError: with the place of the first problem, and how many more there are.
    """
    errors = list(_validator(name).iter_errors(document))
    if errors:
        first = min(errors, key=lambda error: [str(part) for part in error.absolute_path])
        more = f" (and {len(errors) - 1} more problems)" if len(errors) > 1 else ""
        raise FileError(path, _in_words(first) + more, pointer_to(*first.absolute_path))


@lru_cache
def _validator(name: str) -> Any:
    # Imported here: only reading and writing vectors needs it.
    from jsonschema import Draft202012Validator, validators

    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    items = Draft202012Validator.VALIDATORS["items"]
    extend: Any = validators.extend
    return extend(Draft202012Validator, {"items": _sparing_plain_lists(items)})(schema)


def _sparing_plain_lists(items: Any) -> Any:
    """The keyword ``items``, without a validator for each of a hundred thousand numbers."""

    def check(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        plain = wanted.keys() <= {"type", "pattern"} and isinstance(instance, list)
        kinds = {type(entry) for entry in instance} if plain else {object}
        # A pattern says nothing about numbers.
        if kinds <= {int, float} and "number" in wanted.get("type", ()):
            return
        if kinds <= {bool} and wanted.get("type") == "boolean":
            return
        yield from items(validator, wanted, instance, schema)

    return check


def _in_words(error: Any) -> str:
    """What jsonschema found, without the whole document in the sentence."""
    wanted, found = error.validator_value, _shown(error.instance)
    match error.validator:
        case "type":
            types = wanted if isinstance(wanted, str) else " or ".join(wanted)
            return f"must be {types}; got {found}"
        case "const":
            return f"must be {wanted!r}; got {found}"
        case "enum":
            return f"must be one of {', '.join(map(repr, wanted))}; got {found}"
        case "pattern":
            return f"must match {wanted}; got {found}"
        case "minItems" | "maxItems":
            limit = "least" if error.validator == "minItems" else "most"
            return f"must have at {limit} {wanted} entries; got {found}"
        case "minimum" | "exclusiveMinimum":
            limit = "at least" if error.validator == "minimum" else "greater than"
            return f"must be {limit} {wanted}; got {found}"
        case "minProperties":
            return "must not be empty"
        case "oneOf":
            return _one_of(error)
        case "additionalProperties":
            return _unknown(error)
    return str(error.message)[:200]


def _one_of(error: Any) -> str:
    """The forms differ in what they require: name what was found and what would do."""
    forms = [form["required"][0] for form in error.validator_value]
    found = _shown(error.instance)
    return f"must have exactly one of {', '.join(map(repr, forms))}; got {found}"


def _unknown(error: Any) -> str:
    known = error.schema.get("properties", {})
    extra = [key for key in error.instance if key not in known]
    return f"unknown {', '.join(map(repr, extra[:3]))}; known are {', '.join(map(repr, known))}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(map(repr, list(value)[:4])) or 'nothing'}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
