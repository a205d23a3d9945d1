"""``amad vectors export`` and ``amad vectors check``: output and exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from amad_core.conformance.judging.judgement import specified
from amad_core.conformance.vectors.command import vectors_app
from amad_core.conformance.vectors.files import Golden
from tests.vectors.result_files import results_document, written

pytestmark = pytest.mark.xdist_group("vectors")


@pytest.fixture
def right(golden_kl: Golden, tmp_path: Path) -> Path:
    return written(results_document(golden_kl, specified), tmp_path / "right.json")


@pytest.fixture
def wrong(golden_kl: Golden, tmp_path: Path) -> Path:
    document = results_document(golden_kl, specified, gradients=False)
    for entry in document["results"].values():
        if isinstance(entry["value"], float):
            entry["value"] *= 3
    return written(document, tmp_path / "wrong.json")


def _run(*arguments: object):
    return CliRunner().invoke(vectors_app, [str(argument) for argument in arguments])


def test_right_results_exit_with_0(right: Path) -> None:
    result = _run("check", right)
    assert result.exit_code == 0, result.output
    assert "RIGHT" in result.output


def test_results_against_exported_vectors(right: Path, exported: Path) -> None:
    assert _run("check", right, "--vectors", exported).exit_code == 0


def test_wrong_results_exit_with_1_and_name_the_ratio(wrong: Path) -> None:
    result = _run("check", wrong)
    assert result.exit_code == 1
    assert "WRONG" in result.output
    assert "times 3" in " ".join(result.output.split())


def test_json_is_all_that_is_printed(right: Path, wrong: Path) -> None:
    for path, verdict in ((right, "right"), (wrong, "wrong")):
        document = json.loads(_run("check", path, "--json").output)
        assert document["schema"] == "amad-vectors-report/1"
        assert document["verdict"] == document["variants"]["kl"]["verdict"] == verdict


def test_unusable_files_exit_with_2_and_say_where(tmp_path: Path) -> None:
    path = written(
        '{"format": 1, "port": "p", "results": {"a": {"value": 1}}}', tmp_path / "results.json"
    )
    result = _run("check", path)
    assert result.exit_code == 2
    assert "results.json, at /format: must be 'amad-results/1'" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["export", "check"])
def test_unknown_variants_exit_with_2(command: str, tmp_path: Path) -> None:
    result = _run(command, tmp_path / "x", "--variant", "l2")
    assert result.exit_code == 2
    assert "'l2'" in result.output
    assert not (tmp_path / "x").exists()


def test_export_where_nothing_can_be_written(tmp_path: Path) -> None:
    blocked = written("", tmp_path / "file")
    result = _run("export", blocked, "--variant", "mse")
    assert result.exit_code == 2
    assert "file" in result.output


def test_export_of_one_variant(tmp_path: Path) -> None:
    result = _run("export", tmp_path / "out", "--variant", "mse")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "mse.json",
        "mse.npz",
        "mse.safetensors",
        "mistakes.json",
        "vectors.schema.json",
        "results.schema.json",
        "SHA256SUMS",
    }


def test_the_command_is_light_to_import() -> None:
    code = (
        "import sys, amad_core.conformance.vectors.command as command\n"
        "heavy = {'jsonschema', 'rich.console', 'autograd', 'scipy.optimize', 'safetensors'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
