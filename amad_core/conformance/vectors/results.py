"""Read what a port computed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from amad_core.attention.inputs import FloatArray
from amad_core.attention.variants import VARIANTS
from amad_core.conformance.ports.answer import Answer, PortError
from amad_core.conformance.vectors.documents import (
    RESULTS_SCHEMA,
    FileError,
    array_of,
    load_document,
)
from amad_core.conformance.vectors.files import Golden
from amad_core.conformance.vectors.schema import pointer_to

Documents = Mapping[Path, Mapping[str, Any]]
"""Results files that follow their schema, their arrays not looked at yet."""


@dataclass(frozen=True)
class Results:
    """All results of a port.

    Attributes:
        port: what it calls itself.
        dtype: what it computes in.
        answers: value and gradients, or the trouble that the port had, by case id.
        weights: alignment weights, where given, by case id.
        skipped: reasons of the port for leaving cases out, by case id.
    """

    port: str
    dtype: str
    answers: dict[str, Answer] = field(default_factory=dict)
    weights: dict[str, FloatArray] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def read_documents(path: Path) -> Documents:
    """A results file, or all of a directory (``*.json``, by name).

    Raises:
        FileError: with the place of the first problem.
    """
    paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not paths:
        raise FileError(path, "no *.json in this directory")
    return {path: load_document(path, RESULTS_SCHEMA) for path in paths}


def answered_variants(documents: Documents) -> list[str]:
    """Variants that ids begin with; all where none does, so that every id is unknown."""
    ids = (case_id for document in documents.values() for case_id in document["results"])
    prefixes = {case_id.partition("-")[0] for case_id in ids}
    return [variant for variant in VARIANTS if variant in prefixes] or list(VARIANTS)


def results_of(documents: Documents, vectors: Mapping[str, Golden]) -> Results:
    """Results against the vectors that they answer.

    Raises:
        FileError: an id that the vectors do not have, one that is answered twice, arrays of the
            wrong shape, a port or dtype that differs between files, other vectors.
    """
    known = {case_id: golden for golden in vectors.values() for case_id in golden.cases}
    first = next(iter(documents.values()))
    results = Results(first["port"], first.get("dtype", "float64"))
    origin: dict[str, Path] = {}
    for path, document in documents.items():
        _check_header(path, document, first, vectors)
        for case_id, entry in document["results"].items():
            pointer = pointer_to("results", case_id)
            if case_id in origin:
                raise FileError(path, f"answered in {origin[case_id]} already", pointer)
            if case_id not in known:
                raise FileError(path, _unknown(case_id, known), pointer)
            origin[case_id] = path
            if "skipped" in entry:
                results.skipped[case_id] = entry["skipped"]
            elif "error" in entry:
                trouble = PortError("raised", entry["error"] or "the port gives no reason")
                results.answers[case_id] = Answer(None, dtype=results.dtype, trouble=trouble)
            else:
                shapes = _shapes(known[case_id], case_id)
                arrays: dict[str, Any] = {
                    name: array_of(values, shapes[name], path, f"{pointer}/{name}")
                    for name, values in entry.items()
                }
                if "weights" in arrays:
                    results.weights[case_id] = arrays.pop("weights")
                missing = "" if "grad_student" in arrays else "the results hold none"
                results.answers[case_id] = Answer(
                    **arrays, dtype=results.dtype, no_gradient=missing
                )
    return results


def _check_header(
    path: Path,
    document: Mapping[str, Any],
    first: Mapping[str, Any],
    vectors: Mapping[str, Golden],
) -> None:
    for key in ("port", "dtype"):
        if document.get(key) != first.get(key):
            message = f"{document.get(key)!r}, but {first.get(key)!r} in another file"
            raise FileError(path, message, pointer_to(key))
    for variant, found in document.get("checksums", {}).items():
        if variant in vectors and found != vectors[variant].checksum:
            raise FileError(
                path,
                "computed from other vectors than these; name their directory with --vectors, "
                "or export and compute anew",
                pointer_to("checksums", variant),
            )


def _shapes(golden: Golden, case_id: str) -> dict[str, tuple[int, ...]]:
    case = golden.cases[case_id]
    return {
        "value": case.teacher.shape[:1] if case.reduction == "none" else (),
        "grad_student": case.student.shape,
        "grad_teacher": case.teacher.shape,
        "weights": golden.weights[case_id].shape,
    }


def _unknown(case_id: str, known: Iterable[str]) -> str:
    near = get_close_matches(case_id, known, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"no case has this id{hint}"
