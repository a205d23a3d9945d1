"""Jobs over processes: what a death takes with it, and that nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from amad_study.runs.workers import Workers
from tests.support.processes import running

ROOT = Path(__file__).parents[2]

# Python starts it with the first worker, once and for all: it is nothing that a test leaves behind.
resource_tracker.ensure_running()


def job(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2:
        raise ValueError("two is not liked")
    if number == 3:
        sys.exit(5)
    return 10 * number


def touch_and_wait(path: Path) -> None:
    path.with_name(f"{path.name}-{os.getpid()}").touch()
    time.sleep(60)


def meet(place: Path) -> int:
    """Which process this is, once all that meet at the place have come."""
    place.mkdir(exist_ok=True)
    (place / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(place.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return os.getpid()


def met(job: tuple[str, int, Path]) -> int:
    return meet(job[2] / str(job[1]))


def in_order(job: tuple[str, int, Path]) -> int:
    return job[1]


def test_a_worker_keeps_to_jobs_of_its_kind(tmp_path: Path) -> None:
    jobs = [(name, number, tmp_path) for number in range(3) for name in "ab"]
    with Workers(met, 2, needs=lambda one: ("all", one[0])) as workers:
        found = {outcome.job[:2]: outcome.answer for outcome in workers.run(jobs)}
    assert len({found["a", number] for number in range(3)}) == 1
    assert len({found["b", number] for number in range(3)}) == 1
    assert found["a", 0] != found["b", 0]


def test_jobs_of_a_kind_follow_each_other(tmp_path: Path) -> None:
    kinds = ["a x", "b y", "a z", "b y", "a x", "c"]
    jobs = [(kind, number, tmp_path) for number, kind in enumerate(kinds)]
    with Workers(in_order, 1, needs=lambda one: one[0].split()) as workers:
        alike = [outcome.answer for outcome in workers.run(jobs)]
    with Workers(in_order, 1) as workers:
        as_given = [outcome.answer for outcome in workers.run(jobs)]
    assert alike == [0, 4, 2, 1, 3, 5]
    assert as_given == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_death_takes_one_job(processes: int) -> None:
    with Workers(job, processes) as workers:
        found = {outcome.job: outcome for outcome in workers.run(range(6))}
        again = [outcome.answer for outcome in workers.run([7, 8])]
    assert {number: one.answer for number, one in found.items() if not one.trouble} == {
        0: 0,
        4: 40,
        5: 50,
    }
    assert "SIGKILL" in found[1].trouble
    assert found[2].trouble.startswith("ValueError: two is not liked [test_workers.py:")
    assert "exit code 5" in found[3].trouble
    assert sorted(again) == [70, 80]
    assert all(one.seconds > 0 for one in found.values())


def test_a_worker_ends_with_the_block(tmp_path: Path) -> None:
    """The fixture around every test fails if a process is left."""
    with Workers(touch_and_wait, 1) as workers:
        workers._start(workers._new(), tmp_path / "started")
        while not list(tmp_path.iterdir()):
            time.sleep(0.02)


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from tests.study.test_workers import Workers, touch_and_wait\n"
        "if __name__ == '__main__':\n"
        "    with Workers(touch_and_wait, 2) as workers:\n"
        f"        list(workers.run([Path({str(tmp_path / 'a')!r})] * 2))\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with running([sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL) as main:
        while len(list(tmp_path.glob("a-*"))) < 2:
            assert main.poll() is None
            time.sleep(0.02)
        main.kill()
    workers = [int(path.name.partition("-")[2]) for path in tmp_path.glob("a-*")]
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker goes on without its parent"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_refusals() -> None:
    with pytest.raises(ValueError, match="processes is 0"):
        Workers(job, 0)
