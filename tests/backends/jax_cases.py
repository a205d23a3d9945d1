"""Capture on Keras's JAX backend at its borders: traces, compiled functions, no silence."""

import threading
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
from jax.extend.core import Primitive

from amad_keras import capture_attention
from amad_keras.capture.layer_attention import attention_maps

X = np.sin(np.arange(3 * 6 * 8, dtype="float32")).reshape(3, 6, 8)


def encoder(heads: int = 2, *, dropout: float = 0.0) -> keras.Model:
    hidden = inputs = keras.Input((6, 8))
    for index in range(2):
        attention = keras.layers.MultiHeadAttention(
            heads, 4, dropout=dropout, name=f"attention_{index}"
        )
        hidden = keras.layers.LayerNormalization()(hidden + attention(hidden, hidden))
    return keras.Model(inputs, hidden)


def left() -> Any:
    return Primitive.bind, jax.nn.softmax, jax.nn.dot_product_attention, jax.config.jax_disable_jit


@jax.jit
def attend(queries: Any, keys: Any, values: Any) -> Any:
    scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys) * 0.5
    order = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    maps = jax.nn.softmax(jnp.where(order, scores, -1e9), axis=-1)
    return jnp.einsum("bhqk,bkhd->bqhd", maps, values)


class ByHand(keras.layers.Layer):
    """Attention in a function that is compiled by itself, dropout by hand after it."""

    def build(self, shape: Any) -> None:
        self.kernels = [self.add_weight(shape=(8, 2, 4), name=name) for name in "qkv"]

    def call(self, states: Any, context: Any = None) -> Any:
        sources = (states, states if context is None else context)
        q, k, v = (
            jnp.einsum("bld,dhe->blhe", sources[index > 0], kernel.value)
            for index, kernel in enumerate(self.kernels)
        )
        return attend(q, k, v)


class Dropped(keras.layers.Layer):
    def call(self, states: Any) -> Any:
        maps = jax.nn.softmax(states @ states.swapaxes(1, 2))
        keep = jax.random.bernoulli(jax.random.key(0), 0.5, maps.shape)
        return jnp.where(keep, maps, 0.0) @ states


def test_gradients_of_a_trace_and_nothing_is_left() -> None:
    before = left()
    model = encoder(dropout=0.1)
    values = [variable.value for variable in model.trainable_variables]

    def squares(values: Any) -> Any:
        mapping = list(zip(model.trainable_variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping), capture_attention(model) as attention:
            model(X, training=True)
        return sum(jnp.sum(maps**2) for maps in attention.maps())

    gradients = jax.jit(jax.grad(squares))(values)
    assert any(np.any(one) for one in gradients)
    with pytest.raises(ZeroDivisionError), capture_attention(model):
        raise ZeroDivisionError
    assert left() == before


WAYS: dict[str, Any] = {
    "jit": lambda model: jax.jit(lambda x: model(x))(X),
    "predict": lambda model: model.predict(X, verbose=0),
    "grad": lambda model: jax.grad(lambda x: jnp.sum(model(x)))(X),
    "vmap": lambda model: jax.vmap(lambda x: model(x[None]))(X),
    "checkpoint": lambda model: jax.checkpoint(lambda x: model(x))(X),
}


@pytest.mark.parametrize("way", ["jit", "predict"])
def test_what_is_compiled_inside_the_block_is_seen(way: str) -> None:
    model = encoder()
    with capture_attention(model) as expected:
        model(X)
    with capture_attention(model) as attention:
        WAYS[way](model)
    for one, other in zip(attention.maps(), expected.maps(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", ["grad", "vmap", "checkpoint"])
def test_attention_in_another_trace_is_refused(way: str) -> None:
    model = encoder()
    with pytest.raises(RuntimeError, match=r"attention_0.*in another graph"):  # noqa: SIM117
        with capture_attention(model):
            WAYS[way](model)


def test_a_branch_of_a_trace_is_another_trace() -> None:
    model = encoder()

    def step(x: Any) -> Any:
        with capture_attention(model):
            return jax.lax.cond(x[0, 0, 0] > 0, lambda y: model(y), lambda y: y, x)

    with pytest.raises(RuntimeError, match=r"attention_0.*in another graph"):
        jax.jit(step)(X)


def test_functions_that_are_compiled_by_themselves_are_seen_outside_a_trace() -> None:
    layer, other = ByHand(), ByHand()
    layer(X), other(X, X[:, :4])

    def captured(x: Any) -> Any:
        with capture_attention(layer) as one, capture_attention(other) as two:
            layer(x), other(x, x[:, :4])
        assert (one[""].kind, two[""].kind) == ("self", "cross")
        return one.maps() + two.maps(), [attention_maps(one[""].attended), one[""].mask]

    (maps, crossed), (again, mask) = captured(jnp.asarray(X))
    kernels = [np.asarray(kernel) for kernel in layer.kernels]
    q, k = (np.einsum("bld,dhe->bhle", X, kernel) for kernel in kernels[:2])
    scores = np.where(np.tri(6, dtype=bool), q @ k.swapaxes(-1, -2) * 0.5, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    expected = powers / powers.sum(-1, keepdims=True)
    for one in (maps, again):
        np.testing.assert_allclose(one, expected, rtol=0, atol=5e-6)
    np.testing.assert_array_equal(np.broadcast_to(mask, maps.shape)[0, 0], np.tri(6, dtype=bool))
    assert crossed.shape == (3, 2, 6, 4)


def test_in_a_trace_a_function_compiled_by_itself_is_an_error() -> None:
    layer = ByHand()
    layer(X)

    def captured(x: Any) -> Any:
        with capture_attention(layer):
            return layer(x)

    with pytest.raises(RuntimeError, match="no attention was captured"):
        jax.jit(captured)(X)


def test_dropout_by_hand_is_not_taken_for_a_mask() -> None:
    layer = Dropped()
    with capture_attention(layer) as attention:
        layer(X)
    np.testing.assert_allclose(attention[""].maps.sum(-1), 1, rtol=0, atol=1e-5)


def test_grouped_keys_are_not_repeated() -> None:
    layer = keras.layers.GroupQueryAttention(4, 4, 2)
    with capture_attention(layer) as attention:
        layer(X, X)
    assert attention[""].queries.shape == (3, 4, 6, 4)
    assert attention[""].keys.shape == (3, 2, 6, 4)


EINSUMS = {
    "queries first": ("bqhd,bkhd->bhqk", (3, 6, 4, 2), None),
    "keys first": ("bkhd,bqhd->bhqk", (3, 6, 4, 2), None),
    "transposed afterwards": ("bqhd,bkhd->bqkh", (3, 6, 4, 2), (0, 3, 1, 2)),
    "grouped, two axes of heads": ("bqhgd,bkhd->bhgqk", (3, 6, 2, 2, 2), None),
    "grouped, turned twice": ("bqhgd,bkhd->kqhgb", (3, 6, 2, 2, 2), (4, 2, 3, 1, 0)),
}


class Einsum(keras.layers.Layer):
    """Queries are all heads of what it is given, keys those that the equation has."""

    def __init__(self, equation: str, shape: Any, order: Any) -> None:
        super().__init__()
        self.equation, self.shape, self.order = equation, shape, order

    def call(self, states: Any) -> Any:
        queries = jnp.cos(3 * states).reshape(self.shape)
        keys = jnp.sin(5 * states).reshape(3, 6, 4, 2)[:, :, : self.shape[2]]
        first = self.equation.startswith("bq")
        scores = jnp.einsum(self.equation, *((queries, keys) if first else (keys, queries)))
        scores = scores if self.order is None else scores.transpose(self.order)
        maps = jax.nn.softmax(scores * 0.5, axis=-1)
        return maps @ jnp.ones((*maps.shape[:-2], 6, 2))


@pytest.mark.parametrize("name", EINSUMS)
def test_an_einsum_is_read_with_what_transposes_it(name: str) -> None:
    layer = Einsum(*EINSUMS[name])
    with capture_attention(layer) as attention:
        layer(X)
    one, heads = attention[""], layer.shape[2]
    queries = np.cos(3 * X).reshape(3, 6, 4, 2).swapaxes(1, 2)
    keys = np.sin(5 * X).reshape(3, 6, 4, 2)[:, :, :heads].swapaxes(1, 2)
    np.testing.assert_allclose(one.queries, queries, rtol=0, atol=1e-6)
    np.testing.assert_allclose(one.keys, keys, rtol=0, atol=1e-6)
    np.testing.assert_allclose(attention_maps(one.attended), one.maps, rtol=0, atol=5e-6)


def test_two_threads_at_once_see_their_own() -> None:
    before, found, meet = left(), {}, threading.Barrier(2, timeout=60)
    models = {heads: encoder(heads) for heads in (1, 2)}

    def run(heads: int) -> None:
        with capture_attention(models[heads]) as attention:
            meet.wait()
            models[heads](X)
        found[heads] = [one.shape[1] for one in attention.values()]

    threads = [threading.Thread(target=run, args=(heads,)) for heads in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: [1, 1], 2: [2, 2]}
    assert left() == before
