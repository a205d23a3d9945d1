"""One of several processes that distil together, each with its shard of a batch.

``python distributed_distiller.py RANK PROCESSES FOLDER``: writes, for every way to wrap a distiller
and every batch, ``FOLDER/WAY-BATCH.safetensors`` with the loss, averaged over the processes, and
the gradients of the student's parameters, and those that a loss learns.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from amad_torch import Distiller, capture_attention
from tests.distillation.test_accumulation import batch, distiller

BATCHES = ("unequal", "empty")
EMPTY = slice(4, 8)
"""The samples of the second process."""


def whole_batch(name: str) -> dict[str, Tensor]:
    found = batch("gpt2")
    if name == "empty":
        found["labels"][EMPTY] = -100
        found["attention_mask"][EMPTY] = 0
    return found


def ddp(found: Distiller) -> nn.Module:
    return DistributedDataParallel(found)


def ddp_student(found: Distiller) -> nn.Module:
    found.student = DistributedDataParallel(found.student)
    return found


def ddp_attention(found: Distiller) -> nn.Module:
    found.output_weight = found.task_weight = 0.0
    return DistributedDataParallel(found)


def fsdp2(found: Distiller) -> nn.Module:
    for block in found.student.transformer.h:
        fully_shard(block)
    fully_shard(found.teacher)
    return fully_shard(found)


def ddp_learned(found: Distiller) -> nn.Module:
    return DistributedDataParallel(found)


def fsdp2_learned(found: Distiller) -> nn.Module:
    return fsdp2(found)


WAYS: dict[str, Callable[[Distiller], nn.Module]] = {
    one.__name__: one
    for one in (ddp, ddp_student, ddp_attention, fsdp2, ddp_learned, fsdp2_learned)
}


def made(way: str) -> Distiller:
    """The distiller of a way, before it is wrapped."""
    if not way.endswith("learned"):
        return distiller("gpt2")
    return distiller("gpt2", method="align_to_distill", example=batch("gpt2"))


def full(tensor: Any) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def main(rank: int, processes: int, folder: Path) -> None:
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    try:
        for way, wrapped in WAYS.items():
            for name in BATCHES:
                found = made(way)
                model = wrapped(found)
                shard = {key: one.chunk(processes)[rank] for key, one in whole_batch(name).items()}
                loss = model(**shard).loss
                loss.backward()
                loss = loss.detach() / processes
                dist.all_reduce(loss)
                tensors = {
                    key.removeprefix("module."): full(one.grad).contiguous()
                    for key, one in (
                        *found.student.named_parameters(),
                        *found.learned.named_parameters(prefix="learned"),
                    )
                    if one.grad is not None
                }
                if rank == 0:
                    save_file({**tensors, "loss": loss}, folder / f"{way}-{name}.safetensors")
                with capture_attention(model) as attention:
                    model(**shard)
                assert "student.transformer.h.0.attn" in attention, list(attention)
        found = made("ddp_learned")
        with pytest.raises(ValueError, match="wrap the distiller, not the student"):
            ddp_student(found)(**shard)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
