"""Values and output projections of Keras layers: what the maps mix, and where it cannot be told."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.xdist_group("tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from amad_tensorflow import capture_attention  # noqa: E402
from tests.capture.keras_comparison import WITHIN, built  # noqa: E402
from tests.capture.keras_families import FAMILIES  # noqa: E402

X = tf.constant(np.sin(np.arange(3 * 6 * 8, dtype="float32")).reshape(3, 6, 8))
UNPROJECTED = ("Attention, learned scale", "AdditiveAttention")
"""Families whose heads' outputs are the outputs; so they are in those by hand."""


def linear_layers(model: keras.Model, seen: list[Any], patch: pytest.MonkeyPatch) -> None:
    """Every linear layer notes what it was asked and said."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense):

            def spied(given: Any, its: Any = layer, call: Any = layer.call, **options: Any) -> Any:
                output = call(given, **options)
                seen.append((its, output if its.bias is None else output - its.bias))
                return output

            patch.setattr(layer, "call", spied)


@pytest.mark.thin(4)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_values_and_projection_give_what_the_attention_adds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Σ_i maps_i V_i W_i + b`` is what the layer of the output projection computes."""
    model, inputs = built(name)
    said: list[Any] = []
    linear_layers(model, said, monkeypatch)
    with capture_attention(model) as attention:
        output = model(inputs)
    for layer in attention.values():
        batch, heads, queries, _ = layer.shape
        assert heads % layer.values.shape[1] == 0
        sees = np.asarray(layer.maps).sum((1, 3)) > 0
        if name in UNPROJECTED or name.startswith("by hand"):
            with pytest.raises(ValueError, match=r"output projection of .* is not known.*got 0"):
                _ = layer.projection
            if layer is list(attention.values())[-1] and "talking" not in name:
                mixed = tf.transpose(tf.matmul(layer.maps, layer.values), [0, 2, 1, 3])
                found = tf.reshape(mixed, tf.shape(output))
                np.testing.assert_allclose(found, output, rtol=0, atol=WITHIN)
            continue
        found = tf.reduce_sum(tf.matmul(layer.maps, layer.head_outputs), 1)
        truths = [
            tf.reshape(one, [batch, queries, -1])
            for its, one in said
            if its.kernel.shape.num_elements() == layer.projection.shape.num_elements()
            and one.shape.num_elements() == found.shape.num_elements()
        ]
        distances = [float(np.abs((one - found)[sees]).max()) for one in truths]
        assert min(distances) < WITHIN * max(1.0, float(np.abs(found).max()))


class Written(keras.layers.Layer):
    """Attention by hand in one of several ways to meet the values, then a linear layer."""

    def __init__(self, meet: Callable[[Any, Any], Any], project: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.meet, self.project, self.num_heads = meet, project, 4
        self.weight = self.add_weight(shape=(8, 5), initializer="glorot_uniform")

    def call(self, states: Any) -> Any:
        batch, length = tf.shape(states)[0], tf.shape(states)[1]
        heads = tf.transpose(tf.reshape(states, [batch, length, 4, 2]), [0, 2, 1, 3])
        maps = tf.nn.softmax(tf.matmul(heads, 2 * heads, transpose_b=True))
        return self.project(self.meet(maps, heads + 1), tf.convert_to_tensor(self.weight))


def flat(tensor: Any) -> Any:
    return tf.reshape(tensor, tf.concat([[-1], tf.shape(tensor)[2:]], 0))


def joined(outputs: Any, weight: Any) -> Any:
    turned = tf.transpose(outputs, [0, 2, 1, 3])
    shape = tf.shape(turned)
    return keras.ops.matmul(tf.reshape(turned, [shape[0], shape[1], 8]), weight)


def by_head(outputs: Any, weight: Any) -> Any:
    return tf.einsum("bhqd,hdo->bqo", outputs, tf.reshape(weight, [4, 2, 5]))


def of_turned_weight(outputs: Any, weight: Any) -> Any:
    shape = tf.shape(outputs)
    flat = tf.reshape(tf.transpose(outputs, [0, 2, 1, 3]), [shape[0], shape[2], 8])
    return tf.matmul(flat, tf.transpose(weight), transpose_b=True)


WAYS = {
    "transposed": (
        lambda maps, values: tf.linalg.matrix_transpose(
            tf.matmul(values, maps, transpose_a=True, transpose_b=True)
        ),
        joined,
    ),
    "heads in the batch": (
        lambda maps, values: tf.reshape(
            tf.matmul(flat(maps), flat(values)), tf.shape(values)
        ),
        by_head,
    ),
    "einsum of turned maps": (
        lambda maps, values: tf.einsum("bkhq,bkhd->bhqd", tf.transpose(maps, [0, 3, 1, 2]),
                                       tf.transpose(values, [0, 2, 1, 3])),
        of_turned_weight,
    ),
    "one head of values": (
        lambda maps, values: tf.einsum("bhqk,bkd->bhqd", maps, values[:, 1]), joined
    ),
}  # fmt: skip


@pytest.mark.parametrize("is_graph", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_however_maps_meet_values(way: str, is_graph: bool) -> None:
    model = Written(*WAYS[way])

    def run(x: Any) -> Any:
        with capture_attention(model) as attention:
            output = model(x)
        layer = attention[""]
        assert layer.values.shape[1] == (1 if way == "one head of values" else 4)
        return output, tf.reduce_sum(tf.matmul(layer.maps, layer.head_outputs), 1)

    anything = [tf.TensorSpec((None, None, 8))]
    output, found = (tf.function(run, input_signature=anything) if is_graph else run)(X)
    np.testing.assert_allclose(found, output, rtol=0, atol=2e-5)


def test_grouped_values_are_not_repeated_and_have_a_gradient() -> None:
    model, inputs = built("KerasHub Llama")
    with tf.GradientTape() as tape, capture_attention(model) as attention:
        model(inputs)
        layer = attention.layers()[1]
        squares = tf.reduce_sum(layer.head_outputs**2)
    assert layer.values.shape == (2, 2, 7, 4)
    assert layer.head_outputs.shape == (2, 4, 7, 16)
    block = model.transformer_layers[1]._self_attention_layer
    weights = [block._value_dense.kernel, block._output_dense.kernel]
    assert all(np.any(one) for one in tape.gradient(squares, weights))


REFUSED = {
    "summed over queries": (lambda maps, values: tf.matmul(maps, values, transpose_a=True), joined),
    "a nonlinearity between": (tf.matmul, lambda heads, weight: joined(tf.nn.relu(heads), weight)),
    "two layers": (tf.matmul, lambda heads, weight: by_head(heads, weight) * joined(heads, weight)),
    "one head only": (tf.matmul, lambda heads, weight: tf.matmul(heads[:, 0], weight[:2])),
}  # fmt: skip


@pytest.mark.parametrize("way", REFUSED)
def test_what_cannot_be_told_is_said(way: str) -> None:
    model = Written(*REFUSED[way])
    with capture_attention(model) as attention:
        model(X)
    if way == "summed over queries":
        with pytest.raises(ValueError, match="values of '' are not known"):
            _ = attention[""].values
    with pytest.raises(ValueError, match=rf"projection .* got {2 if way == 'two layers' else 0}"):
        _ = attention[""].projection
    assert attention[""].maps.shape == (3, 4, 6, 6)
