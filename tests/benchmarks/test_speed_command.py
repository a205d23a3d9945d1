"""The command runs: every part at tiny sizes, whose times say nothing, and is asked wrongly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed.cases import PARTS
from benchmarks.speed.plans import TINY
from benchmarks.speed.results import finished, read

ROOT = Path(__file__).parents[2]


def speed(*arguments: str) -> "subprocess.CompletedProcess[str]":
    paths = [str(ROOT), str(ROOT / "adapters"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.speed", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.thin(len(PARTS))
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_measured_to_its_end(part: str, tmp_path: Path) -> None:
    done = speed("--tiny", "--only", part, "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    found = read(finished(tmp_path, part))
    wanted = TINY.cases(part)
    assert [one.case for one in found.cases.values()] == wanted
    for one in found.cases.values():
        values = one.peaks or one.medians
        assert set(values) == set(one.case.peers)
        assert all(value >= 0 for value in values.values())
        assert all(error < 1e-3 for error in one.found.get("errors", {}).values()), one
    assert wanted[0].peers[0] in done.stdout  # the table is shown


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    done = speed("--only", "maps", "--peer", "prot", "--output", str(tmp_path))
    assert done.returncode == 2
    assert "the part 'maps' has no peer 'prot'; it has ours" in done.stderr
    assert not list(tmp_path.iterdir())
