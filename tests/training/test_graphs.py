"""The same numbers from compiled functions, also with lengths that are not known beforehand."""

from typing import Any

import numpy as np
import pytest

from tests.support.agreement import assert_agrees

RANDOM = np.random.default_rng(4)
TOKENS = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
TEACHER_MAPS = [RANDOM.dirichlet(np.ones(4), size=(2, 3, 4)) for _ in range(4)]
STUDENT_MAPS = [RANDOM.dirichlet(np.ones(4), size=(2, 2, 4)) for _ in range(2)]
LOGITS = RANDOM.standard_normal((2, 2, 4, 5))
LABELS = np.where(TOKENS == 1, 2, -100)


def step(modules: Any, tokens: Any, teacher: Any, student: Any, logits: Any, labels: Any) -> Any:
    """One step of training, all of it: what a user compiles."""
    masks, layer_losses, output_losses, total = modules
    cells = masks.cell_mask(tokens=tokens, causal=True, maps=student[0])
    attention = layer_losses.amad_layers_loss(
        teacher=teacher, student=student, variant="kl", mask=cells
    )
    return total.total_loss(
        output=output_losses.output_loss(
            teacher=logits[0], student=logits[1], temperature=2.0, mask=tokens == 1
        ),
        task=output_losses.task_loss(student=logits[1], labels=labels),
        attention=attention.total,
        attention_weight=0.5,
    ).total


def specified() -> float:
    from amad_core.training import layer_losses, masks, output_losses, total

    # The adapters' floor in the logarithm is their dtype's tiny, which these maps never reach.
    kept = [maps * np.tri(4) for maps in STUDENT_MAPS]
    assert (sum(kept) > 1e-30).sum() == sum(kept).size * 10 / 16
    modules = masks, layer_losses, output_losses, total
    return float(step(modules, TOKENS, TEACHER_MAPS, STUDENT_MAPS, LOGITS, LABELS))


def test_torch_compile() -> None:
    """Without a break in the graph."""
    torch = pytest.importorskip("torch")
    from amad_torch.training import layer_losses, masks, output_losses, total

    modules = masks, layer_losses, output_losses, total

    @torch.compile(fullgraph=True, backend="eager")
    def compiled(*arguments: Any) -> Any:
        return step(modules, *arguments)

    student = [torch.tensor(maps, requires_grad=True) for maps in STUDENT_MAPS]
    arguments = (
        torch.tensor(TOKENS),
        [torch.tensor(maps) for maps in TEACHER_MAPS],
        student,
        torch.tensor(LOGITS),
        torch.tensor(LABELS),
    )
    found, eager = compiled(*arguments), step(modules, *arguments)
    assert_agrees(found.item(), specified(), within=1e-12)
    for layer in student:
        gradients = [
            torch.autograd.grad(value, layer, retain_graph=True)[0] for value in (found, eager)
        ]
        assert_agrees(*gradients, within=1e-12)


def test_no_value_is_read_back_from_a_device() -> None:
    """A tensor on ``meta`` has no values: whoever looked at one there would wait for a GPU."""
    torch = pytest.importorskip("torch")
    from amad_torch.training import layer_losses, masks, output_losses, total

    def meta(values: np.ndarray) -> Any:
        return torch.tensor(values, device="meta")

    found = step(
        (masks, layer_losses, output_losses, total),
        meta(TOKENS),
        [meta(maps) for maps in TEACHER_MAPS],
        [meta(maps) for maps in STUDENT_MAPS],
        meta(LOGITS),
        meta(LABELS),
    )
    assert (found.device.type, found.shape) == ("meta", ())
    with pytest.raises(RuntimeError, match="meta"):
        masks.cell_mask(tokens=meta(TOKENS), check_values=True)


@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("jit", [False, True])
def test_tensorflow_graph(jit: bool) -> None:
    """Lengths unknown when the graph is traced; with XLA too."""
    tf = pytest.importorskip("tensorflow")
    from amad_tensorflow.training import layer_losses, masks, output_losses, total

    modules = masks, layer_losses, output_losses, total
    maps = tf.TensorSpec([None, None, None, None], tf.float64)

    @tf.function(
        jit_compile=jit,
        input_signature=[
            tf.TensorSpec([None, None], tf.int64),
            [maps] * 4,
            [maps] * 2,
            tf.TensorSpec([2, None, None, 5], tf.float64),
            tf.TensorSpec([None, None], tf.int64),
        ],
    )
    def graph(*arguments: Any) -> Any:
        return step(modules, *arguments)

    arrays = [TOKENS, TEACHER_MAPS, STUDENT_MAPS, LOGITS, LABELS]
    found = graph(*tf.nest.map_structure(tf.constant, arrays))
    assert_agrees(float(found), specified(), within=1e-12)


@pytest.mark.xdist_group("tensorflow")
def test_values_are_checked_in_a_graph_on_request() -> None:
    tf = pytest.importorskip("tensorflow")
    from amad_tensorflow.training.masks import cell_mask
    from amad_tensorflow.training.output_losses import output_loss, task_loss

    mask = tf.function(lambda tokens: cell_mask(tokens=tokens, check_values=True))
    assert mask(tf.constant([[1, 0]])).shape == (1, 2, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="tokens must hold only 1"):
        mask(tf.constant([[1, 2]]))
    loss = tf.function(
        lambda logits: output_loss(teacher=logits, student=logits, check_values=True)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="teacher must be finite"):
        loss(tf.constant([[1.0, float("nan")]]))
    task = tf.function(
        lambda labels: task_loss(student=tf.zeros((1, 2)), labels=labels, check_values=True)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be from 0 to 1"):
        task(tf.constant([2]))
