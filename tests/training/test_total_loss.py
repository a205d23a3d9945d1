"""The weighted sum, its parts, and weights that change over the steps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core.training.layer_losses import LayersLoss
from amad_core.training.schedule import LinearRamp
from tests.support.agreement import assert_agrees
from tests.support.training_port import Port

NUMBERS = st.floats(0, 1e3)
PARTS = ("output", "task", "attention")


@given(values=st.tuples(*[NUMBERS] * 3), weights=st.tuples(*[st.none() | NUMBERS] * 3))
def test_the_total_is_the_weighted_sum_of_its_parts(
    port: Port, values: tuple[float, ...], weights: tuple[float | None, ...]
) -> None:
    parts = {name: np.array(value) for name, value in zip(PARTS, values, strict=True)}
    named = {f"{name}_weight": weight for name, weight in zip(PARTS, weights, strict=True)}
    found = port.call("total_loss", **parts, **named)
    wanted = sum(
        (1.0 if weight is None else weight) * value
        for value, weight in zip(values, weights, strict=True)
    )
    assert_agrees(found.total, wanted, within=1e-14, size=1 + wanted)
    assert found[1:] == values  # as they came


@pytest.mark.parametrize("name", PARTS)
def test_each_part_has_its_own_weight_in_the_gradient(port: Port, name: str) -> None:
    if port.name == "spec":
        pytest.skip("the total is linear in its parts")
    weights = {"output_weight": 2.0, "task_weight": 3.0, "attention_weight": 5.0}

    def total(part: Any) -> Any:
        others = {other: port.array(np.array(7.0)) for other in PARTS if other != name}
        return port.functions.total_loss(**others, **{name: part}, **weights).total

    assert port.gradient(total, np.array(1.0)) == weights[f"{name}_weight"]


def test_what_is_not_given_is_none(port: Port) -> None:
    found = port.call("total_loss", task=np.array(2.0))
    assert (found.total, found.output, found.task, found.attention) == (2.0, None, 2.0, None)


@given(
    start=NUMBERS,
    end=NUMBERS,
    first=st.integers(-5, 50),
    length=st.integers(1, 100),
    data=st.data(),
)
def test_a_ramp_is_linear_between_its_steps(
    start: float, end: float, first: int, length: int, data: st.DataObject
) -> None:
    step = first + data.draw(st.integers(-3, length + 3))
    ramp = LinearRamp(start=start, end=end, first_step=first, last_step=first + length)
    wanted = np.interp(step, [first, first + length], [start, end])
    assert_agrees(ramp.weight_at(step), wanted, within=1e-13, size=1 + max(start, end))


@pytest.mark.parametrize(
    ("step", "weight"), [(0, 0.5), (10, 0.5), (15, 1.25), (20, 2.0), (99, 2.0)]
)
def test_a_ramp_weights_its_part(port: Port, step: int, weight: float) -> None:
    """By hand: 0.5 to 2 between the steps 10 and 20."""
    ramp = LinearRamp(start=0.5, end=2.0, first_step=10, last_step=20)
    found = port.call(
        "total_loss",
        output=np.array(3.0),
        attention=np.array(4.0),
        attention_weight=ramp,
        step=step,
    )
    assert_agrees(found.total, 3.0 + weight * 4.0, within=1e-15)
    assert found.attention == 4.0


@pytest.mark.xdist_group("tensorflow")
def test_a_ramp_moves_inside_a_graph() -> None:
    """A Python step would be frozen into the graph; a variable is not."""
    tf = pytest.importorskip("tensorflow")
    from amad_tensorflow.training.total import total_loss

    ramp = LinearRamp(start=0.0, end=1.0, first_step=0, last_step=4)
    step = tf.Variable(0, dtype=tf.int64)
    traces = []

    @tf.function
    def total(attention: Any) -> Any:
        traces.append(1)
        return total_loss(attention=attention, attention_weight=ramp, step=step).total

    found = []
    for _ in range(6):
        found.append(float(total(tf.constant(8.0))))
        step.assign_add(1)
    assert found == [0, 2, 4, 6, 8, 8]
    assert len(traces) == 1
    with pytest.raises(TypeError, match="step must be an integer; got dtype float32"):
        total_loss(attention=tf.constant(8.0), attention_weight=ramp, step=tf.constant(1.0))


@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("dtype", ["uint8", "uint64", "int16", "int64"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_step_of_any_integers_and_one_element(dtype: str, shape: tuple[int, ...]) -> None:
    """Before the first step, where an unsigned difference would wrap; eagerly and in a graph."""
    tf = pytest.importorskip("tensorflow")
    from amad_tensorflow.training.total import total_loss

    ramp = LinearRamp(start=0.5, end=2.0, first_step=10, last_step=20)

    def total(step: Any) -> Any:
        return total_loss(task=tf.constant(4.0), task_weight=ramp, step=step).total

    unknown = tf.function(total, input_signature=[tf.TensorSpec(None, dtype)])
    for now, weight in ((0, 0.5), (15, 1.25), (99, 2.0)):
        step = tf.cast(tf.fill(shape, now), dtype)
        for function in (total, tf.function(total), *([] if shape else [unknown])):
            found = function(step)
            assert found.shape == ()
            assert float(found) == 4 * weight
    with pytest.raises(ValueError, match=r"step must be one integer; got shape \[2\]"):
        total(tf.zeros(2, dtype))


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_a_step_of_numpy(port: Port, dtype: str) -> None:
    ramp = LinearRamp(start=0.0, end=1.0, first_step=np.uint8(100), last_step=300)
    for now, weight in ((3, 0.0), (150, 0.25)):
        step = np.dtype(dtype).type(now)
        found = port.call("total_loss", task=np.array(4.0), task_weight=ramp, step=step).total
        assert_agrees(found, 4 * weight, within=1e-15)


ONE = np.array(1.0)
RAMP = LinearRamp(start=0, end=1, first_step=0, last_step=1)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, ValueError, "total_loss needs at least one of output, task, attention; got none"),
        (
            {"task": ONE, "attention_weight": 2.0},
            ValueError,
            "attention_weight must come with attention; got 2.0 and no attention",
        ),
        ({"task": ONE, "task_weight": -1.0}, ValueError, "task_weight .* at least 0; got -1.0"),
        ({"task": ONE, "task_weight": np.inf}, ValueError, "task_weight must be finite"),
        ({"task": ONE, "task_weight": 10**400}, ValueError, "task_weight must be finite and with"),
        ({"task": ONE, "task_weight": True}, TypeError, "task_weight must be a real number"),
        ({"task": ONE, "task_weight": RAMP}, ValueError, "step must be given, as task_weight is a"),
        ({"task": ONE, "task_weight": RAMP, "step": 1.5}, TypeError, "step must be an integer"),
        ({"task": np.ones(2)}, ValueError, r"task must be a scalar; got shape \[2\]"),
        ({"task": np.array(1)}, TypeError, "task must be a floating-point scalar; got dtype"),
        (
            {"attention": LayersLoss(ONE, (ONE,), ())},
            TypeError,
            "attention must be a scalar; got LayersLoss: give its total",
        ),
    ],
)
def test_what_is_no_total_is_refused(
    port: Port, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        port.call("total_loss", **arguments)


def test_a_number_is_no_loss_to_train_with(port: Port) -> None:
    """What a loop over an empty tuple of maps adds up to: 0, without a gradient."""
    if port.name == "spec":
        assert port.call("total_loss", attention=0.0).total == 0
        return
    with pytest.raises(TypeError, match=r"attention must be a (torch|tf)\.Tensor; got float"):
        port.call("total_loss", attention=0.0)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"start": -1.0}, ValueError, "start must be finite and at least 0; got -1.0"),
        ({"end": float("nan")}, ValueError, "end must be finite"),
        ({"end": "1"}, TypeError, "end must be a real number"),
        ({"first_step": 2}, ValueError, "first_step must be below last_step; got 2 and 2"),
        ({"last_step": 2.0}, TypeError, "last_step must be an integer; got 2.0"),
        ({"last_step": 10**400}, ValueError, "last_step must be within 64 bits"),
        ({"end": 10**400}, ValueError, "end must be finite and within the range of a float"),
    ],
)
def test_what_is_no_ramp_is_refused(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        LinearRamp(**({"start": 0.0, "end": 1.0, "first_step": 0, "last_step": 2} | options))
