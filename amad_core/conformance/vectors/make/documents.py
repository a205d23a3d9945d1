"""The vectors of one variant as a JSON document."""

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import TWINS
from amad_core.conformance.judging.tolerance import UNIT_ROUNDOFF, tolerance
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.vectors.documents import as_json
from amad_core.conformance.vectors.files import checksum
from amad_core.conformance.vectors.make.cases import VectorCase, vector_cases
from amad_core.conformance.vectors.make.flags import flags
from amad_core.conformance.vectors.make.oracle import Exact, exact

VECTORS_FORMAT = "amad-vectors/1"
"""Layout of a vectors file; another number where a reader of this one would fail."""

VECTORS_VERSION = "1.0.0"
"""Major: an expected number changed or an id is gone. Minor: cases added. Patch: words, flags."""

SPECIFICATION_VERSION = "1.0"
"""The definition of the loss that the expected numbers follow (docs/specification.md)."""

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


def vectors_document(variant: str, seed: int) -> Document:
    """All that a vectors file holds; see ``vectors.schema.json``."""
    cases = [case_document(vector) for vector in vector_cases(variant, seed)]
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


def vectors_text(variant: str, seed: int) -> bytes:
    """A vectors file: one line for each array, objects and lists of objects indented."""
    return f"{_indented(vectors_document(variant, seed), '')}\n".encode()


def case_document(vector: VectorCase) -> Document:
    """One case of it."""
    case, right = vector.case, exact(vector.case)
    gradient = right.gradients["student"]
    options = ("variant", "temperature", "reduction", "eps")
    return {
        "id": vector.id,
        "design": case.name,
        "comment": vector.comment,
        "degenerate": vector.degenerate,
        "configuration": {name: getattr(case, name) for name in options},
        "inputs": _inputs(case),
        "expected": {
            "value": as_json(right.value),
            "weights": _shaped(right.weights),
            "grad_student": _shaped(gradient),
        },
        "tolerance": {dtype: _tolerance(case, right, dtype) for dtype in UNIT_ROUNDOFF},
        "exposes": _flags(vector, right),
    }


def _inputs(case: Case) -> Document:
    names = ("teacher", "student", "mask", "weight", "bias")
    arrays = ((name, getattr(case, name)) for name in names)
    return {name: None if array is None else _shaped(array) for name, array in arrays}


def _flags(vector: VectorCase, right: Exact) -> Document | None:
    """Not of borders, nor of twins, which are there to be compared with their base."""
    if vector.degenerate or vector.case.name in TWINS:
        return None
    return flags(vector.case, Answer(right.value, right.gradients["student"]))


def _tolerance(case: Case, right: Exact, dtype: str) -> Document:
    allowed = tolerance(case, dtype)
    return {
        "value": _largest(allowed.value, right.value),
        "gradient": _largest(allowed.gradient, right.gradients["student"]),
    }


def _largest(allowed: FloatArray, right: FloatArray) -> float:
    """Over the numbers that have a tolerance: finite ones, on whose value rounding is small."""
    counted = np.isfinite(right) & np.isfinite(allowed)
    return _rounded_up(float(np.max(allowed, where=counted, initial=0.0)))


def _rounded_up(number: float) -> float:
    """Two significant digits, never less than ``number``."""
    if not math.isfinite(number) or number <= 0:
        return number
    # A step of 1 % of the leading digit: enough to round the decimal up wherever it was cut.
    text = f"{number:.1e}"
    return float(text) if float(text) >= number else float(f"{number * 1.05:.1e}")


def _shaped(array: NDArray[Any]) -> Document:
    return {"shape": list(np.shape(array)), "values": as_json(array)}


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
