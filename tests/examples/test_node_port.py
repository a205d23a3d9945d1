"""A port that is not Python: right as it stands, and named where it is made wrong."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from amad_core import VARIANTS
from amad_core.conformance.judging.checks.result import PASSED
from amad_core.conformance.reports.report import Report
from amad_core.conformance.vectors.check import check_results
from tests.support.exported_vectors import exported_directory

pytestmark = pytest.mark.xdist_group("vectors")

_SOURCE = Path(__file__).resolve().parents[2] / "examples" / "node_port" / "amad.mjs"


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("node is not installed, and CI has to verify the JavaScript port")
        pytest.skip("node is not installed; the JavaScript port is verified in CI")
    return found


@pytest.fixture(scope="module")
def vectors() -> Path:
    return exported_directory()


def _reports(node: str, source: Path, vectors: Path, results: Path) -> dict[str, Report]:
    done = subprocess.run(
        [node, source, vectors, results], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {report.terms.variant: report for report in check_results(results, vectors=vectors)}


def test_node_port_is_right_in_every_variant(node: str, vectors: Path, tmp_path: Path) -> None:
    reports = _reports(node, _SOURCE, vectors, tmp_path / "results.json")
    assert list(reports) == list(VARIANTS)
    for report in reports.values():
        assert report.passed, str(report)
        statuses = {check.name: check.status for check in report.checks}
        for name in ("complete", "value", "gradient", "weights", "options", "mask", "edges"):
            assert statuses[name] == PASSED, str(report)


_SOFTMAX_OVER_TEACHER = (
    (
        "    const a = softmax(cosineUnits.map((s) => dot(teacherUnit, s)), temperature);",
        "    const a = cosineUnits.map((s) => softmax(teacher.map("
        "(other) => dot(unit(other, l2Norm(other)), s)), temperature)[teacher.indexOf(t)]);",
    ),
)
_MISTAKES = {
    "softmax-over-teacher-heads": _SOFTMAX_OVER_TEACHER,
    "weights-detached": (("byCosine[j][k] += byLogit * x", "byCosine[j][k] += 0 * x"),),
    "mean-over-heads": (
        ("terms.map(([term]) => term)", "terms.map(([term]) => term / teacher.length)"),
        ("terms.map(([, slope]) => slope)", "terms.map(([, slope]) => slope / teacher.length)"),
    ),
}


@pytest.mark.thin(3)
@pytest.mark.parametrize("mistake", list(_MISTAKES))
def test_a_wrong_node_port_is_named(mistake: str, node: str, vectors: Path, tmp_path: Path) -> None:
    text = _SOURCE.read_text()
    for right, wrong in _MISTAKES[mistake]:
        assert text.count(right) == 1, f"the port no longer has {right!r}"
        text = text.replace(right, wrong)
    text = text.replace("(const variant of Object.keys(VARIANTS))", '(const variant of ["mse"])')
    source = tmp_path / "wrong.mjs"
    source.write_text(text)
    (report,) = _reports(node, source, vectors, tmp_path / "results.json").values()
    assert report.exit_code == 1
    assert [explanation.name for explanation in report.explanations] == [mistake], str(report)


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_without_vectors_is_refused(node: str, exists: bool, tmp_path: Path) -> None:
    vectors, results = tmp_path / "vectors", tmp_path / "results.json"
    if exists:
        vectors.mkdir()
        (vectors / "results.schema.json").write_text("{}")
    done = subprocess.run(
        [node, _SOURCE, vectors, results], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"no vectors in {vectors}" in done.stderr
    assert "kl.json" in done.stderr
    assert f"amad vectors export {vectors}" in done.stderr
    assert not results.exists()


def test_usage_is_told(node: str) -> None:
    done = subprocess.run([node, _SOURCE], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage" in done.stderr
