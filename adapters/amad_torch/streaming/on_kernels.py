"""The sweeps of ``whole_maps`` by kernels: on a GPU, of what those can take.

Guarded by tests/kernels/interpreted/test_from_queries_keys.py.
"""

from typing import Any

import torch
from torch import Tensor

from amad_torch.kernels.availability import DTYPES, serves
from amad_torch.streaming.queries_keys import QueriesKeys

Pair = tuple[QueriesKeys, QueriesKeys]


def taken(teacher: QueriesKeys, student: QueriesKeys, variant: str) -> bool:
    """Whether there are kernels for these, and they can run where the tensors are."""
    return (
        variant in ("mse", "kl", "js")
        and all(_plain(one) for one in (teacher, student))
        and not (student.bias is not None and student.bias.requires_grad)
        and serves(teacher.queries, student.queries)
    )


def _plain(attended: QueriesKeys) -> bool:
    """Without what the kernels have no words for."""
    blank = attended.even_in_empty_rows and (attended.mask is not None or attended.bias is not None)
    return (
        attended.keys.dtype in DTYPES
        and attended.softcap is None
        and attended.sinks is None
        and not blank
    )


def sums(given: Pair, counted: Tensor | None, *, gram: bool) -> list[Tensor]:
    """What ``Totals`` holds, in its order, and the log-sum-exp of both models' rows."""
    from amad_torch.kernels import queries_keys as kernels

    both = _pair(given, counted, (given[0].log_sum_exp, given[1].log_sum_exp))
    found = kernels.sums(both, gram=gram, dtype=torch.float64)
    ours, others = found.teacher_divisors.double(), found.student_divisors.double()
    if found.gram is None:
        among = found.student_squares * others.square()
    else:
        among = found.gram * others.unsqueeze(-1) * others.unsqueeze(-2)
    return [
        found.products * ours.unsqueeze(-1) * others.unsqueeze(-2),
        among,
        found.teacher_squares * ours.square(),
        found.teacher_totals * ours,
        found.student_totals * others,
        ours,
        others,
        both.teacher.row_sums,
        both.student.row_sums,
    ]


def divergences(
    given: Pair,
    counted: Tensor | None,
    rows: tuple[Tensor | None, Tensor | None],
    sizes: tuple[Tensor, Tensor],
    mixing: Tensor,
    *,
    variant: str,
    eps: float,
    derivative: bool,
) -> tuple[Tensor, Tensor | None]:
    """Losses ``[B]``, and ``slope Sᵀ`` ``[B, Ht, Hs]``."""
    from amad_torch.kernels import queries_keys as kernels

    both = _pair(given, counted, rows)
    return kernels.divergences(
        both, sizes, mixing, kind=variant, eps=eps, derivative=derivative, dtype=mixing.dtype
    )


def gradients(
    given: Pair,
    counted: Tensor | None,
    rows: tuple[Tensor | None, Tensor | None],
    sizes: tuple[Tensor, Tensor],
    *,
    variant: str,
    eps: float,
    **small: Tensor,
) -> dict[str, Tensor]:
    """Of the student's ``queries`` and ``keys``, from what is ``small``."""
    from amad_torch.kernels import queries_keys as kernels

    kind = "squares" if variant == "mse" else variant
    found = kernels.gradients(_pair(given, counted, rows), sizes, kind=kind, eps=eps, **small)
    return dict(zip(("queries", "keys"), found, strict=True))


def _pair(given: Pair, counted: Tensor | None, rows: tuple[Tensor | None, Tensor | None]) -> Any:
    from amad_torch.kernels import queries_keys as kernels

    sides = [
        kernels.side(
            one.queries.detach(),
            one.keys.detach(),
            factor=one.factor,
            mask=one.mask,
            bias=None if one.bias is None else one.bias.detach(),
            reach=_reach(one),
            row_sums=None if each is None else each.detach(),
        )
        for one, each in zip(given, rows, strict=True)
    ]
    return kernels.pair(sides[0], sides[1], counted)


def _reach(attended: QueriesKeys) -> tuple[int, int]:
    """How far before and after a query keys are seen."""
    queries, keys = attended.shape[2:]
    before, after = (queries, keys) if attended.window is None else attended.window
    return min(before, queries), 0 if attended.causal else min(after, keys)
