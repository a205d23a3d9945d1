"""What PyTorch does around a loss: autocast, half precision, checkpoints, compilation."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys

VARIANTS = ("mse", "kl", "token", "js")


def pair(dtype: torch.dtype = torch.float32) -> tuple[QueriesKeys, QueriesKeys]:
    torch.manual_seed(0)
    teacher = QueriesKeys(torch.randn(2, 4, 9, 6), torch.randn(2, 4, 9, 6), causal=True)
    student = QueriesKeys(torch.randn(2, 3, 9, 5), torch.randn(2, 3, 9, 5), causal=True)
    return tuple(
        replace(
            one,
            queries=one.queries.to(dtype).requires_grad_(),
            keys=one.keys.to(dtype).requires_grad_(),
        )
        for one in (teacher, student)
    )


def loss_of(teacher: QueriesKeys, student: QueriesKeys, **options: Any) -> Tensor:
    return amad_loss_from_queries_and_keys(
        teacher=teacher, student=student, queries_at_once=4, **options
    )


def gradients(loss: Tensor, student: QueriesKeys) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, (student.queries, student.keys))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_first(variant: str, dtype: torch.dtype) -> None:
    """The loss is that of the rounded numbers in float32; the gradient is rounded once."""
    teacher, student = pair(dtype)
    loss = loss_of(teacher, student, variant=variant)
    assert loss.dtype == torch.float32
    found = gradients(loss, student)
    wide = [
        replace(
            one,
            queries=one.queries.detach().float().requires_grad_(),
            keys=one.keys.detach().float().requires_grad_(),
        )
        for one in (teacher, student)
    ]
    wanted = loss_of(*wide, variant=variant)
    assert torch.equal(loss, wanted)
    for one, other in zip(found, gradients(wanted, wide[1]), strict=True):
        assert torch.equal(one, other.to(dtype))


@pytest.mark.parametrize("variant", VARIANTS)
def test_autocast_changes_nothing(variant: str) -> None:
    """To the last bit, also of a ``backward()`` inside."""
    teacher, student = pair()
    wanted = gradients(loss_of(teacher, student, variant=variant), student)
    for forward, backward in ((True, False), (True, True), (False, True)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=forward):
            loss = loss_of(teacher, student, variant=variant)
        assert loss.dtype == torch.float32
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=backward):
            found = gradients(loss, student)
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant: bool) -> None:
    teacher, student = pair()

    def block(queries: Tensor, keys: Tensor) -> Tensor:
        moved = replace(student, queries=queries.sin(), keys=keys.cos())
        return loss_of(teacher, moved, variant="kl")

    given = (student.queries, student.keys)
    wanted = gradients(block(*given), student)
    for one in given:
        one.grad = None
    loss = checkpoint(block, *given, use_reentrant=reentrant)
    loss.backward()
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one.grad, other, rtol=0, atol=0)


def test_compiled_code_breaks_its_graph_there() -> None:
    """The rest is compiled, the numbers are the same; a full graph is refused by PyTorch."""
    teacher, student = pair()

    def step(queries: Tensor) -> Tensor:
        return 2 * loss_of(teacher, replace(student, queries=queries.sin()), variant="kl")

    torch.compiler.reset()
    found, wanted = torch.compile(step, backend="eager")(student.queries), step(student.queries)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    torch.testing.assert_close(gradients(found, student), gradients(wanted, student))
    torch.compiler.reset()
    with pytest.raises(Exception, match="disable"):
        torch.compile(step, backend="eager", fullgraph=True)(student.queries)
    torch.compiler.reset()


def test_the_teacher_gets_no_gradient_and_inputs_stay() -> None:
    teacher, student = pair()
    before = [one.detach().clone() for one in (teacher.queries, student.queries, student.keys)]
    loss_of(teacher, student, variant="js").backward()
    assert teacher.queries.grad is None
    assert teacher.keys.grad is None
    after = (teacher.queries, student.queries, student.keys)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("wanted", ["queries", "keys"])
def test_a_gradient_of_one_of_them(wanted: str) -> None:
    teacher, student = pair()
    both = dict(
        zip(("queries", "keys"), gradients(loss_of(teacher, student), student), strict=True)
    )
    leaf = getattr(student, wanted)
    held = {name: getattr(student, name).detach() for name in both if name != wanted}
    (found,) = torch.autograd.grad(loss_of(teacher, replace(student, **held)), leaf)
    assert torch.equal(found, both[wanted])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_backward_pass_that_wants_only_some_of_what_could_have_a_gradient(variant: str) -> None:
    """And one that comes again."""
    teacher, student = pair()
    loss = loss_of(teacher, student, variant=variant)
    (alone,) = torch.autograd.grad(loss, student.keys, retain_graph=True)
    (queries,) = torch.autograd.grad(2 * loss, student.queries, retain_graph=True)
    both = gradients(loss, student)
    assert torch.equal(alone, both[1])
    assert torch.equal(queries, 2 * both[0])


def test_a_second_derivative_is_refused_in_words() -> None:
    """A graph of the first one is none yet: some loops always ask for it."""
    teacher, student = pair()
    (first,) = torch.autograd.grad(loss_of(teacher, student), student.keys, create_graph=True)
    (plain,) = torch.autograd.grad(loss_of(teacher, student), student.keys)
    assert torch.equal(first, plain)
    with pytest.raises(RuntimeError, match="no second derivative: take the amad_loss of maps"):
        first.square().sum().backward()


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.vmap])
def test_torch_func_is_refused_in_words(transform: Any) -> None:
    teacher, student = pair()

    def loss(queries: Tensor) -> Tensor:
        return loss_of(teacher, replace(student, queries=queries))

    given = student.queries.detach()
    with pytest.raises(RuntimeError, match=r"cannot be transformed by torch.func"):
        transform(loss)(given[None] if transform is torch.func.vmap else given)


def test_forward_mode_is_refused_in_words() -> None:
    teacher, student = pair()
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(student.queries, torch.ones_like(student.queries))
        student = replace(student, queries=dual)
        with pytest.raises(RuntimeError, match="differentiated in forward mode"):
            loss_of(teacher, student)
