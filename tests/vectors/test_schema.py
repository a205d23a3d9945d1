"""The kit's reading of the two schemas is that of a full validator."""

import copy
import functools
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core.conformance.vectors.documents import DATA, RESULTS_SCHEMA, VECTORS_SCHEMA
from amad_core.conformance.vectors.files import shipped_text
from amad_core.conformance.vectors.schema import broken_rules, pointer_to

_RESULTS = {
    "format": "amad-results/1",
    "port": "a port",
    "dtype": "float32",
    "checksums": {"kl": "0" * 64},
    "results": {
        "a": {"value": [1.5, "nan"], "grad_student": [[[[1, "inf"]]]], "weights": [[[0.5]]]},
        "b": {"value": "-inf", "grad_teacher": [[[[0.0]]]], "weights": [[[[0.5]]]]},
        "c": {"skipped": "no mask"},
        "d": {"error": "out of range"},
    },
}
_VALUES = st.sampled_from(
    [
        None, True, 0, -1, 1, 2.5, -0.5, "", "x", "inf", "1.5", "kl", "0" * 64, [], [1], [[1]],
        ["x"], [True], [[[[1]]]], {}, {"shape": [1], "values": [1]}, {"x": 1}, {"value": 1},
        {"error": ""}, {"value": 1, "error": ""},
    ]
)  # fmt: skip


@lru_cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(DATA.joinpath(name).read_text())
    return schema


@lru_cache
def _vectors() -> dict[str, Any]:
    """One file with a projection, one with a mask; few cases and small ones."""
    document = json.loads(shipped_text("projected"))
    others = json.loads(shipped_text("kl"))["cases"]
    ids = ("projected-one-cell", "kl-all-masked")
    document["cases"] = [case for case in document["cases"] + others if case["id"] in ids]
    assert len(document["cases"]) == 2
    return document


def _document(name: str) -> Any:
    return copy.deepcopy(_RESULTS if name == RESULTS_SCHEMA else _vectors())


def _within(document: Any, place: Sequence[Any]) -> Any:
    return functools.reduce(lambda parent, key: parent[key], place, document)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, (dict, list)) else ():
        yield (*place, key)
        yield from _places(value[key], (*place, key))


@pytest.mark.parametrize("name", [RESULTS_SCHEMA, VECTORS_SCHEMA])
@given(data=st.data())
def test_what_a_change_breaks(name: str, data: st.DataObject) -> None:
    schema, document = _schema(name), _document(name)
    *parents, last = data.draw(st.sampled_from(list(_places(document))), label="place")
    parent = _within(document, parents)
    match data.draw(st.sampled_from(["replace", "remove", "add"]), label="change"):
        case "replace":
            parent[last] = data.draw(_VALUES, label="value")
        case "remove":
            del parent[last]
        case "add":
            value = data.draw(_VALUES, label="value")
            parent.append(value) if isinstance(parent, list) else parent.update(more=value)
    problems = list(broken_rules(document, schema, schema))
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(document))
    assert bool(problems) == bool(errors), problems or errors
    found = {pointer_to(*error.absolute_path) for error in errors}
    assert {pointer for pointer, _ in problems} == found


_CASE, _SHAPE = ("cases", 0), ("cases", 0, "inputs", "teacher", "shape")
_BROKEN: dict[str, tuple[str, tuple[Any, ...], Any]] = {
    "$ref": (RESULTS_SCHEMA, ("results", "a"), 1),
    "additionalProperties": (RESULTS_SCHEMA, ("results", "c"), {"skipped": "", "more": 1}),
    "const": (RESULTS_SCHEMA, ("format",), "amad-results/2"),
    "enum": (RESULTS_SCHEMA, ("dtype",), "int8"),
    "exclusiveMinimum": (VECTORS_SCHEMA, (*_CASE, "configuration", "temperature"), 0),
    "items": (RESULTS_SCHEMA, ("results", "a", "grad_student", 0, 0, 0, 0), None),
    "maxItems": (VECTORS_SCHEMA, _SHAPE, [1, 1, 1, 1, 1]),
    "minItems": (VECTORS_SCHEMA, _SHAPE, [1, 1, 1]),
    "minProperties": (RESULTS_SCHEMA, ("results",), {}),
    "minimum": (VECTORS_SCHEMA, (*_SHAPE, 0), 0),
    "oneOf": (RESULTS_SCHEMA, ("results", "c"), {"value": 1, "skipped": ""}),
    "pattern": (RESULTS_SCHEMA, ("results", "a", "value", 1), "infinite"),
    "properties": (RESULTS_SCHEMA, ("port",), 1),
    "required": (VECTORS_SCHEMA, (*_CASE, "tolerance", "float16"), {"value": 0.1}),
    "type": (VECTORS_SCHEMA, (*_CASE, "degenerate"), 0),
}
"""For each keyword, a change that only this keyword forbids."""


@pytest.mark.parametrize("keyword", list(_BROKEN))
def test_every_keyword_is_looked_at(keyword: str) -> None:
    name, place, value = _BROKEN[keyword]
    document, schema = _document(name), _schema(name)
    _within(document, place[:-1])[place[-1]] = value
    ((pointer, words),) = broken_rules(document, schema, schema)
    assert pointer == pointer_to(*place)
    assert words.startswith(("must ", "unknown ", "'gradient' is a required"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(document)
    assert {tuple(error.absolute_path) for error in errors} == {place}


@pytest.mark.parametrize("name", [RESULTS_SCHEMA, VECTORS_SCHEMA])
def test_the_schemas_use_no_other_keyword(name: str) -> None:
    says_nothing = {"$defs", "$id", "$schema", "description", "title"}
    assert _keywords(_schema(name)) <= _BROKEN.keys() | says_nothing


def _keywords(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    named = ("properties", "$defs")
    members = [inner for key in named for inner in schema.get(key, {}).values()]
    inner = [value for key, value in schema.items() if key not in (*named, "const", "enum")]
    return set(schema).union(*map(_keywords, [*members, *inner]))
