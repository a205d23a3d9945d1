"""The benchmark's peer, the KL of mean maps by kernels, against that of maps by autograd."""

import pytest
import torch

from amad_torch import QueriesKeys
from amad_torch.peers import mean_head_kl
from amad_torch.streaming.queries_keys import attention_maps
from benchmarks.gpu.mean_map_kl import mean_map_kl

WITHIN = {torch.float32: 1e-5, torch.float16: 2e-3}


@pytest.mark.parametrize("dtype", WITHIN)
def test_loss_and_gradients(dtype: torch.dtype) -> None:
    numbers = torch.Generator().manual_seed(2)
    # Two blocks of tokens, the last not full; heads, their sizes and groups are all different.
    teacher, student = (
        QueriesKeys(
            *(torch.randn(2, one, 19, size, generator=numbers).to(dtype) for one in (heads, keys))
        )
        for heads, keys, size in ((5, 5, 7), (6, 3, 18))
    )
    leaves = [one.double().requires_grad_() for one in (student.queries, student.keys)]
    with torch.no_grad():
        target = attention_maps(QueriesKeys(teacher.queries.double(), teacher.keys.double()))
    wanted = mean_head_kl(teacher=target, student=attention_maps(QueriesKeys(*leaves)))
    wanted.backward()
    found = mean_map_kl(teacher, student)
    assert float(found[0]) == pytest.approx(float(wanted.detach()), rel=WITHIN[dtype])
    for one, leaf in zip(found[1:], leaves, strict=True):
        assert leaf.grad is not None
        distance = (one.double() - leaf.grad).norm() / leaf.grad.norm()
        assert float(distance) < WITHIN[dtype]
