"""Read what a port computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.ports.answer import Answer, PortError
from amad_core.conformance.vectors.file_error import FileError, pointer_to
from amad_core.conformance.vectors.numbers import array_of
from amad_core.conformance.vectors.reading import Golden, GoldenCase
from amad_core.conformance.vectors.schema import RESULTS_SCHEMA, check_schema
from amad_core.conformance.vectors.strict_json import load_json

_NO_GRADIENT = "the results hold none"


@dataclass(frozen=True)
class GivenAnswer:
    """What the results say for one case.

    Attributes:
        answer: value and gradients, or the trouble that the port had.
        weights: alignment weights, where given.
    """

    answer: Answer
    weights: FloatArray | None = None


@dataclass(frozen=True)
class Results:
    """All results of a port.

    Attributes:
        port: what it calls itself.
        dtype: what it computes in.
        answers: by case id.
        skipped: reasons of the port for leaving cases out, by case id.
    """

    port: str
    dtype: str
    answers: Mapping[str, GivenAnswer] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RawResults:
    """A results file that follows its schema, its arrays not looked at yet."""

    path: Path
    document: Mapping[str, Any]


def read_raw(path: Path) -> list[RawResults]:
    """A results file, or all of a directory (``*.json``, by name).

    Raises:
        FileError: with the place of the first problem.
    """
    if not path.is_dir():
        return [_read_file(path)]
    files = sorted(path.glob("*.json"))
    if not files:
        raise FileError(path, "no *.json in this directory")
    return [_read_file(file) for file in files]


def results_of(raw: list[RawResults], vectors: Mapping[str, Golden]) -> Results:
    """Results against the vectors that they answer.

    Raises:
        FileError: an id that the vectors do not have, one that is answered twice, arrays of the
            wrong shape, a port or dtype that differs between files, other vectors.
    """
    known = {golden.id: golden for file in vectors.values() for golden in file.cases}
    first = raw[0].document
    answers: dict[str, GivenAnswer] = {}
    skipped: dict[str, str] = {}
    origin: dict[str, Path] = {}
    for file in raw:
        _check_header(file, first, vectors)
        for case_id, entry in file.document["results"].items():
            pointer = pointer_to("results", case_id)
            if case_id in origin:
                raise FileError(file.path, f"answered in {origin[case_id]} already", pointer)
            origin[case_id] = file.path
            if case_id not in known:
                raise FileError(file.path, _unknown(case_id, known), pointer)
            if "skipped" in entry:
                skipped[case_id] = entry["skipped"]
            else:
                dtype = first.get("dtype", "float64")
                answers[case_id] = _answer(entry, known[case_id], dtype, file.path, pointer)
    return Results(first["port"], first.get("dtype", "float64"), answers, skipped)


def _read_file(path: Path) -> RawResults:
    document = load_json(path)
    check_schema(document, RESULTS_SCHEMA, path)
    return RawResults(path, document)


def _check_header(
    file: RawResults, first: Mapping[str, Any], vectors: Mapping[str, Golden]
) -> None:
    for key in ("port", "dtype"):
        if file.document.get(key) != first.get(key):
            message = f"{file.document.get(key)!r}, but {first.get(key)!r} in another file"
            raise FileError(file.path, message, pointer_to(key))
    for variant, found in file.document.get("checksums", {}).items():
        if variant in vectors and found != vectors[variant].checksum:
            raise FileError(
                file.path,
                "computed from other vectors than these; name their directory with --vectors, "
                "or export and compute anew",
                pointer_to("checksums", variant),
            )


def _answer(
    entry: Mapping[str, Any], golden: GoldenCase, dtype: str, path: Path, pointer: str
) -> GivenAnswer:
    if "error" in entry:
        trouble = PortError("raised", entry["error"] or "the port gives no reason")
        return GivenAnswer(Answer(None, dtype=dtype, trouble=trouble))
    case = golden.case
    shapes = {
        "value": case.teacher.shape[:1] if case.reduction == "none" else (),
        "grad_student": case.student.shape,
        "grad_teacher": case.teacher.shape,
        "weights": golden.weights.shape,
    }
    arrays = {
        name: array_of(entry[name], shape, path, pointer + pointer_to(name))
        for name, shape in shapes.items()
        if name in entry
    }
    weights = arrays.get("weights")
    no_gradient = "" if "grad_student" in arrays else _NO_GRADIENT
    answer = Answer(
        arrays["value"],
        arrays.get("grad_student"),
        arrays.get("grad_teacher"),
        dtype,
        no_gradient=no_gradient,
    )
    return GivenAnswer(answer, weights)


def _unknown(case_id: str, known: Mapping[str, GoldenCase]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(case_id, known, n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"no case has this id{hint}"
