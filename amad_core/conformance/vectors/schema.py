"""What a document breaks of a JSON Schema, with its place and in words.

The two schemas of the vectors are JSON Schema 2020-12, for any validator; this one knows the
keywords that they use, and says what is wrong without the whole document in the sentence.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from amad_core.arguments.words import listed

Rules = Mapping[str, Any]
Problem = tuple[str, str]  # JSON pointer, words

_LONGEST = 60

_TYPES: Mapping[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


def pointer_to(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def broken_rules(value: Any, rules: Rules, schema: Rules, pointer: str = "") -> Iterator[Problem]:
    """Everything in ``value`` that ``rules`` do not allow, in the order of the document.

    Args:
        value: the document, or a part of it.
        rules: what it must follow.
        schema: the whole schema, where ``$ref`` are looked up.
        pointer: place of ``value`` in the document.
    """
    if "$ref" in rules:
        rules = schema["$defs"][rules["$ref"].rpartition("/")[2]]
    allowed = rules.get("type", ())
    names = (allowed,) if isinstance(allowed, str) else allowed
    # type(), since True is an int.
    if names and not any(type(value) in _TYPES[name] for name in names):
        yield pointer, f"must be {' or '.join(names)}; got {_shown(value)}"
        return
    for keyword, limit in rules.items():
        if words := _beyond_limit(value, keyword, limit):
            yield pointer, f"{words}; got {_shown(value)}"
    if isinstance(value, dict):
        yield from _broken_by_members(value, rules, schema, pointer)
    if isinstance(value, list) and "items" in rules:
        for index, entry in enumerate(value):
            yield from broken_rules(entry, rules["items"], schema, f"{pointer}/{index}")


def _beyond_limit(value: Any, keyword: str, limit: Any) -> str:
    is_number = type(value) in _TYPES["number"]
    match keyword:
        case "const" if value != limit:
            return f"must be {limit!r}"
        case "enum" if value not in limit:
            return f"must be one of {listed(limit)}"
        case "pattern" if isinstance(value, str) and not re.search(limit, value):
            return f"must match {limit}"
        case "minItems" if isinstance(value, list) and len(value) < limit:
            return f"must have at least {limit} entries"
        case "maxItems" if isinstance(value, list) and len(value) > limit:
            return f"must have at most {limit} entries"
        case "minimum" if is_number and value < limit:
            return f"must be at least {limit}"
        case "exclusiveMinimum" if is_number and value <= limit:
            return f"must be greater than {limit}"
        case "minProperties" if isinstance(value, dict) and len(value) < limit:
            return "must not be empty"
        case "oneOf" if isinstance(value, dict):  # the forms differ in the property they require
            forms = [form["required"][0] for form in limit]
            if sum(form in value for form in forms) != 1:
                return f"must have exactly one of {listed(forms)}"
    return ""


def _broken_by_members(
    value: dict[str, Any], rules: Rules, schema: Rules, pointer: str
) -> Iterator[Problem]:
    known, others = rules.get("properties", {}), rules.get("additionalProperties", True)
    for name in rules.get("required", ()):
        if name not in value:
            yield pointer, f"{name!r} is a required property"
    unknown = [name for name in value if name not in known]
    if others is False and unknown:
        yield pointer, f"unknown {listed(unknown[:3])}; known are {listed(known)}"
    for name, member in value.items():
        inner = known.get(name, others)
        if isinstance(inner, dict):
            yield from broken_rules(member, inner, schema, pointer + pointer_to(name))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {listed(list(value)[:4]) or 'nothing'}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
