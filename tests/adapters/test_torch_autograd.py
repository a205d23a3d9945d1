"""The PyTorch adapter in training: autograd of every kind, autocast, loss scaling."""

import copy
from collections.abc import Callable

import pytest
import torch

from amad_torch import AMADLoss, alignment_weights, amad_loss
from tests.support.variants import ALL, UNPROJECTED


def maps(
    heads: int, dtype: torch.dtype = torch.float64, shape: tuple[int, int, int] = (2, 3, 4)
) -> torch.Tensor:
    """Attention maps of a batch, queries and keys, the same for the same number of heads."""
    batch, queries, keys = shape
    generator = torch.Generator().manual_seed(heads)
    logits = torch.randn((batch, heads, queries, keys), generator=generator, dtype=torch.float64)
    return logits.softmax(dim=-1).to(dtype)


def projection(
    variant: str, dtype: torch.dtype = torch.float64, cells: int = 12
) -> dict[str, torch.Tensor]:
    if variant != "projected":
        return {}
    generator = torch.Generator().manual_seed(7)
    weight = torch.rand((cells, cells), generator=generator, dtype=dtype)
    return {"weight": weight, "bias": torch.full((cells,), 0.1, dtype=dtype)}


@pytest.mark.parametrize("variant", ALL)
def test_first_and_second_derivatives(variant: str) -> None:
    """Against finite differences of the loss, and of its gradient."""
    learned = projection(variant, cells=4)
    student, teacher = (maps(heads, shape=(1, 2, 2)) for heads in (2, 3))
    inputs = [tensor.requires_grad_() for tensor in (student, *learned.values())]

    def loss(student: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        options = dict(zip(learned, parameters, strict=True))
        return amad_loss(teacher=teacher, student=student, variant=variant, **options)

    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


@pytest.mark.parametrize("variant", ALL)
def test_functional_gradients(variant: str) -> None:
    student, teacher = maps(2), maps(3)

    def loss(student: torch.Tensor) -> torch.Tensor:
        return amad_loss(teacher=teacher, student=student, variant=variant, **projection(variant))

    leaf = student.clone().requires_grad_()
    loss(leaf).backward()
    torch.testing.assert_close(torch.func.grad(loss)(student), leaf.grad)
    for enabled in (True, False):  # of which a forward mode knows nothing
        with torch.set_grad_enabled(enabled):
            _, tangent = torch.func.jvp(loss, (student,), (torch.ones_like(student),))
        torch.testing.assert_close(tangent, leaf.grad.sum())
    direction = (torch.linspace(-1, 1, student.numel()).view(student.shape).to(student.dtype),)
    _, forward = torch.func.jvp(torch.func.grad(loss), (student,), direction)
    _, pull = torch.func.vjp(torch.func.grad(loss), student)
    torch.testing.assert_close(forward, pull(*direction)[0])
    with pytest.raises(RuntimeError, match="twice in forward mode"):
        torch.func.jvp(
            lambda one: torch.func.jvp(loss, (one,), direction)[1], (student,), direction
        )


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_gradients_of_many_at_once(variant: str) -> None:
    """``vmap`` of ``grad``, without the look at values that it forbids: one call each, stacked."""
    students, teachers = (maps(heads, shape=(3, 2, 4)).unsqueeze(1) for heads in (2, 3))

    def loss(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return amad_loss(teacher=teacher, student=student, variant=variant, check_values=False)

    gradient = torch.func.grad(loss, argnums=1)
    each = [gradient(*pair) for pair in zip(teachers, students, strict=True)]
    torch.testing.assert_close(torch.func.vmap(gradient)(teachers, students), torch.stack(each))


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("variant", UNPROJECTED)
def test_batched_grads(variant: str, create_graph: bool) -> None:
    """``is_grads_batched``, whose tensors know few operations: one call each, stacked."""
    student, upstream = maps(2).requires_grad_(), torch.tensor([[1.0, 2.0], [-3.0, 0.5]]).double()
    losses = amad_loss(teacher=maps(3), student=student, variant=variant, reduction="none")
    given = {"retain_graph": True, "create_graph": create_graph}
    each = [torch.autograd.grad(losses, student, one, **given)[0] for one in upstream]
    (found,) = torch.autograd.grad(losses, student, upstream, is_grads_batched=True, **given)
    torch.testing.assert_close(found, torch.stack(each))


@pytest.mark.parametrize("variant", ALL)
def test_teacher_gets_no_gradient_and_inputs_stay(variant: str) -> None:
    teacher, student = maps(3).requires_grad_(), maps(2).requires_grad_()
    mask = torch.tensor([True, True, False, True])
    inputs = {"teacher": teacher, "student": student, "mask": mask, **projection(variant)}
    before = copy.deepcopy(inputs)
    amad_loss(variant=variant, **inputs).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad[..., 2] == 0).all()
    for name, value in inputs.items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    weights = alignment_weights(teacher=teacher, student=maps(2))
    assert not weights.requires_grad


@pytest.mark.parametrize("variant", ALL)
def test_teacher_and_mask_may_come_from_inference_mode(variant: str) -> None:
    """Autograd saves neither; a teacher is often run so."""
    gradients = []
    for inference in (False, True):
        with torch.inference_mode(inference):
            teacher, mask = maps(3), torch.tensor([True, True, False, True])
        student = maps(2).requires_grad_()
        options = {"variant": variant, "mask": mask, **projection(variant)}
        amad_loss(teacher=teacher, student=student, **options).backward()
        gradients.append(student.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("variant", ALL)
def test_autocast_leaves_the_loss_in_float32(variant: str, dtype: torch.dtype) -> None:
    """To the last bit: no product is taken in half precision, also of a ``backward()`` inside."""
    learned = projection(variant, torch.float32)
    teacher, inputs = maps(3, torch.float32), [maps(2, torch.float32), *learned.values()]

    def derivatives(*, forward: bool, backward: bool) -> list[torch.Tensor]:
        """The loss, its gradients, and the gradients of their sum of squares."""
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        options = dict(zip(learned, leaves[1:], strict=True))
        with torch.autocast("cpu", dtype=dtype, enabled=forward):
            loss = amad_loss(teacher=teacher, student=leaves[0], variant=variant, **options)
            weights = alignment_weights(teacher=teacher, student=leaves[0])
            assert (loss.dtype, weights.dtype) == (torch.float32, torch.float32)
        with torch.autocast("cpu", dtype=dtype, enabled=backward):
            first = torch.autograd.grad(loss, leaves, create_graph=True)
            squares = sum(gradient.square().sum() for gradient in first)
            return [loss, *first, *torch.autograd.grad(squares, leaves)]

    wanted = derivatives(forward=False, backward=False)
    for forward, backward in ((True, False), (True, True), (False, True)):
        found = derivatives(forward=forward, backward=backward)
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_autocast_leaves_the_compiled_gradient_in_float32(backend: str) -> None:
    torch.compiler.reset()
    compiled = torch.compile(amad_loss, backend=backend, fullgraph=True)
    inputs = {"teacher": maps(3, torch.float32), "variant": "projected"}
    inputs |= projection("projected", torch.float32)
    gradients = []
    for loss, enabled in ((amad_loss, False), (compiled, True)):
        student = maps(2, torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss(student=student, **inputs).backward()
        gradients.append(student.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_loss_scaling(variant: str) -> None:
    """A scale of 65536, GradScaler's first, scales the gradient; nothing overflows on the way."""
    student, teacher = maps(2, torch.float32), maps(3, torch.float32)
    gradients = []
    for scale in (1.0, 65536.0):
        leaf = student.clone().requires_grad_()
        (amad_loss(teacher=teacher, student=leaf, variant=variant) * scale).backward()
        gradients.append(leaf.grad / scale)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)


@pytest.mark.parametrize("variant", ALL)
def test_values_are_read_back_only_on_the_host(variant: str) -> None:
    """A tensor without values, as on another device, is not looked into unless asked to."""
    inputs = {"teacher": maps(3), "student": maps(2), **projection(variant)}
    inputs = {name: value.to("meta") for name, value in inputs.items()}
    assert amad_loss(variant=variant, **inputs).device.type == "meta"
    with pytest.raises(RuntimeError, match="meta"):
        amad_loss(variant=variant, **inputs, check_values=True)


def test_values_are_not_read_back_while_compiling() -> None:
    """Reading a value back would break the graph in two."""
    torch.compiler.reset()
    compiled = torch.compile(amad_loss, backend="eager", fullgraph=True)
    found = compiled(teacher=maps(3), student=maps(2), variant="kl")
    wanted = amad_loss(teacher=maps(3), student=maps(2), variant="kl")
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("variant", ["mse", "projected"])
def test_second_derivatives_while_compiling(variant: str) -> None:
    """Dynamo's own view of a custom function has none, and gives another number without a word."""
    teacher, student, learned = maps(3), maps(2), projection(variant)

    def hessian(student: torch.Tensor) -> torch.Tensor:
        def loss(student: torch.Tensor) -> torch.Tensor:
            return amad_loss(teacher=teacher, student=student, variant=variant, **learned)

        return torch.func.jacrev(torch.func.grad(loss))(student)

    def squares(student: torch.Tensor, loss: Callable[..., torch.Tensor]) -> torch.Tensor:
        leaf = student.clone().requires_grad_()
        value = loss(teacher=teacher, student=leaf, variant=variant, **learned)
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), leaf)[0]

    for function in (hessian, amad_loss):
        torch.compiler.reset()
        compiled = torch.compile(function, backend="eager", fullgraph=True)
        if function is hessian:
            torch.testing.assert_close(compiled(student), hessian(student))
        else:
            torch.testing.assert_close(squares(student, compiled), squares(student, amad_loss))


def test_training_reduces_the_loss() -> None:
    """The learned projection is trained with the student, by the module's own parameters."""
    teacher, logits = maps(3, torch.float32), torch.zeros((2, 2, 3, 4), requires_grad=True)
    loss = AMADLoss(variant="projected", cells=12, eps=1e-6)
    optimiser = torch.optim.Adam([logits, *loss.parameters()], lr=0.01)
    values = []
    for _ in range(30):
        optimiser.zero_grad()
        value = loss(teacher=teacher, student=logits.softmax(dim=-1))
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
    assert not torch.equal(loss.weight, torch.eye(12))
    assert not torch.equal(loss.bias, torch.zeros(12))


@pytest.mark.gpu
@pytest.mark.parametrize("variant", ALL)
def test_on_an_accelerator(variant: str) -> None:
    """Device and host agree, under autocast too, and no value check waits for the device."""
    learned = projection(variant, torch.float32)
    wanted = amad_loss(
        teacher=maps(3, torch.float32),
        student=maps(2, torch.float32),
        variant=variant,
        mask=torch.tensor([True, True, False, True]),
        **learned,
    )
    inputs = {
        "teacher": maps(3, torch.float32).cuda(),
        "student": maps(2, torch.float32).cuda(),
        "mask": torch.tensor([True, True, False, True]).cuda(),
        **{name: value.cuda() for name, value in learned.items()},
    }
    with torch.autocast("cuda", dtype=torch.float16):
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = amad_loss(variant=variant, **inputs)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-5)
