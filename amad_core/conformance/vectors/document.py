"""The vectors of one variant as a JSON document."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import TWINS
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, tolerance
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.vectors.cases import VectorCase, vector_cases
from amad_core.conformance.vectors.exact import Expected, expected
from amad_core.conformance.vectors.exposure import exposure
from amad_core.conformance.vectors.numbers import as_json, rounded_up, shaped
from amad_core.conformance.vectors.versions import (
    SPECIFICATION_VERSION,
    VECTORS_FORMAT,
    VECTORS_VERSION,
)

Document = dict[str, Any]

NOTES = (
    "Arrays are nested lists in row-major order beside their shape; every input is exact in "
    "float32 and bfloat16.",
    "Masked cells are taken out before norms, inner products and sums; what they hold does not "
    "count.",
    'Numbers are shortest decimals that give the same float64 back; "inf" and "-inf" stand for '
    "infinities.",
    "Expected numbers were computed with 50 decimal digits and rounded once.",
    "Where the value is a list, the gradient is that of its sum.",
    "Cases that are degenerate test borders of the definition; they hardly tell mistakes apart.",
    "The flags in exposes name mistakes of mistakes.json, in the first form that the catalogue "
    "has, for ports in float32 or wider; null where they were not determined.",
)

_CHECKED = ("id", "configuration", "inputs", "expected")
_ORDER = ("id", "design", "comment", "degenerate", *_CHECKED[1:], "tolerance", "exposes")


def vectors_document(variant: str, seed: int) -> Document:
    """All that a vectors file holds; see ``vectors.schema.json``."""
    cases = [_case_document(vector) for vector in vector_cases(variant, seed)]
    return {
        "format": VECTORS_FORMAT,
        "vectors_version": VECTORS_VERSION,
        "specification_version": SPECIFICATION_VERSION,
        "generator": {"name": "amad vectors export", "seed": seed},
        "variant": variant,
        "count": len(cases),
        "checksum": checksum(cases),
        "notes": list(NOTES),
        "cases": cases,
    }


def checksum(cases: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of what results depend on, as JSON with sorted keys and no spaces."""
    counted = [{key: case[key] for key in _CHECKED} for case in cases]
    canonical = json.dumps(counted, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def as_text(document: Any) -> str:
    """JSON that people can read: one line for each array, objects and lists of objects indented."""
    return _indented(document, "") + "\n"


def essentials(vector: VectorCase, right: Expected) -> Document:
    """The part of a case that results depend on."""
    case = vector.case
    options = ("variant", "temperature", "reduction", "eps")
    return {
        "id": vector.id,
        "configuration": {name: getattr(case, name) for name in options},
        "inputs": _inputs(case),
        "expected": {
            "value": as_json(right.value),
            "weights": shaped(right.weights),
            "grad_student": shaped(right.grad_student),
        },
    }


def _case_document(vector: VectorCase) -> Document:
    case, right = vector.case, expected(vector.case)
    parts = essentials(vector, right) | {
        "design": case.name,
        "comment": vector.comment,
        "degenerate": vector.degenerate,
        "tolerance": {dtype: _tolerance(case, right, dtype) for dtype in UNIT_ROUNDOFF},
        "exposes": _flags(vector, right),
    }
    return {name: parts[name] for name in _ORDER}


def _inputs(case: Case) -> Document:
    names = ("teacher", "student", "mask", "weight", "bias")
    arrays = ((name, getattr(case, name)) for name in names)
    return {name: None if array is None else shaped(array) for name, array in arrays}


def _flags(vector: VectorCase, right: Expected) -> Document | None:
    """Not of borders, nor of twins, which are there to be compared with their base."""
    if vector.degenerate or vector.case.name in TWINS:
        return None
    flags = exposure(vector.case, Answer(right.value, right.grad_student))
    return {name: list(mistakes) for name, mistakes in flags._asdict().items()}


def _tolerance(case: Case, right: Expected, dtype: str) -> Document:
    allowed = tolerance(case, dtype)
    return {
        "value": _largest(allowed.value, right.value),
        "gradient": _largest(allowed.gradient, right.grad_student),
    }


def _largest(allowed: FloatArray, right: FloatArray) -> float:
    """Over the numbers that have a tolerance: finite ones, on whose value rounding is small."""
    counted = np.isfinite(right) & np.isfinite(allowed)
    return rounded_up(float(np.max(allowed, where=counted, initial=0.0)))


def _indented(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value and not value.keys() <= _ON_ONE_LINE:
        lines = (f"{inner}{json.dumps(key)}: {_indented(value[key], inner)}" for key in value)
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], (dict, str)):
        lines = (inner + _indented(item, inner) for item in value)
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_ON_ONE_LINE = {"shape", "values"} | {"value", "gradient"} | {"name", "seed"}
