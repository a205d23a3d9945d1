"""Keras families on any backend: built, run, and compared with what NumPy says they attend to."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from amad_keras.capture import capture_attention
from amad_keras.capture.layer_attention import attention_maps
from tests.capture.keras_families import FAMILIES, kept_truth
from tests.capture.keras_truth import TRUTHS

WITHIN = 5e-6
"""Float32 maps against NumPy in float64."""


@lru_cache
def built(name: str) -> tuple[keras.Model, Any]:
    """The model, its weights grown, as fresh ones attend almost evenly; and its inputs."""
    family = FAMILIES[name]
    keras.utils.set_random_seed(3)
    noise = np.random.default_rng(3)
    model = family.make()
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, family.inputs)
    model(inputs)
    for weight in model.weights:
        if len(weight.shape) > 1 and "float" in str(weight.dtype):
            weight.assign(4 * as_array(weight) + 0.05 * noise.standard_normal(weight.shape))
    return model, inputs


def as_array(tensor: Any) -> Any:
    """In NumPy; also what is a tensor of PyTorch with a gradient."""
    return keras.ops.convert_to_numpy(tensor)


def numpy_maps(model: keras.Model, inputs: Any) -> list[Any]:
    """From the arguments that attention layers are called with, and their weights."""
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        for layer in model._flatten_layers():
            if type(layer).__name__ in TRUTHS:

                def spied(
                    *args: Any, its: Any = layer, call: Any = layer.call, **given: Any
                ) -> Any:
                    bound = inspect.signature(call).bind(*args, **given)
                    calls.append((its, dict(bound.arguments)))
                    return call(*args, **given)

                patch.setattr(layer, "call", spied)
        model(inputs)
    truths: dict[str, Any] = {}
    found = []
    for layer, given in calls:
        name = type(layer).__name__
        found.append(truths.setdefault(name, TRUTHS[name]())(layer, given))
    return found or kept_truth(model)


def check_maps(name: str) -> None:
    """Maps are what the model attends to, and its output is what it was.

    Bit for bit, except in JAX outside a trace, where capture runs each operation by itself.
    """
    outputs_within = 1e-5 if keras.config.backend() == "jax" else 0.0
    family = FAMILIES[name]
    model, inputs = built(name)
    before = keras.tree.flatten(model(inputs))
    with capture_attention(model) as attention:
        during = keras.tree.flatten(model(inputs))
    for one, other in zip(before, during, strict=True):
        np.testing.assert_allclose(as_array(one), as_array(other), outputs_within, outputs_within)
    assert "".join(layer.kind[0] for layer in attention.values()) == family.kinds
    truth = numpy_maps(model, inputs)
    for layer, expected in zip(attention.values(), truth, strict=True):
        expected = np.asarray(expected).reshape(layer.shape)
        sees = expected.sum(-1, keepdims=True) > 0
        maps = as_array(layer.maps)
        np.testing.assert_allclose(maps * sees, expected, rtol=0, atol=WITHIN)
        assert layer.knows_queries_and_keys == family.knows
        if family.knows:
            again = as_array(attention_maps(layer.attended))
            np.testing.assert_allclose(again * sees, expected, rtol=0, atol=WITHIN)


class Step(NamedTuple):
    """A training step in the backend's own way: what was captured in it, and what it gave."""

    kinds: str
    maps: list[Any]
    recomputed: list[Any]
    gradients: list[Any]


def training_step(model: keras.Model, inputs: Any) -> Step:
    """Gradients of the sum of squared maps: in a ``tf.function``, under ``jax.jit``, in PyTorch."""
    kinds: list[str] = []

    def squares() -> tuple[Any, tuple[list[Any], list[Any]]]:
        with capture_attention(model) as attention:
            model(inputs, training=True)
        kinds.append("".join(layer.kind[0] for layer in attention.values()))
        recomputed = [attention_maps(layer.attended) for layer in attention.values()]
        total = keras.ops.sum(keras.ops.stack([keras.ops.sum(m**2) for m in attention.maps()]))
        return total, (attention.maps(), recomputed)

    (maps, recomputed), gradients = _STEPS[keras.config.backend()](model, squares)
    arrays = [
        [as_array(one) for one in found if one is not None]
        for found in (maps, recomputed, gradients)
    ]
    return Step(kinds[-1], *arrays)


def _in_tensorflow(model: keras.Model, squares: Callable[[], Any]) -> Any:
    import tensorflow as tf

    @tf.function(autograph=False)
    def step() -> Any:
        with tf.GradientTape() as tape:
            total, captured = squares()
        gradients = tape.gradient(total, model.trainable_variables)
        return captured, [tf.convert_to_tensor(one) for one in gradients if one is not None]

    return step()


def _in_torch(model: keras.Model, squares: Callable[[], Any]) -> Any:
    total, captured = squares()
    model.zero_grad()
    total.backward()
    return captured, [variable.value.grad for variable in model.trainable_variables]


def _in_jax(model: keras.Model, squares: Callable[[], Any]) -> Any:
    import jax

    variables = model.trainable_variables

    def stateless(values: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return squares()

    found = jax.jit(jax.value_and_grad(stateless, has_aux=True))([one.value for one in variables])
    return found[0][1], found[1]


_STEPS: dict[str, Any] = {"tensorflow": _in_tensorflow, "torch": _in_torch, "jax": _in_jax}
