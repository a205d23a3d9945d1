"""Queries and keys of two models, of shapes that are all different, and what is asked of them."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

import amad_core
from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys
from amad_torch.streaming.queries_keys import attention_maps

KINDS = (
    "nothing", "mask", "padding", "causal", "window", "bias", "additive", "softcap", "sinks",
    "even", "lowest", "everything",
)  # fmt: skip
"""What a model's attention may have besides queries and keys."""


class Case(NamedTuple):
    """One call, and what it differentiates by."""

    teacher: QueriesKeys
    student: QueriesKeys
    options: dict[str, Any]
    queries_at_once: int | None

    @property
    def leaves(self) -> list[Tensor]:
        given = (self.student.queries, self.student.keys, self.student.bias, self.student.sinks)
        return [one for one in given if one is not None and one.requires_grad]

    def streamed(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Losses, and the gradient of the sum of their squares: samples weigh differently."""
        losses = amad_loss_from_queries_and_keys(
            teacher=self.teacher,
            student=self.student,
            queries_at_once=self.queries_at_once,
            reduction="none",
            **self.options,
        )
        return losses, torch.autograd.grad(losses.square().sum(), self.leaves)

    def specified(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same by the specification, of the maps in float64."""
        teacher, student = (wide(side) for side in (self.teacher, self.student))
        maps = attention_maps(student)
        losses, of_maps = amad_core.amad_loss_and_grad(
            teacher=attention_maps(teacher).detach().numpy(),
            student=maps.detach().numpy(),
            reduction="none",
            **{name: _as_array(value) for name, value in self.options.items()},
        )
        upstream = 2 * losses[:, np.newaxis, np.newaxis, np.newaxis] * of_maps
        found = torch.autograd.grad(
            maps, self.leaves, torch.from_numpy(upstream), materialize_grads=True, allow_unused=True
        )
        return torch.from_numpy(losses), found


def wide(side: QueriesKeys) -> QueriesKeys:
    """In float64, in the same graph."""
    given = {name: getattr(side, name) for name in ("queries", "keys", "bias", "sinks")}
    return replace(
        side, **{name: None if one is None else one.double() for name, one in given.items()}
    )


def _as_array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def side(
    shape: tuple[int, int, int, int, int, int],
    kind: str,
    numbers: torch.Generator,
    dtype: torch.dtype,
    *,
    leaves: bool,
) -> QueriesKeys:
    """``shape`` is ``(B, H, Hk, d, Q, K)``."""
    batch, heads, key_heads, size, queries, keys = shape

    def drawn(*shape: int, factor: float = 1.0) -> Tensor:
        values = factor * torch.randn(shape, generator=numbers, dtype=torch.float64)
        return values.to(dtype).requires_grad_(leaves)

    def some(*shape: int, share: float = 0.7) -> Tensor:
        return torch.rand(shape, generator=numbers) < share

    given: dict[str, Any] = {}
    everything = kind == "everything"
    if kind in ("mask", "even") or everything:
        mask = some(batch, heads if everything else 1, queries, keys)
        mask[0, :, 0] = False  # a row that sees nothing
        given["mask"] = mask
    if kind == "padding":
        given["mask"] = some(batch, 1, 1, keys)
    if kind == "even":
        given["in_empty_rows"] = -1e4
    if kind == "causal" or everything:
        given["causal"] = queries == keys
    if (kind == "window" or everything) and queries == keys:
        given["window"] = (2, 1)
    if kind == "bias" or everything:
        given["bias"] = drawn(1, heads, queries, keys)
    if kind == "additive":
        additive = torch.zeros(batch, 1, queries, keys, dtype=dtype)
        additive = additive.masked_fill(~some(batch, 1, queries, keys), -torch.inf)
        given["bias"] = additive.requires_grad_(leaves)
    if kind == "lowest":
        hidden = ~some(batch, 1, queries, keys, share=0.5)
        lowest = torch.zeros(hidden.shape, dtype=dtype)
        lowest = lowest.masked_fill(hidden, torch.finfo(dtype).min)
        given["bias"] = lowest.requires_grad_(leaves)
        given["causal"] = queries == keys
    if kind == "softcap" or everything:
        given["softcap"] = 1.5
    if kind == "sinks" or everything:
        given["sinks"] = drawn(heads)
    return QueriesKeys(
        drawn(batch, heads, queries, size, factor=2.0),
        drawn(batch, key_heads, keys, size),
        **given,
    )


def with_log_sum_exp(attended: QueriesKeys) -> QueriesKeys:
    """As a caller has it who ran the attention; of those with a mask or sinks at most."""
    keys = attended.keys.repeat_interleave(
        attended.queries.shape[1] // attended.keys.shape[1], dim=1
    )
    scores = (attended.queries @ keys.mT) * attended.factor
    if attended.mask is not None:
        scores = scores.masked_fill(~attended.mask, -torch.inf)
    if attended.sinks is not None:
        column = attended.sinks.view(-1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, column], dim=-1)
    return QueriesKeys(
        attended.queries,
        attended.keys,
        mask=attended.mask,
        sinks=attended.sinks,
        log_sum_exp=scores.logsumexp(dim=-1).detach(),
    )


@st.composite
def cases(draw: st.DrawFn, variant: str, dtype: torch.dtype) -> Case:
    """At least two blocks wherever there are two queries."""
    numbers = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, size, groups = (draw(st.integers(1, 3)) for _ in range(3))
    queries = draw(st.integers(1, 11))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(2)]
    square = any(kind in ("causal", "window", "lowest", "everything") for kind in kinds)
    keys = queries if square else draw(st.integers(1, 9))
    teachers, key_heads = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    lengths = (queries, keys)
    teacher = side((batch, teachers, 1, 5, *lengths), kinds[0], numbers, dtype, leaves=False)
    heads = key_heads * groups
    student = side((batch, heads, key_heads, size, *lengths), kinds[1], numbers, dtype, leaves=True)
    options: dict[str, Any] = {
        "variant": variant,
        "temperature": draw(st.sampled_from((1.0, 0.25))),
        "eps": draw(st.sampled_from((torch.finfo(dtype).tiny, 1e-3))),
    }
    if draw(st.booleans()):
        mask = torch.rand(batch, queries, keys, generator=numbers) < 0.7
        mask[0, -1] = False  # a row of which nothing counts
        options["mask"] = mask[:, :1] if draw(st.booleans()) else mask
    return Case(teacher, student, options, draw(st.integers(1, max(1, queries // 2))))
