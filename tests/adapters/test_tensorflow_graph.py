"""The TensorFlow adapter in graphs: unknown lengths, XLA, nested tapes, checks inside a graph."""

from typing import Any

import numpy as np
import pytest

from tests.support.adapter_calls import assert_agrees_with_specification
from tests.support.frameworks import TENSORFLOW
from tests.support.variants import ALL, UNPROJECTED, arguments

tf = pytest.importorskip("tensorflow")
pytestmark = TENSORFLOW


def case(batch: int, queries: int, keys: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(batch)
    maps = generator.dirichlet(np.ones(keys), size=(batch, 5, queries))
    mask = generator.random((batch, queries, keys)) < 0.8
    mask[0, 0] = False
    return {"teacher": maps[:, :3], "student": maps[:, 3:], "mask": mask}


def check(function: Any, inputs: dict[str, np.ndarray], dtype: str, **options: Any) -> None:
    """The traced function gives what the specification gives for the same call."""
    arrays = [name for name, value in options.items() if isinstance(value, np.ndarray)]

    def call(**given: Any) -> Any:
        return function(
            given["teacher"], given["student"], given["mask"], *(given[name] for name in arrays)
        )

    assert_agrees_with_specification("tensorflow", dtype, function=call, **inputs, **options)


@pytest.mark.parametrize("variant", ALL)
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_graph_with_unknown_lengths(dtype: str, variant: str) -> None:
    """One trace for every batch, number of heads, queries and keys."""
    from amad_tensorflow import amad_loss

    traces = []
    maps, cells = tf.TensorSpec([None] * 4, dtype), tf.TensorSpec([None] * 3, tf.bool)
    learned = [tf.TensorSpec([None, None], dtype), tf.TensorSpec([None], dtype)]
    projected = variant == "projected"

    @tf.function(input_signature=[maps, maps, cells, *(learned if projected else [])])
    def function(teacher: Any, student: Any, mask: Any, *parameters: Any) -> Any:
        traces.append(1)
        options = dict(zip(("weight", "bias"), parameters, strict=projected))
        eps = {"eps": 1e-6} if projected else {}
        return amad_loss(
            teacher=teacher, student=student, mask=mask, variant=variant, **options, **eps
        )

    for sizes in ((2, 3, 4), (3, 5, 2), (1, 1, 7)):
        inputs = case(*sizes)
        check(function, inputs, dtype, **arguments(variant, inputs["student"]))
    assert len(traces) == 1


@pytest.mark.parametrize(("maps", "mask"), [([None, 2, 3, 3], [3, 3]), ([4, 2, 3, 3], [None, 3])])
def test_a_mask_that_some_batch_would_make_ambiguous_is_refused(maps: Any, mask: Any) -> None:
    """A graph is for every length that it does not know."""
    from amad_tensorflow import amad_loss

    cells = tf.TensorSpec(mask, tf.bool)
    function = tf.function(lambda maps, mask: amad_loss(teacher=maps, student=maps, mask=mask))
    with pytest.raises(ValueError, match="mask must have 3 axes where its first may be the batch"):
        function.get_concrete_function(tf.TensorSpec(maps), cells)
    stated = tf.function(lambda maps, mask: amad_loss(teacher=maps, student=maps, mask=mask[None]))
    stated.get_concrete_function(tf.TensorSpec(maps), cells)


@pytest.mark.parametrize("variant", ALL)
def test_xla(variant: str) -> None:
    from amad_tensorflow import amad_loss

    inputs = case(2, 3, 4)
    options = arguments(variant, inputs["student"])
    learned = [name for name in ("weight", "bias") if name in options]

    @tf.function(jit_compile=True)
    def function(teacher: Any, student: Any, mask: Any, *parameters: Any) -> Any:
        given = {**options, **dict(zip(learned, parameters, strict=True))}
        return amad_loss(teacher=teacher, student=student, mask=mask, **given)

    check(function, inputs, "float32", **options)


def test_xla_with_half_precision_and_a_gradient_inside() -> None:
    from amad_tensorflow import amad_loss

    inputs = case(2, 3, 4)

    @tf.function(jit_compile=True)
    def gradient(teacher: Any, student: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(student)
            loss = amad_loss(teacher=teacher, student=student, variant="kl")
        return loss, tape.gradient(loss, student)

    tensors = [tf.cast(inputs[name], tf.bfloat16) for name in ("teacher", "student")]
    loss, found = gradient(*tensors)
    assert loss.dtype == tf.float32
    assert found.dtype == tf.bfloat16
    eager = amad_loss(teacher=tensors[0], student=tensors[1], variant="kl")
    np.testing.assert_allclose(loss, eager, rtol=1e-5)


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_second_derivatives(variant: str) -> None:
    """Nested tapes: a Hessian-vector product against differences of the gradient."""
    from amad_core import amad_loss_and_grad
    from amad_tensorflow import amad_loss

    inputs = case(1, 2, 3)
    del inputs["mask"]
    student = tf.constant(inputs["student"])
    along = np.random.default_rng(3).standard_normal(student.shape)
    with tf.GradientTape() as outer:
        outer.watch(student)
        with tf.GradientTape() as inner:
            inner.watch(student)
            loss = amad_loss(teacher=inputs["teacher"], student=student, variant=variant)
        slope = tf.reduce_sum(inner.gradient(loss, student) * along)
    found = outer.gradient(slope, student)
    step = 1e-5
    sides = [
        amad_loss_and_grad(
            teacher=inputs["teacher"], student=inputs["student"] + way * along, variant=variant
        )[1]
        for way in (-step, step)
    ]
    np.testing.assert_allclose(found, (sides[1] - sides[0]) / (2 * step), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", ALL)
def test_teacher_gets_no_gradient(variant: str) -> None:
    from amad_tensorflow import alignment_weights, amad_loss

    inputs = {name: tf.constant(value) for name, value in case(2, 3, 4).items()}
    learned = arguments(variant, inputs["student"].numpy())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs["teacher"])
        loss = amad_loss(**inputs, **learned)
        weights = alignment_weights(**inputs)
    assert tape.gradient(loss, inputs["teacher"]) is None
    assert tape.gradient(weights, inputs["teacher"]) is None


def test_values_are_checked_inside_a_graph_when_asked() -> None:
    from amad_tensorflow import amad_loss

    inputs = case(2, 3, 4)
    negative = inputs["student"] - 1.0

    @tf.function
    def function(student: Any, check_values: bool | None) -> Any:
        return amad_loss(teacher=inputs["teacher"], student=student, check_values=check_values)

    function(negative, None)
    with pytest.raises(tf.errors.InvalidArgumentError, match="student must be finite and non-neg"):
        function(negative, True)
    function(inputs["student"], True)


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_loss_scaling(variant: str) -> None:
    """A scale of 65536, as a dynamic loss scale begins with, scales the gradient exactly."""
    from amad_tensorflow import amad_loss

    inputs = case(2, 3, 4)
    student = tf.constant(inputs["student"], tf.float32)
    gradients = []
    for scale in (1.0, 65536.0):
        with tf.GradientTape() as tape:
            tape.watch(student)
            teacher = tf.constant(inputs["teacher"], tf.float32)
            loss = amad_loss(teacher=teacher, student=student, variant=variant) * scale
        gradients.append(tape.gradient(loss, student).numpy() / scale)
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize(
    ("lengths", "flat"),
    [
        ([2, 3, 4, 5], [2, 3, 20]),
        ([None, 3, 4, 5], [None, 3, 20]),
        ([None, None, None, 5], [None, None, None]),
        ([None, 3, 4, None], [None, 3, None]),
    ],
)
def test_graphs_keep_the_lengths_they_know(
    lengths: list[int | None], flat: list[int | None]
) -> None:
    from amad_tensorflow.attention.inputs import whole_maps

    @tf.function(input_signature=[tf.TensorSpec(lengths, tf.float32)])
    def function(maps: Any) -> Any:
        vectors = whole_maps(maps)
        assert vectors.shape.as_list() == flat
        return vectors

    assert function(tf.ones([2, 3, 4, 5])).shape == (2, 3, 20)


def test_values_on_another_device_are_not_read_back() -> None:
    """What lies on an accelerator is not looked into: here it could not be."""
    from types import SimpleNamespace

    from amad_tensorflow.attention.value_checks import check_finite

    check_finite(SimpleNamespace(device="/device:GPU:0"), ValueError, None)
    with pytest.raises(ValueError, match="SimpleNamespace"):
        check_finite(SimpleNamespace(device="/device:CPU:0"), ValueError, None)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_gradients_of_heads_of_zeros_are_zeros(jit_compile: bool) -> None:
    from amad_tensorflow import amad_loss

    student = tf.constant([[[[0.5, 0.5]], [[0.0, 0.0]]]])

    @tf.function(jit_compile=jit_compile)
    def gradient(student: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(student)
            loss = amad_loss(teacher=student[:, ::-1], student=student, variant="mse")
        return tape.gradient(loss, student)

    found = gradient(student).numpy()
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[0, 1], 0.0)
