"""Hostile files: a clear error with the place, and never a traceback."""

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amad_core.conformance.judging.judgement import specified
from amad_core.conformance.vectors import documents
from amad_core.conformance.vectors.check import check_results
from amad_core.conformance.vectors.documents import RESULTS_SCHEMA, FileError, load_document
from amad_core.conformance.vectors.files import Golden, checksum, read_vectors_file
from amad_core.conformance.vectors.schema import pointer_to
from tests.vectors.result_files import Document, results_document, written

pytestmark = pytest.mark.xdist_group("vectors")

Change = Callable[[Document], Any]
_FIRST = "kl-rect-1"
_VALUE = f"/results/{_FIRST}/value"


@pytest.fixture(scope="module")
def results(golden_kl: Golden) -> Document:
    return results_document(golden_kl, specified)


def _entry(document: Document) -> Document:
    entry = document["results"][_FIRST]
    assert isinstance(entry, dict)
    return entry


def _change(path: str, value: Any) -> Change:
    def change(document: Document) -> None:
        *parents, last = path.split("/")[1:]
        place: Any = document
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        place[int(last) if isinstance(place, list) else last] = value

    return change


_BAD_RESULTS: dict[str, tuple[Change, str, str]] = {
    "another format": (_change("/format", "amad-results/9"), "/format", "amad-results/1"),
    "no port": (lambda d: d.pop("port"), "", "'port' is a required property"),
    "an unknown property": (_change("/speed", 3), "", "unknown 'speed'"),
    "an unknown dtype": (_change("/dtype", "int8"), "/dtype", "float64"),
    "results as a list": (_change("/results", []), "/results", "must be object"),
    "no results": (_change("/results", {}), "/results", "must not be empty"),
    "a value as text": (_change(_VALUE, "1.5"), _VALUE, "must match"),
    "a value as bool": (_change(_VALUE, True), _VALUE, "must be number"),
    "a value as null": (_change(_VALUE, None), _VALUE, "must be number"),
    "a value as object": (_change(_VALUE, {"loss": 1}), _VALUE, "must be number"),
    "a value for each sample": (_change(_VALUE, [1.0, 2.0]), _VALUE, "a number was expected"),
    "no value": (lambda d: _entry(d).pop("value"), f"/results/{_FIRST}", "exactly one of 'value'"),
    "value and error": (
        _change(f"/results/{_FIRST}/error", "x"),
        f"/results/{_FIRST}",
        "exactly one of 'value'",
    ),
    "a gradient of rank 3": (
        lambda d: _entry(d).update(grad_student=_entry(d)["grad_student"][0]),
        f"/results/{_FIRST}/grad_student/0/0/0",
        "must be array",
    ),
    "a ragged gradient": (
        lambda d: _entry(d)["grad_student"][1][2][3].pop(),
        f"/results/{_FIRST}/grad_student/1/2/3",
        "7 entries were expected, got 6",
    ),
    "text in a gradient": (
        _change(f"/results/{_FIRST}/grad_student/0/0/0/0", "x"),
        f"/results/{_FIRST}/grad_student/0/0/0/0",
        "must match",
    ),
    "an unknown id": (
        lambda d: d["results"].update({"kl-rect-9": d["results"].pop(_FIRST)}),
        "/results/kl-rect-9",
        "did you mean",
    ),
    "other vectors": (_change("/checksums/kl", "0" * 64), "/checksums/kl", "other vectors"),
    "a checksum that is none": (_change("/checksums/kl", "abc"), "/checksums/kl", "must match"),
}


@pytest.mark.parametrize("name", list(_BAD_RESULTS))
def test_malformed_results(name: str, results: Document, tmp_path: Path) -> None:
    change, pointer, message = _BAD_RESULTS[name]
    document = copy.deepcopy(results)
    change(document)
    _assert_refused(written(document, tmp_path / "results.json"), pointer, message)


_BAD_TEXT: dict[str, tuple[str | bytes, str, str]] = {
    "empty": ("", "", "not JSON"),
    "truncated": ('{"format": "amad-results/1", "port"', "", "line 1, column 36"),
    "not JSON": ("hello", "", "not JSON"),
    "binary": (bytes(range(128, 256)), "", "not UTF-8"),
    "a pickle": (pickle.dumps({"results": {}}), "", "not UTF-8"),
    "an array": ("[1, 2]", "", "must be object"),
    "NaN": ('{"results": {"kl-rect-1": {"value": NaN}}}', _VALUE, 'write "nan"'),
    "Infinity": ('{"results": {"kl-rect-1": {"value": -Infinity}}}', _VALUE, 'write "-inf"'),
    "1e999": ('{"results": {"kl-rect-1": {"value": 1e999}}}', _VALUE, "beyond float64"),
    "5000 digits": (f'{{"results": {{"kl-rect-1": {{"value": {"9" * 5000}}}}}}}', _VALUE, "5000"),
    "a key twice": ('{"port": "a", "port": "b"}', "/port", "appears twice"),
    "an id twice": ('{"results": {"kl~/1": {}, "kl~/1": {}}}', "/results/kl~0~11", "appears twice"),
    "too deep": ("[" * 100_000, "", "nested too deeply"),
}


@pytest.mark.parametrize("name", list(_BAD_TEXT))
def test_text_that_is_no_results(name: str, tmp_path: Path) -> None:
    content, pointer, message = _BAD_TEXT[name]
    _assert_refused(written(content, tmp_path / "results.json"), pointer, message)


def test_byte_order_marks_are_harmless(results: Document, tmp_path: Path) -> None:
    path = written(b"\xef\xbb\xbf" + json.dumps(results).encode(), tmp_path / "results.json")
    assert check_results(path)[0].passed


def test_a_missing_file(tmp_path: Path) -> None:
    _assert_refused(tmp_path / "results.json", "", "No such file")


def test_a_directory_without_results(tmp_path: Path) -> None:
    _assert_refused(tmp_path, "", "no *.json")


def test_a_directory_where_a_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a directory where a file was expected"):
        load_document(tmp_path, RESULTS_SCHEMA)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "results.json")
    _assert_refused(tmp_path / "results.json", "", "no regular file")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("{}", tmp_path / "results.json")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    _assert_refused(path, "", "Permission denied")


def test_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LARGEST_FILE", 2**20)
    _assert_refused(written(" " * (2**20 + 1), tmp_path / "results.json"), "", "larger than 1 MiB")


def test_a_case_answered_in_two_files(results: Document, tmp_path: Path) -> None:
    written(results, tmp_path / "a.json")
    written(results | {"results": {_FIRST: {"value": 1.0}}}, tmp_path / "b.json")
    _assert_refused(tmp_path, f"/results/{_FIRST}", "a.json already")


def test_two_ports_in_one_directory(results: Document, tmp_path: Path) -> None:
    written(results, tmp_path / "a.json")
    written(results | {"port": "another"}, tmp_path / "b.json")
    _assert_refused(tmp_path, "/port", "in another file")


_CASE = "/cases/2"
_BAD_VECTORS: dict[str, tuple[Change, str, str]] = {
    "a wrong count": (_change("/count", 3), "/count", "3 cases said"),
    "an id twice": (_change("/cases/1/id", _FIRST), "/cases/1/id", "same id as case 0"),
    "another variant": (
        _change(f"{_CASE}/configuration/variant", "js"),
        f"{_CASE}/configuration/variant",
        "variant 'kl'",
    ),
    "a wrong shape": (
        _change(f"{_CASE}/inputs/teacher/shape/1", 9),
        f"{_CASE}/inputs/teacher/values/0",
        "9 entries were expected",
    ),
    "a negative cell": (
        _change(f"{_CASE}/inputs/teacher/values/0/0/0/0", -1.0),
        f"{_CASE}/inputs",
        "non-negative",
    ),
    "another value": (
        _change(f"{_CASE}/expected/value", 1.0),
        f"{_CASE}/expected/value",
        "the specification gives",
    ),
    "another gradient": (
        _change(f"{_CASE}/expected/grad_student/values/0/0/0/0", 1.0),
        f"{_CASE}/expected/grad_student",
        "another gradient",
    ),
    "a temperature of 0": (
        _change(f"{_CASE}/configuration/temperature", 0),
        f"{_CASE}/configuration/temperature",
        "greater than 0",
    ),
    "a mask of numbers": (
        _change(f"{_CASE}/inputs/mask", {"shape": [1, 1, 1], "values": [[[1]]]}),
        f"{_CASE}/inputs/mask/values/0/0/0",
        "must be boolean",
    ),
    "an unknown property": (_change(f"{_CASE}/hint", 1), _CASE, "unknown 'hint'"),
}


@pytest.mark.parametrize("name", list(_BAD_VECTORS))
def test_malformed_vectors(name: str, exported: Path, tmp_path: Path) -> None:
    change, pointer, message = _BAD_VECTORS[name]
    document = json.loads((exported / "kl.json").read_text())
    change(document)
    document["checksum"] = checksum(document["cases"])
    with pytest.raises(FileError) as caught:
        read_vectors_file(written(document, tmp_path / "kl.json"))
    assert caught.value.pointer == pointer, str(caught.value)
    assert message in caught.value.message


def test_vectors_that_were_edited_do_not_have_their_checksum(
    exported: Path, tmp_path: Path
) -> None:
    text = (exported / "kl.json").read_text()
    path = written(text.replace("0.1328125", "0.1328124", 1), tmp_path / "kl.json")
    with pytest.raises(FileError, match="do not have this checksum"):
        read_vectors_file(path)


def test_a_directory_without_vectors(results: Document, tmp_path: Path) -> None:
    path = written(results, tmp_path / "results.json")
    with pytest.raises(FileError, match="no vectors here"):
        check_results(path, vectors=tmp_path)
    with pytest.raises(FileError, match="must be a directory"):
        check_results(path, vectors=path)


def test_pointers_escape_as_the_standard_says() -> None:
    assert pointer_to("a/b", "c~d", 3) == "/a~1b/c~0d/3"


def _assert_refused(path: Path, pointer: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        check_results(path)
    assert caught.value.pointer == pointer, str(caught.value)
    assert message in caught.value.message
    assert len(str(caught.value)) < 400, "the file itself does not belong into the message"
