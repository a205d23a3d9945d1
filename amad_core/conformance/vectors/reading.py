"""Read vectors and results, and trust neither."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray
from amad_core.attention.variants import VARIANTS
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.judgement import specified
from amad_core.conformance.judging.tolerance import tolerance, within
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.vectors.cases import vector_cases
from amad_core.conformance.vectors.document import checksum, essentials
from amad_core.conformance.vectors.exact import expected
from amad_core.conformance.vectors.file_error import FileError, pointer_to
from amad_core.conformance.vectors.numbers import array_of
from amad_core.conformance.vectors.schema import VECTORS_SCHEMA, check_schema
from amad_core.conformance.vectors.strict_json import load_json
from amad_core.conformance.vectors.versions import DEFAULT_SEED, VECTORS_VERSION


@dataclass(frozen=True)
class GoldenCase:
    """A case as read.

    Attributes:
        id: unique among all variants.
        degenerate: it tests a border of the definition.
        case: inputs and options; its name is the design.
        weights: the expected alignment weights.
    """

    id: str
    degenerate: bool
    case: Case
    weights: FloatArray


@dataclass(frozen=True)
class Golden:
    """The vectors of one variant.

    Attributes:
        variant: of the loss.
        version: of the vectors.
        seed: of the designed inputs.
        checksum: of what results depend on.
        cases: in their order.
    """

    variant: str
    version: str
    seed: int
    checksum: str
    cases: tuple[GoldenCase, ...]


def generated_vectors(variant: str, seed: int = DEFAULT_SEED) -> Golden:
    """What reading the file gives that ``amad vectors export`` writes, without writing it."""
    vectors = [(vector, expected(vector.case)) for vector in vector_cases(variant, seed)]
    return Golden(
        variant,
        VECTORS_VERSION,
        seed,
        checksum([essentials(vector, right) for vector, right in vectors]),
        tuple(
            GoldenCase(vector.id, vector.degenerate, vector.case, right.weights)
            for vector, right in vectors
        ),
    )


def read_vectors(directory: Path) -> dict[str, Golden]:
    """All vectors of a directory, by variant.

    Raises:
        FileError: no vectors there, or a file that is not what :func:`export_vectors` writes.
    """
    if not directory.is_dir():
        raise FileError(directory, "must be a directory that 'amad vectors export' wrote")
    paths = [directory / f"{variant}.json" for variant in VARIANTS]
    vectors = {path.stem: read_vectors_file(path) for path in paths if path.exists()}
    if not vectors:
        names = ", ".join(path.name for path in paths)
        raise FileError(directory, f"no vectors here; looked for {names}")
    return vectors


def read_vectors_file(path: Path) -> Golden:
    """One file, checked against its schema, its checksum and the specification.

    Raises:
        FileError: with the place of the first problem.
    """
    document = load_json(path)
    check_schema(document, VECTORS_SCHEMA, path)
    cases = document["cases"]
    if checksum(cases) != document["checksum"]:
        raise FileError(path, "the cases do not have this checksum; export them anew", "/checksum")
    if document["count"] != len(cases):
        raise FileError(path, f"{document['count']} cases said, {len(cases)} there", "/count")
    return _golden(document, path)


def _golden(document: Mapping[str, Any], path: Path) -> Golden:
    seen: dict[str, int] = {}
    cases = []
    for index, entry in enumerate(document["cases"]):
        pointer = pointer_to("cases", index)
        if entry["id"] in seen:
            raise FileError(path, f"same id as case {seen[entry['id']]}", f"{pointer}/id")
        seen[entry["id"]] = index
        if entry["configuration"]["variant"] != document["variant"]:
            place = f"{pointer}/configuration/variant"
            raise FileError(path, f"the file is of the variant {document['variant']!r}", place)
        cases.append(_golden_case(entry, path, pointer))
    return Golden(
        document["variant"],
        document["vectors_version"],
        document["generator"]["seed"],
        document["checksum"],
        tuple(cases),
    )


def _golden_case(entry: Mapping[str, Any], path: Path, pointer: str) -> GoldenCase:
    parts: dict[str, Any] = dict(entry["configuration"])
    for name in ("teacher", "student", "mask", "weight", "bias"):
        parts[name] = _array(entry["inputs"][name], path, f"{pointer}/inputs/{name}")
    case = Case(name=entry["design"], **parts)
    try:
        right = specified(case)
    except (TypeError, ValueError) as error:
        raise FileError(path, str(error), f"{pointer}/inputs") from None
    weights = _array(entry["expected"]["weights"], path, f"{pointer}/expected/weights")
    assert weights is not None
    _check_expected(entry["expected"], case, right, path, f"{pointer}/expected")
    return GoldenCase(entry["id"], entry["degenerate"], case, weights)


def _check_expected(
    entry: Mapping[str, Any], case: Case, right: Answer, path: Path, pointer: str
) -> None:
    """The expected numbers must be those of the specification in this installation."""
    assert right.value is not None
    assert right.grad_student is not None
    value = array_of(entry["value"], right.value.shape, path, f"{pointer}/value")
    gradient = _array(entry["grad_student"], path, f"{pointer}/grad_student")
    allowed = tolerance(case)
    if not within(value, right.value, allowed.value):
        raise FileError(path, f"the specification gives {right.value}", f"{pointer}/value")
    if (
        gradient is None
        or gradient.shape != right.grad_student.shape
        or not within(gradient, right.grad_student, allowed.gradient)
    ):
        message = "the specification gives another gradient"
        raise FileError(path, message, f"{pointer}/grad_student")


def _array(entry: Any, path: Path, pointer: str) -> NDArray[Any] | None:
    if entry is None:
        return None
    return array_of(entry["values"], tuple(entry["shape"]), path, f"{pointer}/values")
