"""Golden vectors as read: those that ship with the package, or those of a directory."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray
from amad_core.attention.variants import VARIANTS
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.judgement import specified
from amad_core.conformance.judging.tolerance import tolerance, within
from amad_core.conformance.vectors.documents import (
    DATA,
    VECTORS_SCHEMA,
    FileError,
    array_of,
    load_document,
)
from amad_core.conformance.vectors.schema import pointer_to

RELEASED_SEED = 0
"""Of the designed inputs of the vectors that ship."""

SUMS = "SHA256SUMS"
"""File names with their SHA-256, as ``sha256sum --check`` reads them."""

_RESULTS_DEPEND_ON = ("id", "configuration", "inputs", "expected")
_EXPORT_ANEW = "export the vectors anew"


@dataclass(frozen=True)
class Golden:
    """The vectors of one variant.

    Attributes:
        variant: of the loss.
        version: of the vectors.
        seed: of the designed inputs.
        checksum: of what results depend on.
        cases: inputs and options by id, in their order; the name of a case is its design.
        weights: the expected alignment weights, by id.
        degenerate: ids of cases that test a border of the definition.
    """

    variant: str
    version: str
    seed: int
    checksum: str
    cases: Mapping[str, Case]
    weights: Mapping[str, FloatArray]
    degenerate: frozenset[str]


def shipped_vectors(variant: str) -> Golden:
    """The vectors that are part of the package.

    Raises:
        FileError: the installation is damaged.
    """
    return _golden(json.loads(shipped_text(variant)), Path(f"{variant}.json"))


def shipped_text(variant: str) -> bytes:
    """The vectors file of a variant, to the byte as ``amad vectors export`` writes it.

    Raises:
        FileError: the installation is damaged.
    """
    packed = DATA / f"{variant}.json.gz"
    try:
        text = gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(Path(str(packed)), f"damaged ({error}); install amad again") from None
    if hashlib.sha256(text).hexdigest() != released_sums().get(f"{variant}.json"):
        raise FileError(Path(str(packed)), f"differs from its sum in {SUMS}; install amad again")
    return text


def released_sums() -> dict[str, str]:
    """The sums of what an export writes for each variant, by file name."""
    return read_sums(DATA.joinpath(SUMS).read_text(encoding="ascii"))


def read_sums(text: str) -> dict[str, str]:
    """The lines of ``SHA256SUMS``, by file name."""
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def checksum(cases: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 of what results depend on, as JSON with sorted keys and no spaces."""
    counted = [{key: case[key] for key in _RESULTS_DEPEND_ON} for case in cases]
    canonical = json.dumps(counted, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_vectors(directory: Path) -> dict[str, Golden]:
    """All vectors of a directory, by variant.

    Raises:
        FileError: no vectors there, or a file that is not what ``amad vectors export`` writes.
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
    document = load_document(path, VECTORS_SCHEMA)
    cases = document["cases"]
    if checksum(cases) != document["checksum"]:
        raise FileError(path, f"the cases do not have this checksum; {_EXPORT_ANEW}", "/checksum")
    if document["count"] != len(cases):
        raise FileError(path, f"{document['count']} cases said, {len(cases)} there", "/count")
    golden = _golden(document, path)
    for index, (case, entry) in enumerate(zip(golden.cases.values(), cases, strict=True)):
        for place, problem in _against_specification(case, entry["expected"]):
            raise FileError(path, problem, pointer_to("cases", index) + place)
    return golden


def _golden(document: Mapping[str, Any], path: Path) -> Golden:
    cases: dict[str, Case] = {}
    weights = {}
    for index, entry in enumerate(document["cases"]):
        case_id, configuration, pointer = entry["id"], entry["configuration"], f"/cases/{index}"
        if case_id in cases:
            raise FileError(path, f"same id as case {list(cases).index(case_id)}", f"{pointer}/id")
        if configuration["variant"] != document["variant"]:
            place = f"{pointer}/configuration/variant"
            raise FileError(path, f"the file is of the variant {document['variant']!r}", place)
        arrays: dict[str, Any] = {
            name: _array(array, path, f"{pointer}/inputs/{name}", bool if name == "mask" else float)
            for name, array in entry["inputs"].items()
            if array is not None
        }
        cases[case_id] = Case(entry["design"], **configuration, **arrays)
        place = f"{pointer}/expected/weights"
        weights[case_id] = _array(entry["expected"]["weights"], path, place)
        _array(entry["expected"]["grad_student"], path, f"{pointer}/expected/grad_student")
    return Golden(
        document["variant"],
        document["vectors_version"],
        document["generator"]["seed"],
        document["checksum"],
        cases,
        weights,
        frozenset(entry["id"] for entry in document["cases"] if entry["degenerate"]),
    )


def _array(entry: Any, path: Path, pointer: str, dtype: type = float) -> NDArray[Any]:
    return array_of(entry["values"], tuple(entry["shape"]), path, f"{pointer}/values", dtype)


def _against_specification(case: Case, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The expected numbers must be those of the specification in this installation."""
    try:
        right = specified(case)
    except (TypeError, ValueError) as error:
        yield "/inputs", str(error)
        return
    assert right.value is not None
    assert right.grad_student is not None
    allowed = tolerance(case)
    value = np.array(given["value"], float)
    if value.shape != right.value.shape or not within(value, right.value, allowed.value):
        yield "/expected/value", f"the specification gives {right.value}"
    gradient = np.array(given["grad_student"]["values"], float)
    if gradient.shape != right.grad_student.shape or not within(
        gradient, right.grad_student, allowed.gradient
    ):
        yield "/expected/grad_student", "the specification gives another gradient"
