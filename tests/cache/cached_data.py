"""Teachers, students and data of several lengths, for the tests of the cache."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from amad_torch import Distiller, TeacherCache, cache_teacher
from tests.distillation.test_distiller import bert, gpt2, t5

LENGTHS = (7, 4, 5, 7, 2, 6)


def samples(kind: str) -> list[dict[str, Any]]:
    """Token ids and labels of six samples, no two of them alike."""
    torch.manual_seed(7)
    found = []
    for length in LENGTHS:
        ids = torch.randint(2, 50, (length,))
        labels = {
            "bert": torch.tensor(length % 2),
            "gpt2": ids,
            "t5": torch.randint(2, 50, (length // 2 + 2,)),
        }[kind]
        found.append({"input_ids": ids, "labels": labels})
    return found


def collated(chosen: Sequence[dict[str, Any]], side: str = "right") -> dict[str, Any]:
    """One batch, padded to its longest sample."""

    def padded(rows: list[Any], fill: int) -> Any:
        if not rows[0].dim():
            return torch.stack(rows)
        width = max(map(len, rows))
        found = torch.full((len(rows), width), fill)
        for number, row in enumerate(rows):
            found[number, slice(len(row)) if side == "right" else slice(width - len(row), None)] = (
                row
            )
        return found

    ids = [one["input_ids"] for one in chosen]
    return {
        "input_ids": padded(ids, 1),
        "attention_mask": padded([torch.ones_like(one) for one in ids], 0),
        "labels": padded([one["labels"] for one in chosen], -100),
    }


def batched(kind: str, order: Iterable[int], size: int, side: str = "right") -> list[Any]:
    """Batches of the samples, in an order."""
    rows = [samples(kind)[number] for number in order]
    return [collated(rows[start : start + size], side) for start in range(0, len(rows), size)]


def models(kind: str) -> tuple[Any, Any]:
    """Teacher and student, of other depths and heads."""
    return {
        "bert": lambda: (bert(6, 4, 48), bert(4)),
        "gpt2": lambda: (gpt2(4, 2), gpt2(3)),
        "t5": lambda: (t5(6, 4), t5(4, 2)),
    }[kind]()  # type: ignore[no-any-return, no-untyped-call]


def cached(folder: Path, kind: str, **settings: Any) -> TeacherCache:
    """A cache of the samples in their order, two in a batch, one batch in a shard."""
    given = {"teacher": models(kind)[0], "batches": batched(kind, range(6), 2)} | settings
    return cache_teacher(folder=folder, **{"shard_megabytes": 1e-6, **given})


def step(distiller: Distiller, batch: Any) -> tuple[Any, dict[str, Any]]:
    """Output and gradients of one batch."""
    distiller.zero_grad()
    out = distiller(**batch)
    out.loss.backward()
    gradients = {
        name: one.grad.clone() for name, one in distiller.named_parameters() if one.grad is not None
    }
    return out, gradients
