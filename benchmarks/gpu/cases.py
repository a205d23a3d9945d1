"""What is measured on a GPU: the turns of every peer, by case.

From maps: ``ours``, the straightforward ``port`` and ``torch.compile`` of it, and ``floor``: each
input read twice and the gradient written once, at the bandwidth that a copy was measured to have.

From queries and keys: ``ours``; ``mean map kl``, what needs no alignment, written in the same way;
``equal weights``, a KL to the mean of the student's heads by our own kernels; ``flash``, flash
attention's forward and backward of both models; ``built maps, ours`` and ``built maps, port``, both
models' maps and the loss of them; ``floor``, likewise.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from amad_torch import QueriesKeys, amad_loss, amad_loss_from_queries_and_keys
from amad_torch.kernels import queries_keys as kernels
from amad_torch.streaming.queries_keys import attention_maps
from benchmarks.gpu.mean_map_kl import mean_map_kl
from benchmarks.gpu.timing import Turn, copy_bandwidth
from benchmarks.speed.torch_losses import port

MAPS = {"batch": 8, "teacher": 16, "student": 8, "tokens": 1024}
HEADS, SIZE = (12, 8), 64
TOKENS = (1024, 2048, 4096, 8192, 16384, 32768, 65536)
MATERIALISED = 8192
"""Beyond so many tokens, only what builds no map is measured."""

Turns = dict[str, Turn | float]


def cases(*, tiny: bool) -> Iterator[tuple[str, Callable[[], Turns]]]:
    """A name, and what makes the turns of its peers."""
    sizes = {"batch": 2, "teacher": 3, "student": 2, "tokens": 5} if tiny else MAPS
    for variant in ("mse", "kl", "js", "token"):
        yield f"maps, {variant}", partial(from_maps, variant, sizes, tiny=tiny)
    for tokens in (19,) if tiny else TOKENS:
        for variant in ("mse", "kl"):
            name = f"queries and keys, {variant}, {tokens} tokens"
            yield name, partial(from_queries_keys, variant, tokens, tiny=tiny)


def from_maps(variant: str, sizes: dict[str, int], *, tiny: bool) -> Turns:
    """At the one size that a target is about."""
    device, tokens = ("cpu", sizes["tokens"]) if tiny else ("cuda", sizes["tokens"])
    teacher, student = (
        torch.randn(sizes["batch"], sizes[side], tokens, tokens, device=device)
        .softmax(dim=-1)
        .to(torch.float16 if tiny else torch.bfloat16)
        for side in ("teacher", "student")
    )
    student.requires_grad_()
    losses: dict[str, Callable[..., Tensor]] = {
        "ours": partial(amad_loss, variant=variant),
        "port": lambda teacher, student: port(teacher.float(), student.float(), variant),
    }
    if not tiny:
        losses["compiled port"] = torch.compile(losses["port"])
    turns: Turns = {
        name: partial(_step, partial(loss, teacher=teacher, student=student), [student])
        for name, loss in losses.items()
    }
    if not tiny:
        turns["floor"] = 1000 * (2 * teacher.nbytes + 3 * student.nbytes) / copy_bandwidth()
    return turns


def from_queries_keys(variant: str, tokens: int, *, tiny: bool) -> Turns:
    """At some number of tokens."""
    device, dtype, size = ("cpu", torch.float16, 18) if tiny else ("cuda", torch.bfloat16, SIZE)
    teacher, student = (
        QueriesKeys(
            queries=torch.randn(1, heads, tokens, size, device=device).to(dtype),
            keys=torch.randn(1, heads, tokens, size, device=device).to(dtype),
        )
        for heads in HEADS
    )
    leaves = [student.queries.requires_grad_(), student.keys.requires_grad_()]
    ours = partial(
        amad_loss_from_queries_and_keys, teacher=teacher, student=student, variant=variant
    )
    turns: Turns = {"ours": partial(_step, ours, leaves)}
    if variant == "kl":
        turns["mean map kl"] = partial(mean_map_kl, teacher, student)
        turns["equal weights"] = partial(_equal_weights, teacher, student)
    # Copies, so that flash attention has both models' backward, and nobody else the teacher's.
    attended = [
        one.detach().clone().requires_grad_()
        for side in (teacher, student)
        for one in (side.queries, side.keys, side.keys)
    ]
    turns["flash"] = partial(_step, partial(_flash, attended), attended)
    if tokens <= MATERIALISED:
        for name, loss in (("ours", _public), ("port", port)):
            built = partial(_of_built_maps, loss, teacher, student, variant)
            turns[f"built maps, {name}"] = partial(_step, built, leaves)
    if not tiny:
        inputs = teacher.queries.nbytes + teacher.keys.nbytes
        own = student.queries.nbytes + student.keys.nbytes
        turns["floor"] = 1000 * (2 * inputs + 3 * own) / copy_bandwidth()
    return turns


def _public(teacher: Tensor, student: Tensor, variant: str) -> Tensor:
    return amad_loss(teacher=teacher, student=student, variant=variant)


def _of_built_maps(
    loss: Callable[..., Tensor], teacher: QueriesKeys, student: QueriesKeys, variant: str
) -> Tensor:
    with torch.no_grad():
        target = attention_maps(teacher)
    return loss(teacher=target.float(), student=attention_maps(student).float(), variant=variant)


def _flash(attended: list[Tensor]) -> Tensor:
    """Of queries, keys and values of both."""
    q, k, v, p, j, u = attended
    both = scaled_dot_product_attention(q, k, v), scaled_dot_product_attention(p, j, u)
    return both[0].float().sum() + both[1].float().sum()


def _equal_weights(teacher: QueriesKeys, student: QueriesKeys) -> None:
    """``Σ_i KL(t_i ‖ mean of all s_j)`` and its gradient, by the kernels of ``kl``."""
    tokens, heads = teacher.queries.shape[2], (teacher.queries.shape[1], student.queries.shape[1])
    sides = [
        kernels.side(
            one.queries.detach(), one.keys.detach(), factor=one.factor, mask=None, bias=None,
            reach=(tokens, tokens), row_sums=None,
        )
        for one in (teacher, student)
    ]  # fmt: skip
    both = kernels.pair(sides[0], sides[1], None)
    lengths = [teacher.queries.new_full((1, one), tokens, dtype=torch.float32) for one in heads]
    sizes = lengths[0], lengths[1]
    mixing = torch.full((1, *heads), 1 / heads[1], device=student.queries.device)
    zero = torch.zeros_like(mixing.mT)
    options: dict[str, Any] = {"kind": "kl", "eps": 1e-38}
    kernels.divergences(both, sizes, mixing, derivative=False, dtype=torch.float64, **options)
    kernels.gradients(
        both, sizes, from_teacher=zero, from_student=zero[..., 0], mixing=mixing, back=mixing.mT,
        shift=zero[..., 0], **options,
    )  # fmt: skip


def _step(loss: Turn, leaves: list[Tensor]) -> None:
    """One forward and one backward pass."""
    for leaf in leaves:
        leaf.grad = None
    loss().backward()
