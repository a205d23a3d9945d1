"""Two processes with a shard each: loss and gradient are those of one process with all of it."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from tests.distillation.distributed_distiller import BATCHES, WAYS, made, whole_batch  # noqa: E402
from tests.distillation.test_accumulation import (  # noqa: E402
    close,
    gradients,
    joined,
)
from tests.support.processes import running  # noqa: E402

SCRIPT = Path(__file__).with_name("distributed_distiller.py")


@pytest.fixture(scope="module")
def written(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                running([sys.executable, SCRIPT, str(rank), "2", folder], stderr=PIPE)
            )
            for rank in range(2)
        ]
        for process in started:
            errors = process.communicate(timeout=200)[1]
            assert process.returncode == 0, errors
    return folder


@pytest.mark.xdist_group("shards")  # both processes are started once
@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("way", WAYS)
def test_shards_give_what_the_joined_batch_gives(way: str, name: str, written: Path) -> None:
    found = load_file(written / f"{way}-{name}.safetensors")
    loss = found.pop("loss")
    alone = made(way)
    if way == "ddp_attention":
        alone.output_weight = alone.task_weight = 0.0
    expected = alone(**whole_batch(name)).loss
    expected.backward()
    assert torch.allclose(loss, expected.detach(), rtol=1e-5)
    learned = {
        key: one.grad for key, one in alone.learned.named_parameters(prefix="learned")
    }  # fmt: skip
    assert bool(learned) == way.endswith("learned")
    wanted = gradients(alone) | learned
    behind = found.keys() - wanted.keys()  # the last map, where attention is all
    assert bool(behind) == (way == "ddp_attention")
    assert not any(bool(found.pop(name).any()) for name in behind)
    assert close(found, wanted)


@contextmanager
def launched(*command: Any) -> Iterator[Any]:
    """A launcher, which ends the processes that it starts when it is told to end."""
    with running((sys.executable, "-m", *command), stderr=PIPE, stdout=PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"],
    "accelerate": [
        "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
    ],
}  # fmt: skip


@pytest.mark.thin(len(LAUNCHERS))
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_script_under_launchers(launcher: str, tmp_path: Path) -> None:
    """Two processes accumulate two batches each; the step is that of the joined batch."""
    pytest.importorskip("accelerate")
    file = tmp_path / "moved"
    script = SCRIPT.with_name("launched_trainer.py")
    with launched(*LAUNCHERS[launcher], script, file) as process:
        errors = process.communicate(timeout=200)[1]
        assert process.returncode == 0, errors
    expected = joined("gpt2")
    moved = {name: one for name, one in load_file(file).items() if name in expected}
    assert close(moved, expected, within=1e-5)  # as differences of weights
