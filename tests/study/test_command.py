"""`amad study` from outside: the plan, kill -9, resuming, failures, merging, one cell again."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amad_core import command_line
from amad_study.analysis.numbers import about
from amad_study.command import study
from amad_study.protocol.stages import stages
from amad_study.runs import plan
from amad_study.runs.cell import Cell
from amad_study.runs.records import read_records, record_path
from tests.study.small_study import CHANGES, SEEDS
from tests.study.synthetic import record, write
from tests.study.workers_here import Here
from tests.support.processes import running

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_study(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for place, name, value in CHANGES:
        monkeypatch.setattr(place, name, value)
    student_benches()
    yield
    student_benches()


def student_benches() -> None:
    from amad_study.runs.student import bench_of

    bench_of.cache_clear()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "Workers", Here)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(study, [str(one) for one in arguments])


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What came out, without what differs between any two runs."""
    return {
        key: {name: value for name, value in one.items() if name not in ("run", "seconds")}
        for key, one in read_records(folder).items()
    }


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A study killed after its first record, while others are in progress."""
    folder = tmp_path_factory.mktemp("killed")
    program = [sys.executable, "-m", "tests.study.small_study", "--quick", "-p", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with running(
        [*program, "--folder", str(folder)],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    ) as process:
        while not list(folder.glob("cells/*.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
    time.sleep(0.3)  # its worker ends with it
    return folder, set(read_records(folder))


def test_a_killed_study_goes_on(
    killed: tuple[Path, set[str]], tmp_path: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = killed
    assert 1 <= len(kept) < 2 * len(SEEDS)
    before = {key: (folder / "cells" / f"{key}.json").read_bytes() for key in kept}
    ran: list[str] = []
    run_cell = plan.run_cell

    def watched(cell: Cell, teachers: Path) -> dict[str, Any]:
        ran.append(cell.key)
        return run_cell(cell, teachers)

    monkeypatch.setattr(plan, "run_cell", watched)
    done = run("--quick", "--folder", folder)
    assert done.exit_code == 0, done.output
    assert len(ran) == 2 * len(SEEDS) - len(kept)
    assert not set(ran) & kept
    assert {key: (folder / "cells" / f"{key}.json").read_bytes() for key in kept} == before
    unbroken = run("--quick", "--folder", tmp_path)
    assert unbroken.exit_code == 0
    assert results(folder) == results(tmp_path)
    assert (folder / "report.html").exists()
    *lines, last = [line for line in unbroken.output.splitlines() if " of 4  " in line]
    assert len(lines) >= 3
    assert all(re.search(r" s, (about \d+ min|less than a minute) left$", line) for line in lines)
    assert last.endswith(" s")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "no time"),
        (29.0, "less than a minute"),
        (31.0, "about 1 min"),
        (5_340.0, "about 89 min"),
        (5_400.0, "about 1.5 h"),
    ],
)
def test_a_time_is_told_as_an_estimate(seconds: float, told: str) -> None:
    assert about(seconds) == told


def test_fresh_seeds_are_trained_once(here: None, tmp_path: Path) -> None:
    asked = ("fresh", "H1", "--seeds", "1000,1003", "--folder", tmp_path)
    done = run(*asked)
    assert done.exit_code == 0, done.output
    assert "4 of 4 students to train" in done.output
    assert "by these seeds alone" in done.output
    again = run(*asked, "--json")
    assert again.exit_code == 0
    assert "to train" not in again.stderr
    told = json.loads(again.stdout)
    assert told["seeds"] == [1000, 1003]
    assert set(told["findings"][0]["differences"]) == {"1000", "1003"}


def test_one_cell_again(here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = quick_cells()[0]
    plan.run_plan([cell], tmp_path)
    path = record_path(tmp_path, cell)
    done = run("cell", path)
    assert done.exit_code == 0, done.output
    assert "Every number is the same" in done.output
    fresh = run("cell", path, "--fresh-teacher", "--json")
    assert fresh.exit_code == 0
    assert json.loads(fresh.output)["same teacher"] is True
    changed = json.loads(path.read_text())
    came_out = json.loads(path.read_text())
    monkeypatch.setattr(plan, "run_cell", lambda *_: came_out)  # it takes a second
    changed["scores"]["accuracy"] += 5
    changed["run"]["versions"]["torch"] = "0.4"
    path.write_text(json.dumps(changed))
    done = run("cell", path)
    assert done.exit_code == 1
    assert "Different: scores." in done.output
    assert "torch: 0.4 when it was recorded" in done.output
    assert run("cell", path, "--within", 5).exit_code == 0
    assert run("cell", path, "--within", 4).exit_code == 1
    path.write_text("{}")
    assert run("cell", path).exit_code == 2
    assert run("cell", tmp_path / "absent.json").exit_code == 2


def quick_cells() -> tuple[Cell, ...]:
    from amad_study.analysis.outlook import whole_plan

    return whole_plan({}, quick=True)[0].cells


def test_the_plan_runs_nothing(tmp_path: Path) -> None:
    asked = run("--plan", "--json", "--folder", tmp_path, "--processes", 2)
    told = json.loads(asked.output)
    tuning, first = told["stages"]
    assert (tuning["name"], tuning["done"], tuning["waits"]) == ("weights for H1", 0, False)
    assert tuning["cells"] == len(stages({})[0].cells)
    assert first["waits"] is True
    assert told["seconds left"] == pytest.approx(
        (told["teacher seconds"] + tuning["seconds"] + first["seconds"]) / 2
    )
    assert list(tmp_path.iterdir()) == []
    shown = run("--plan", "--folder", tmp_path)
    assert shown.exit_code == 0
    assert "its students are known once the tuning is done" in shown.output


def test_the_time_left_is_measured(tmp_path: Path) -> None:
    cells = stages({})[0].cells
    write(tmp_path, cells[:-3], lambda _: 50.0)
    told = json.loads(run("--plan", "--json", "--folder", tmp_path).output)
    assert told["measured"] is True
    assert told["stages"][0]["done"] == len(cells) - 3
    assert told["stages"][0]["seconds"] == pytest.approx(3 * 60)


def test_shares_part_the_plan_by_seed(tmp_path: Path) -> None:
    told = [
        json.loads(run("--quick", "--plan", "--json", "--folder", tmp_path, "--share", one).output)
        for one in ("1/2", "2/2")
    ]
    assert [one["stages"][0]["cells"] for one in told] == [2, 2]
    for wrong in ("0/2", "3/2", "2", "a/b"):
        refused = run("--plan", "--share", wrong)
        assert refused.exit_code == 2
        assert "expected K/N" in refused.output


def test_a_stage_alone(tmp_path: Path) -> None:
    asked = ("--quick", "--plan", "--json", "--folder", tmp_path, "--stage")
    [told] = json.loads(run(*asked, "H1").output)["stages"]
    assert (told["name"], told["cells"]) == ("H1", 4)
    refused = run(*asked, "H0")
    assert refused.exit_code == 2
    assert "--stage is 'H0', expected one of: H1" in refused.output


def test_a_failure_is_told_and_stops_no_other(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_once(cell: Cell, _: Path) -> dict[str, Any]:
        if cell.method == "logits" and cell.seed == SEEDS[0]:
            raise RuntimeError("out of luck")
        return record(cell, 50.0)

    monkeypatch.setattr(plan, "run_cell", fail_once)
    monkeypatch.setattr(plan, "teacher_of", lambda *_: None)
    done = run("--quick", "--folder", tmp_path)
    assert done.exit_code == 1
    assert "NOT finished: out of luck" in done.output
    assert len(read_records(tmp_path)) == 3
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["hypotheses"][0]["word"] == "not complete"
    assert [one["seeds"] for one in told["missing"]] == [[SEEDS[0]]]


def test_stages_come_in_order(here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tuning first; the others with the weight that it chose."""
    ran: list[Cell] = []

    def noted(cell: Cell, _: Path) -> dict[str, Any]:
        ran.append(cell)
        return record(cell, 60.0 if 0.1 in (cell.weight, cell.output_weight) else 50.0, noise=0)

    monkeypatch.setattr(plan, "run_cell", noted)
    monkeypatch.setattr(plan, "teacher_of", lambda *_: None)
    assert run("--folder", tmp_path, "--quiet").exit_code == 0
    tuning = len(stages({})[0].cells)
    assert {cell.seed for cell in ran[:tuning]} == {0, 1, 2}
    later = ran[tuning:]
    assert len(later) == 24
    assert {cell.weight for cell in later if cell.method == "amad-kl"} == {0.1}


def test_merging_machines(tmp_path: Path) -> None:
    one, other, into = (tmp_path / name for name in "abc")
    cells = quick_cells()
    write(one, cells[:2], lambda _: 50.0)
    write(other, cells[1:], lambda _: 50.0)
    done = run("merge", one, other, "--into", into)
    assert done.exit_code == 0, done.output
    assert "4 records copied" in done.output
    assert set(read_records(into)) == {cell.key for cell in cells}
    assert run("merge", tmp_path / "absent", "--into", into).exit_code == 2
    (one / "cells" / f"{cells[0].key}.json").write_text("{")
    refused = run("merge", one, "--into", into)
    assert refused.exit_code == 2
    assert "is no record of a cell" in refused.output


def test_reports_and_pages(tmp_path: Path) -> None:
    write(tmp_path, quick_cells(), lambda _: 50.0)
    assert run("report", tmp_path, "--quick").exit_code == 0
    told = json.loads(run("report", tmp_path, "--quick", "--json").output)
    assert told == json.loads((tmp_path / "results.json").read_text())
    assert told["quick"] is True
    assert run("report", tmp_path / "absent").exit_code == 2
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: answer -->\n<!-- end of figures -->\n")
    refused = run("page", page, "--results", tmp_path / "results.json")
    assert refused.exit_code == 2
    assert "of the quick study" in refused.output
    assert run("page", page).exit_code == 0
    assert "No result is shown yet" in page.read_text()


def test_a_look_is_kept_and_shown(here: None, tmp_path: Path) -> None:
    from amad_study.runs.looking import look_at

    (cell, *_) = [one for one in quick_cells() if one.method == "amad-kl"]
    plan.run_plan([cell], tmp_path)
    look = json.loads(json.dumps(look_at(cell, tmp_path / "teachers")))
    (tmp_path / "looks").mkdir()
    (tmp_path / "looks" / "one.json").write_text(json.dumps(look))
    assert look["alignment"]["before"] != look["alignment"]["after"]
    assert look["score"] == read_records(tmp_path)[cell.key]["scores"]["accuracy"]
    for example in look["examples"]:
        for who in ("teacher", "student"):
            assert len(example[f"{who} attention"]) == len(example["boxes"])
            assert 0 < sum(example[f"{who} attention"]) <= 1 + 1e-5
    assert run("report", tmp_path, "--quick").exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="frame"') == 2 * sum(len(one["boxes"]) for one in look["examples"])
    assert "data:image/png" in page


def test_amad_takes_it_as_a_command_with_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Entry:
        name = "study"

        def load(self) -> Any:
            return study

    def amad(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["amad", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            command_line.main()
        return int(end.value.code or 0)

    monkeypatch.setattr(command_line, "entry_points", lambda group: [Entry()])
    assert amad("study", "--plan", "--json", "--folder", tmp_path) == 0
    assert json.loads(capsys.readouterr().out)["processes"] >= 1
    assert amad("study", "merge", tmp_path / "absent", "--into", tmp_path) == 2
    assert "has no records, expected the folder of a study" in capsys.readouterr().err


def test_the_command_is_light_until_it_runs() -> None:
    program = "import sys, amad_study.command; print('torch' in sys.modules, 'rich' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.split()[0] == "False"
