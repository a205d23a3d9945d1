"""The guard in ``conftest.py`` sees what a test leaves behind."""

import os
import sys
from pathlib import Path

import pytest

from tests.support.leftovers import left_behind, surroundings
from tests.support.processes import running

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for processes")
def test_a_process_that_runs_on_is_seen_and_one_that_was_ended_is_not() -> None:
    before = surroundings()
    with running(SLEEP) as process:
        (said,) = left_behind(before, surroundings())
        assert f"process {process.pid} still runs" in said
    assert process.returncode is not None
    assert left_behind(before, surroundings()) == []


def test_another_folder_and_another_environment_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = surroundings()
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("PATH", "")
        said = " ".join(left_behind(before, surroundings()))
    assert "the working folder is" in said
    assert "the variable PATH" in said
    assert left_behind(before, surroundings()) == []


def test_a_child_ends_however_the_test_ends() -> None:
    with pytest.raises(ZeroDivisionError), running(SLEEP) as process:
        raise ZeroDivisionError
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
