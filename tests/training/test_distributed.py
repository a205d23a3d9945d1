"""The attention loss alone under DistributedDataParallel: the recipes of the page on training."""

import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support.processes import running

pytest.importorskip("torch")
SCRIPT = Path(__file__).with_name("distributed_student.py")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def outputs(recipe: str, processes: int) -> list[tuple[int, str, str]]:
    """Exit status and what is said by each process, which meet at a port.

    Not at a file: the process that ends first deletes it, and the other may wait for it.
    """
    port = str(free_port())
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running(
                    [sys.executable, SCRIPT, recipe, str(rank), str(processes), port],
                    stdout=PIPE,
                    stderr=PIPE,
                )
            )
            for rank in range(processes)
        ]
        said = [process.communicate(timeout=200) for process in started]
        return [(process.returncode, *text) for process, text in zip(started, said, strict=True)]


def test_what_ddp_says_of_parameters_after_the_last_map() -> None:
    """The reason for the recipes."""
    ((status, _, errors),) = outputs("plain", 1)
    assert status != 0
    assert "Expected to have finished reduction in the prior iteration" in errors


def test_recipes_train_and_processes_share_their_gradients() -> None:
    """The same gradients by either recipe, and from one process as from two with half a batch."""
    found = []
    for recipe, processes in (("found", 1), ("frozen", 1), ("found", 2)):
        for status, gradients, errors in outputs(recipe, processes):
            assert status == 0, errors
            found.append(dict(line.split() for line in gradients.splitlines()))
    assert len(found) == 4
    for gradients in found:
        assert {name for name, size in gradients.items() if size == "None"} == {
            "layers.1.out_proj.weight",
            "layers.1.out_proj.bias",
        }
        for name, size in gradients.items():
            if size != "None":
                assert float(size) == pytest.approx(float(found[0][name]), rel=1e-4)
                assert float(size) > 0
