"""What is captured of every Keras family is what NumPy says that the model attends to."""

import inspect
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("keras_hub")
pytestmark = pytest.mark.xdist_group("tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from amad_keras.capture.layer_attention import attention_maps  # noqa: E402
from amad_tensorflow import capture_attention  # noqa: E402
from tests.capture.keras_families import FAMILIES, kept_truth  # noqa: E402
from tests.capture.keras_table import PAGE, page_with_table  # noqa: E402
from tests.capture.keras_truth import TRUTHS  # noqa: E402

WITHIN = 5e-6
"""Float32 maps against NumPy in float64; the largest seen is 1.9e-6."""


@lru_cache
def built(name: str) -> tuple[keras.Model, Any]:
    """The model, its weights grown, as fresh ones attend almost evenly; and its inputs."""
    family = FAMILIES[name]
    keras.utils.set_random_seed(3)
    model = family.make()
    inputs = tf.nest.map_structure(tf.constant, family.inputs)
    model(inputs)
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(4 * weight + 0.05 * tf.random.normal(weight.shape))
    return model, inputs


def numpy_maps(model: keras.Model, inputs: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """From the arguments that attention layers are called with, and their weights."""
    calls = []
    for layer in model._flatten_layers():
        if type(layer).__name__ in TRUTHS:

            def spied(*args: Any, its: Any = layer, call: Any = layer.call, **given: Any) -> Any:
                bound = inspect.signature(call).bind(*args, **given)
                calls.append((its, dict(bound.arguments)))
                return call(*args, **given)

            monkeypatch.setattr(layer, "call", spied)
    model(inputs)
    monkeypatch.undo()
    truths: dict[str, Any] = {}
    found = []
    for layer, given in calls:
        name = type(layer).__name__
        found.append(truths.setdefault(name, TRUTHS[name]())(layer, given))
    return found or kept_truth(model)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.thin(2)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_maps_are_what_the_model_attends_to(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = FAMILIES[name]
    model, inputs = built(name)
    before = tf.nest.flatten(model(inputs))
    with capture_attention(model) as attention:
        during = tf.nest.flatten(model(inputs))
    for one, other in zip(before, during, strict=True):
        np.testing.assert_array_equal(one, other)
    assert "".join(layer.kind[0] for layer in attention.values()) == family.kinds
    truth = numpy_maps(model, inputs, monkeypatch)
    for layer, expected in zip(attention.values(), truth, strict=True):
        expected = np.asarray(expected).reshape(layer.shape)
        sees = expected.sum(-1, keepdims=True) > 0
        np.testing.assert_allclose(layer.maps * sees, expected, rtol=0, atol=WITHIN)
        assert layer.knows_queries_and_keys == family.knows
        if family.knows:
            again = attention_maps(layer.attended)
            np.testing.assert_allclose(again * sees, expected, rtol=0, atol=WITHIN)


TRAINED = [
    "MultiHeadAttention, dropout, Keras mask", "KerasHub BERT", "KerasHub T5", "KerasHub Swin",
    "KerasHub Llama", "KerasHub Gemma 2", "KerasHub GPT-OSS",
    "by hand: subclassed, alibi, cross", "by hand: TensorFlow, talking heads",
]  # fmt: skip
"""With dropout, with masks, fused, grouped, capped, with sinks, in plain TensorFlow."""


@pytest.mark.thin(2)
@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_in_a_graph_maps_have_gradients_and_no_dropout(name: str) -> None:
    model, inputs = built(name)

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape, capture_attention(model) as attention:
            model(inputs, training=True)
            squares = tf.add_n([tf.reduce_sum(maps**2) for maps in attention.maps()])
        again = [attention_maps(layer.attended) for layer in attention.values()]
        gradients = tape.gradient(squares, model.trainable_variables)
        return attention.maps(), again, [one for one in gradients if one is not None]

    maps, again, gradients = step()
    assert len(maps) == len(FAMILIES[name].kinds)
    for one, other in zip(maps, again, strict=True):
        sees = np.asarray(other).sum(-1, keepdims=True) > 0
        np.testing.assert_allclose(one * sees, other, rtol=0, atol=WITHIN)
        if name != "KerasHub GPT-OSS":  # whose sinks take a share
            np.testing.assert_allclose((one * sees).numpy().sum(-1), sees[..., 0], atol=1e-5)
    assert gradients
    assert all(np.isfinite(tf.convert_to_tensor(one)).all() for one in gradients)
    assert any(np.asarray(tf.convert_to_tensor(one)).any() for one in gradients)


def test_the_page_lists_every_family() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_table(page) == page, "run python -m tests.capture.keras_table"
    assert len(FAMILIES) >= 16
