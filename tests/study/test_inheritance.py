"""Students that begin as a part of their teacher."""

import pytest
import torch

from amad_study.models.batches import rows
from amad_study.models.inheritance import begin_as_part_of
from amad_study.models.size import size_of
from amad_study.runs.student import bench_of
from amad_torch import Distiller


def test_its_heads_are_the_teacher_s_first() -> None:
    bench = bench_of("digit-questions", "vl-t5", 64, 8)
    teacher = bench.new_model(size_of("vl-t5", "teacher"), 0)
    student = bench.new_model(size_of("vl-t5", "student-3-of-8-heads"), 1)
    begin_as_part_of(student, teacher, "first")
    batch = rows(bench.train, slice(0, 4))
    pairs = Distiller(teacher=teacher, student=student, layers="first").matched(batch)
    first = next(pair for pair in pairs if "encoder.block.0" in pair.name)
    # What the first layer is given is the same, so its heads attend alike.
    torch.testing.assert_close(first.student.maps, first.teacher[0].maps[:, :3])
    begin_as_part_of(student, teacher, "uniform")
    own, given = (
        model.t5.encoder.block[layer].layer[0].SelfAttention
        for model, layer in ((student, 0), (teacher, 1))
    )
    assert torch.equal(own.o.weight, given.o.weight[:, : 3 * 16])
    assert torch.equal(own.k.weight, given.k.weight[: 3 * 16])


def test_other_sizes_and_families_are_refused() -> None:
    bench = bench_of("digit-questions", "vl-t5", 64, 8)
    teacher = bench.new_model(size_of("vl-t5", "teacher"), 0)
    narrow = bench.new_model(size_of("vl-t5", "student-3-heads"), 1)
    with pytest.raises(ValueError, match="student has d_model 36, expected the teacher's 64"):
        begin_as_part_of(narrow, teacher, "first")
    with pytest.raises(ValueError, match="student is a Linear"):
        begin_as_part_of(torch.nn.Linear(2, 2), teacher, "first")
