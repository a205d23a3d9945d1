"""The exported files: reproducible, valid, consistent with each other, and telling."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import load_file

from amad_core import VARIANTS
from amad_core.conformance.diagnosis.mistakes import MISTAKES
from amad_core.conformance.vectors.export import differing_from_release, export_vectors, read_sums
from amad_core.conformance.vectors.make.flags import first_form

pytestmark = pytest.mark.xdist_group("vectors")

_NEVER_EXPOSED = {
    "eps-added-to-the-maps",
    "eps-in-the-logarithm",
    "eps-in-the-norms",
    "renormalised-after-eps",
}
"""Their first form adds 1e-8: in small maps that is nothing that a float32 can show."""

_NOT_IN_ROWS = {"largest-cells-only"}
"""Its first form keeps eight cells: as many as a row has here."""


def _document(exported: Path, variant: str) -> dict:
    return json.loads((exported / f"{variant}.json").read_text())


def test_exported_files_are_the_released_ones(exported: Path) -> None:
    assert differing_from_release(exported) == [], (
        "how arrays are written has changed: run 'make vectors'"
    )


def test_another_process_writes_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from amad_core.conformance.vectors.export import export_vectors\n"
        "export_vectors(Path(sys.argv[1]), ['mse'])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=environment)
    sums = read_sums((exported / "SHA256SUMS").read_text())
    again = read_sums((tmp_path / "SHA256SUMS").read_text())
    assert "mse.json" in again
    assert "mse.npz" in again
    assert again.items() <= sums.items()


def test_another_seed_gives_other_cases(exported: Path, tmp_path: Path) -> None:
    export_vectors(tmp_path, ["mse"], seed=1)
    ours, other = _document(exported, "mse"), _document(tmp_path, "mse")
    assert ours["checksum"] != other["checksum"]
    assert [case["id"] for case in ours["cases"]] == [case["id"] for case in other["cases"]]


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_files_follow_the_schema_that_lies_beside_them(exported: Path, variant: str) -> None:
    schema = json.loads((exported / "vectors.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    document = _document(exported, variant)
    # One case is enough for the plain validator, which takes seconds for a whole file.
    jsonschema.validate(document | {"cases": document["cases"][:2]}, schema)
    assert document["count"] == len(document["cases"])
    assert _closed(schema), "every object of the schema refuses what it does not name"


def _closed(schema: object) -> bool:
    if isinstance(schema, list):
        return all(map(_closed, schema))
    if not isinstance(schema, dict):
        return True
    is_open = "properties" in schema and schema.get("additionalProperties") is not False
    return not is_open and all(map(_closed, schema.values()))


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_arrays_are_the_same_in_all_three_formats(exported: Path, variant: str) -> None:
    tensors = load_file(exported / f"{variant}.safetensors")
    with np.load(exported / f"{variant}.npz", allow_pickle=False) as archive:
        assert set(archive.files) == set(tensors)
        for name in archive.files:
            np.testing.assert_array_equal(archive[name], tensors[name])
    for case in _document(exported, variant)["cases"]:
        for name, array in (*case["inputs"].items(), *case["expected"].items()):
            if isinstance(array, dict):
                stored = tensors[f"{case['id']}/{name}"]
                assert list(stored.shape) == array["shape"]
                values = np.array(array["values"])
                wanted = values if name == "mask" else values.astype(np.float64)
                np.testing.assert_array_equal(stored, wanted)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_inputs_are_exact_in_bfloat16(exported: Path, variant: str) -> None:
    for name, array in load_file(exported / f"{variant}.safetensors").items():
        if name.endswith(("/teacher", "/student", "/weight", "/bias")):
            single = array.astype(np.float32)
            np.testing.assert_array_equal(single.astype(np.float64), array)
            dropped = single.view(np.uint32) & 0xFFFF
            assert not dropped.any(), f"{name} loses bits in bfloat16"


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_flags_are_of_the_catalogue_and_leave_no_mistake_out(exported: Path, variant: str) -> None:
    catalogue = json.loads((exported / "mistakes.json").read_text())
    exposed = set()
    for case in _document(exported, variant)["cases"]:
        flags = case["exposes"]
        if flags is not None:
            assert not set(flags["by_value"]) & set(flags["by_gradient"])
            exposed |= {*flags["by_value"], *flags["by_gradient"]}
    assert exposed <= set(catalogue)
    possible = {mistake.name for mistake in MISTAKES if first_form(mistake, variant)}
    unseen = _NEVER_EXPOSED | (_NOT_IN_ROWS if variant == "token" else set())
    assert possible - exposed <= unseen


def test_degenerate_cases_are_labelled(exported: Path) -> None:
    cases = _document(exported, "kl")["cases"]
    labelled = {case["design"] for case in cases if case["degenerate"]}
    assert {"one-student-head", "uniform", "all-masked"} <= labelled
    assert {"rect/1", "disjoint", "causal"} <= {case["design"] for case in cases} - labelled
    assert all(case["exposes"] is None for case in cases if case["degenerate"])


def test_known_answers(exported: Path) -> None:
    values = {
        case["design"]: case["expected"]["value"] for case in _document(exported, "kl")["cases"]
    }
    assert values["all-heads-equal"] == values["uniform"] == values["all-masked"] == 0.0
    assert values["identical"] > 0.1
    assert values["no-common-cell"] == "inf"
    twins = {value for design, value in values.items() if design.startswith("twin/")}
    assert len(twins) == 1, "fifty digits leave no difference between twins"
    rows = {
        case["design"]: case["expected"]["value"] for case in _document(exported, "token")["cases"]
    }
    assert rows["one-query"] == values["one-query"]


def test_tolerances_grow_as_precision_falls(exported: Path) -> None:
    for variant in VARIANTS:
        for case in _document(exported, variant)["cases"]:
            by_dtype = [
                case["tolerance"][dtype] for dtype in ("float64", "float32", "float16", "bfloat16")
            ]
            values = [allowed["value"] for allowed in by_dtype]
            # float16 has more digits than bfloat16, and less range: either may allow more.
            assert values[0] <= values[1] <= min(values[2:]), case["id"]
            if case["expected"]["value"] not in (0.0, "inf"):
                assert 0 < values[0] < 1e-4, case["id"]


def test_all_files_are_small(exported: Path) -> None:
    assert sum(path.stat().st_size for path in exported.iterdir()) < 8e6
