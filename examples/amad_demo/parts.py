"""The demo's models and questions as functions that a file of `amad distill` can name."""

from typing import Any

from torch import nn

from amad_demo.methods import SHIPPED, cell_of
from amad_study.models.size import size_of
from amad_study.runs.student import bench_for, bench_of, teacher_of


def teacher() -> nn.Module:
    """The teacher that is shipped: 8 heads."""
    return teacher_of(cell_of("amad", 0), SHIPPED)


def student(seed: int = 0) -> nn.Module:
    """An untrained student: 3 heads."""
    cell = cell_of("amad", seed)
    return bench_for(cell).new_model(size_of(cell.family, cell.student), seed)


def questions(train: int, validation: int) -> dict[str, list[dict[str, Any]]]:
    """Rows by split, of digits that no other split has."""
    cell = cell_of("amad", 0)
    bench = bench_of(cell.task, cell.family, train, cell.test_examples)
    held_out = bench.task.validation
    encoded = {
        "train": bench.train,
        "validation": bench.encode(held_out, held_out.examples[:validation]),
    }
    return {
        split: [
            dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)
        ]
        for split, inputs in encoded.items()
    }
