"""The command from outside: files, resuming, Ctrl-C, damage, exit codes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from amad_demo import demonstration
from amad_demo.command import demo
from amad_demo.methods import SHIPPED, cell_of
from amad_demo.results import load_results
from amad_study.models.training import TrainingSettings
from amad_study.runs.cell import Cell
from tests.support.processes import running

pytestmark = pytest.mark.xdist_group("demo")

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(demo)
QUICK = ["--steps", "2", "--seed", "0"]


def run(output: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["--output", str(output), *options])


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("demo") / "results"
    return output, run(output, *QUICK, "--json")


@pytest.fixture
def finished(first_run: tuple[Path, Result], tmp_path: Path) -> Path:
    return Path(shutil.copytree(first_run[0], tmp_path / "results"))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("what is finished was trained or judged again")

    monkeypatch.setattr(demonstration, "run_task", refuse)
    monkeypatch.setattr(demonstration, "_judged", refuse)


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that drawing takes; the first run draws."""
    monkeypatch.setattr(demonstration, "_draw", lambda *_: None)


def test_a_run_leaves_results_and_pictures(first_run: tuple[Path, Result]) -> None:
    output, result = first_run
    assert result.exit_code == 0, result.output
    names = {path.name for path in output.iterdir()}
    assert names == {"results.json", "heads.png", "curves.png", "scenes.png"}
    for picture in output.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    saved = json.loads((output / "results.json").read_text())
    assert [student["method"] for student in saved["students"]] == ["answers", "one-to-one", "amad"]
    assert saved["config"]["cells"]["amad"]["steps"] == 2
    assert {"python", "torch", "transformers"} <= set(saved["versions"])


def test_json_is_all_there_is_on_stdout(first_run: tuple[Path, Result]) -> None:
    _, result = first_run
    printed = json.loads(result.stdout)
    assert len(printed["students"]) == 3
    assert printed["conclusion"][0].startswith("No verdict")
    assert "Right answers about unseen digits" in result.stderr


@pytest.mark.usefixtures("no_training", "no_pictures")
def test_a_second_run_trains_nothing(finished: Path) -> None:
    before = (finished / "results.json").read_bytes()
    result = run(finished, *QUICK)
    assert result.exit_code == 0, result.output
    assert "3 of 3 students were trained before" in result.stdout
    assert "No verdict" in result.stdout
    assert (finished / "results.json").read_bytes() == before


@pytest.mark.usefixtures("no_training", "no_pictures")
def test_quiet_prints_nothing(finished: Path) -> None:
    result = run(finished, *QUICK, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.usefixtures("no_pictures")
def test_other_settings_do_not_use_stale_results(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demonstration, "run_task", interrupt)
    result = run(finished, "--steps", "3", "--seed", "0")
    assert result.exit_code == 130
    assert "made with other settings or versions" in result.stdout
    assert (finished / "results-earlier-settings.json").exists()
    assert not (finished / "results.json").exists()


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_run_goes_on_where_it_stopped(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = load_results(finished / "results.json")
    assert earlier is not None
    trained: list[str] = []

    def train_or_stop(task: Any, **_: object) -> object:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(task.method)
        return earlier.find(task.method, task.seed)

    output = tmp_path / "interrupted"
    monkeypatch.setattr(demonstration, "run_task", train_or_stop)
    result = run(output, *QUICK)
    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("amad demo: Stopped.")
    assert [path.name for path in output.iterdir()] == ["results.json"]
    saved = load_results(output / "results.json")
    assert saved is not None
    assert [student.method for student in saved.students] == ["answers"]

    rest: list[str] = []

    def train(task: Any, **_: object) -> object:
        rest.append(task.method)
        return earlier.find(task.method, task.seed)

    monkeypatch.setattr(demonstration, "run_task", train)
    assert run(output, *QUICK).exit_code == 0
    assert rest == ["one-to-one", "amad"]
    assert load_results(output / "results.json") == earlier


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b'"seed": 0', b'"seed": 1', 1),
        lambda content: b"[]",
        lambda content: b"\xff\x00",
        lambda content: b"",
    ],
)
def test_damaged_results_are_told_and_not_used(finished: Path, damage: Any) -> None:
    path = finished / "results.json"
    path.write_bytes(damage(path.read_bytes()))
    result = run(finished, *QUICK)
    assert result.exit_code == 2
    assert "results.json cannot be used" in result.stderr
    assert "--fresh" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("safetensors", b"no weights", "does not match its checksum"),
        ("safetensors", None, "No such file"),
        ("json", b"{}", "is damaged"),
        ("json", b"{", "is damaged"),
    ],
)
def test_a_damaged_teacher_is_told(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    folder = Path(shutil.copytree(SHIPPED, tmp_path / "teachers"))
    (path,) = folder.glob(f"*.{name}")
    path.unlink() if content is None else path.write_bytes(content)
    result = run(tmp_path / "out", "--teachers", str(folder))
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_without_teacher_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two steps, which the gate refuses: nobody is taught, and the file says why."""
    recipe = replace(cell_of("amad", 0).teacher_recipe, training=TrainingSettings(steps=2))
    monkeypatch.setattr(Cell, "teacher_recipe", recipe)
    result = run(tmp_path / "out", "--teachers", str(tmp_path / "teachers"))
    assert result.exit_code == 1
    assert "Training a teacher for 2 steps" in result.stdout
    assert "NOT passed" in result.stderr
    (facts,) = (tmp_path / "teachers").glob("*.json")
    assert not json.loads(facts.read_text())["gate"]["passed"]


def test_an_output_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file", *QUICK)
    assert result.exit_code == 2
    assert "file" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("options", [["--steps", "0"], ["--seed", "-1"], ["--seed", "x"]])
def test_bad_options_are_refused(tmp_path: Path, options: list[str]) -> None:
    assert run(tmp_path, *options).exit_code == 2


def test_the_command_module_is_light() -> None:
    code = (
        "import sys, amad_demo.command; "
        "heavy = {'torch', 'transformers', 'matplotlib', 'sklearn', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_ctrl_c_while_training(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "amad_demo", "--steps", "100000"]
    command += ["--output", str(tmp_path / "out")]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("The teacher answers"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.startswith("amad demo: Stopped.")
