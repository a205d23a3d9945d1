"""Distillation in Keras on two devices, by two workers, and after a kill, is that of one run."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).parents[2]


def started(way: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.distillation.keras_long_runs", way, str(folder)]
    environment = os.environ | variables
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate()
    assert process.returncode == 0, said[-3000:]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize("way", ["mirrored", "workers", "killed"])
@pytest.mark.thin(3)
def test_the_student_is_that_of_one_plain_run(way: str, tmp_path: Path) -> None:
    if way == "workers":
        cluster = {"worker": [f"localhost:{free_port()}" for _ in range(2)]}
        tasks = [{"type": "worker", "index": index} for index in range(2)]
        configs = [json.dumps({"cluster": cluster, "task": task}) for task in tasks]
        for process in [started(way, tmp_path, TF_CONFIG=config) for config in configs]:
            ended(process)
        return
    if way == "killed":
        process = started(way, tmp_path)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert (tmp_path / "backup").exists()
    ended(started(way, tmp_path))
