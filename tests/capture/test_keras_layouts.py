"""Attention as people write it: in any order of axes, with anything done to its scores."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

BACKEND = keras.config.backend()
pytest.importorskip(BACKEND)
pytestmark = pytest.mark.xdist_group(BACKEND)

from keras import ops  # noqa: E402

from amad_keras.capture import capture_attention  # noqa: E402
from amad_keras.capture.layer_attention import attention_maps  # noqa: E402

SIGNAL = np.sin(np.arange(2 * 6 * 8, dtype="float32")).reshape(2, 6, 8)
OTHER = np.cos(np.arange(2 * 5 * 8, dtype="float32") * 1.7).reshape(2, 5, 8)
HEADS = 2

Form = Callable[..., tuple[Any, Any]]


class Written(keras.layers.Layer):
    """Queries, keys and values meet in a form of its own, which says what its maps are."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form, self.num_heads, self.maps = form, HEADS, None
        grown = keras.initializers.RandomNormal(stddev=0.7, seed=1)
        self.projections = [keras.layers.Dense(8, kernel_initializer=grown) for _ in range(3)]
        self.mixing = keras.layers.Dense(HEADS, kernel_initializer=grown)
        self.more = keras.layers.MultiHeadAttention(HEADS, 4)

        for layer in self.projections:
            layer.build((None, 8))
        self.mixing.build((None, HEADS))
        self.more.build((None, 2, 3, 8), (None, 2, 3, 8))

    def call(self, states: Any, context: Any = None) -> Any:
        of_queries, *others = self.projections
        context = states if context is None else context
        output, self.maps = self.form(
            self, of_queries(states), *(layer(context) for layer in others)
        )
        return output


def apart(states: Any) -> Any:
    """``[B, L, H, d]``."""
    return ops.reshape(states, (-1, states.shape[1], HEADS, 8 // HEADS))


def by_heads(states: Any) -> Any:
    """``[B, H, L, d]``."""
    return ops.transpose(apart(states), (0, 2, 1, 3))


def meeting(scores: Any, values: Any) -> tuple[Any, Any]:
    maps = ops.softmax(scores)
    return ops.matmul(maps, by_heads(values)), maps


def products(q: Any, k: Any) -> Any:
    return ops.matmul(by_heads(q), ops.swapaxes(by_heads(k), 2, 3))


def heads_between(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    scores = ops.einsum("bqhd,bkhd->bqhk", apart(q), apart(k)) / 2.0
    maps = ops.softmax(scores + ops.arange(k.shape[1], dtype="float32"))
    output = ops.einsum("bqhk,bkhd->bqhd", maps, apart(v))
    return output, ops.transpose(maps, (0, 2, 1, 3))


def heads_last(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    bias = ops.reshape(ops.arange(k.shape[1] * HEADS, dtype="float32"), (k.shape[1], HEADS))
    maps = ops.softmax(ops.einsum("bqhd,bkhd->bqkh", apart(q), apart(k)) / 2.0 + bias, axis=2)
    return ops.einsum("bqkh,bkhd->bqhd", maps, apart(v)), ops.transpose(maps, (0, 3, 1, 2))


def heads_first(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(ops.einsum("bqhd,bkhd->hbqk", apart(q), apart(k)))
    return ops.einsum("hbqk,bkhd->bqhd", maps, apart(v)), ops.transpose(maps, (1, 0, 2, 3))


def keys_before_queries(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    mask = ops.reshape(ops.arange(k.shape[1]) < 4, (-1, 1))
    scores = ops.where(mask, ops.swapaxes(products(q, k), 2, 3), -1e9)
    maps = ops.swapaxes(ops.softmax(scores, axis=-2), -1, -2)
    return ops.matmul(maps, by_heads(v)), maps


def subtracted(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    first, second = ops.softmax(products(q, k)), ops.softmax(products(q, 2.0 * k))
    return ops.matmul(first - 0.3 * second, by_heads(v)), ops.stack([first, second])


def heads_mixed_by_a_layer(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    def mixed(maps: Any) -> Any:
        return ops.transpose(layer.mixing(ops.transpose(maps, (0, 2, 3, 1))), (0, 3, 1, 2))

    maps = ops.softmax(mixed(products(q, k)))
    return ops.matmul(mixed(maps), by_heads(v)), maps


def windows(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    q, k, v = (ops.reshape(by_heads(one), (-1, HEADS, 3, 2, 4)) for one in (q, k, v))
    q, k, v = (ops.transpose(one, (0, 2, 1, 3, 4)) for one in (q, k, v))
    maps = ops.softmax(ops.matmul(q, ops.swapaxes(k, -1, -2)))
    return ops.matmul(maps, v), ops.reshape(maps, (-1, HEADS, 2, 2))


def additive(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(ops.sum(ops.tanh(q[:, :, None] + k[:, None]), -1))
    return ops.matmul(maps, v), maps[:, None]


def shifted_then_capped(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    shifts = ops.reshape(ops.convert_to_tensor([0.5, 3.0]), (2, 1, 1))
    return meeting(3.0 * ops.tanh((products(q, k) + shifts) / 3.0), v)


def capped_then_biased_then_scaled(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    bias = ops.arange(k.shape[1], dtype="float32")
    return meeting((ops.tanh(products(q, k) / 2.0) + bias) * 2.0, v)


def capped_then_scaled_twice(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    return meeting(ops.tanh(products(q, k) / 2.0) * 3.0 * 2.0, v)


def masked_then_scaled(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    return meeting(ops.where(ops.arange(k.shape[1]) < 4, products(q, k), -1e9) / 2.0, v)


FORMS: dict[str, tuple[Form, str]] = {
    "heads between queries and keys": (heads_between, "queries, keys"),
    "heads last, softmax in the middle": (heads_last, "queries, keys"),
    "heads before samples": (heads_first, "queries, keys"),
    "keys before queries": (keys_before_queries, "queries, keys"),
    "two maps, one less the other": (subtracted, "queries, keys"),
    "heads mixed by a linear layer": (heads_mixed_by_a_layer, "maps"),
    "windows as an axis": (windows, "queries, keys"),
    "additive": (additive, "maps"),
    "shifted, then capped": (shifted_then_capped, "maps"),
    "capped, then biased, then scaled": (capped_then_biased_then_scaled, "queries, keys"),
    "capped, then scaled twice": (capped_then_scaled_twice, "queries, keys"),
    "masked, then scaled": (masked_then_scaled, "queries, keys"),
}
"""And what is known: where only maps are, queries and keys say so."""


def captured(layer: Any, *given: Any) -> tuple[list[str], list[Any], list[Any], Any]:
    with capture_attention(layer) as attention:
        layer(*given)
    layers = attention.layers()
    known = [attention_maps(one.attended) for one in layers if one.knows_queries_and_keys]
    return [one.kind for one in layers], attention.maps(), known, layer.maps


def same(found: list[Any], truth: Any) -> None:
    arrays = [ops.convert_to_numpy(one) for one in (*found, truth)]
    whole = np.concatenate(arrays[:-1])
    np.testing.assert_allclose(whole, arrays[-1].reshape(whole.shape), rtol=0, atol=5e-6)


@pytest.mark.thin(12 if BACKEND == "jax" else 1)  # JAX compiles every operation anew
@pytest.mark.parametrize("is_graph", [False, True] if BACKEND == "tensorflow" else [False])
@pytest.mark.parametrize("name", FORMS)
def test_maps_and_what_they_follow_from(name: str, is_graph: bool) -> None:
    form, known = FORMS[name]
    layer = Written(form)
    kinds: list[str] = []
    given = [SIGNAL] if name.startswith("windows") else [SIGNAL, OTHER]
    layer(*given)

    def run(*given: Any) -> Any:
        kinds[:], *tensors = captured(layer, *given)
        return tensors

    if is_graph:
        import tensorflow as tf

        anything = [tf.TensorSpec((None, *one.shape[1:])) for one in given]
        run = tf.function(run, autograph=False, input_signature=anything)
    maps, again, truth = run(*map(ops.convert_to_tensor, given))
    assert kinds == ["self" if name.startswith("windows") else "cross"] * len(maps)
    same(maps, truth)
    assert len(again) == (len(maps) if known == "queries, keys" else 0)
    if again:
        same(again, truth)


def multiplied_by_a_mask(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(products(q, k)) * ops.cast(ops.arange(k.shape[1]) < 4, "float32")
    maps = maps / ops.sum(maps, -1, keepdims=True)
    dropped = maps * ops.cast(keras.random.uniform((5,)) > 0.5, "float32") * 2.0
    return ops.matmul(dropped, by_heads(v)), maps


def test_a_mask_that_is_multiplied_is_in_the_maps_and_dropout_is_not() -> None:
    kinds, maps, again, truth = captured(
        Written(multiplied_by_a_mask), *map(ops.convert_to_tensor, (SIGNAL, OTHER))
    )
    assert (kinds, again) == (["cross"], [])
    same(maps, truth)


def test_positions_and_norms_do_not_make_it_cross_attention() -> None:
    class Apart(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.norms = [keras.layers.LayerNormalization() for _ in range(2)]
            self.attend = keras.layers.MultiHeadAttention(2, 4)
            self.positions = self.add_weight(shape=(1, 1, 8), name="positions")

        def call(self, states: Any, context: Any) -> Any:
            first, second = self.norms
            output = self.attend(first(states), second(states))
            output = output + self.attend(
                output + self.positions, output, key=output + self.positions
            )
            return self.attend(first(output), second(context))

    layer = Apart()
    with capture_attention(layer) as attention:  # which is built within, and counts once
        layer(*map(ops.convert_to_tensor, (SIGNAL, OTHER)))
    assert [one.kind for one in attention.layers()] == ["self", "self", "cross"]


def test_texts_tell_self_from_cross_attention_whatever_layers_are_called() -> None:
    def embedded(name: str) -> tuple[Any, Any]:
        tokens = keras.Input((6,), dtype="int32", name=name)
        return tokens, keras.layers.Embedding(60, 8)(tokens)

    (source, memory), (target, hidden) = map(embedded, ("source", "target"))
    layers = [keras.layers.MultiHeadAttention(2, 4, name=f"attention_{n}") for n in range(3)]
    memory = memory + layers[0](memory, memory)
    hidden = layers[2](layers[1](hidden, hidden), memory)
    model = keras.Model([source, target], hidden)
    tokens = ops.convert_to_tensor(np.arange(12, dtype="int32").reshape(2, 6))
    with capture_attention(model) as attention:
        model([tokens, tokens + 1])
    assert [one.kind for one in attention.layers()] == ["self", "self", "cross"]


def test_a_layer_that_looks_up_its_tokens_itself() -> None:
    class Reads(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.look_up = keras.layers.Embedding(60, 8)
            self.projections = [keras.layers.Dense(8) for _ in range(2)]

        def call(self, tokens: Any, others: Any) -> Any:
            queries, keys = map(self.look_up, (tokens, others))
            of_queries, of_keys = self.projections
            for context in (queries, keys):
                scores = ops.matmul(of_queries(queries), ops.swapaxes(of_keys(context), 1, 2))
                queries = queries + ops.matmul(ops.softmax(scores), context)
            return queries

    layer = Reads()
    tokens = ops.convert_to_tensor(np.arange(12, dtype="int32").reshape(2, 6))
    with capture_attention(layer) as attention:
        layer(tokens, tokens + 1)
    assert [one.kind for one in attention.layers()] == ["self", "cross"]


def with_sigmoid(layer: Any, q: Any, k: Any, v: Any) -> Any:
    return ops.matmul(ops.sigmoid(products(q, k) - 1.0), by_heads(v))


def linear(layer: Any, q: Any, k: Any, v: Any) -> Any:
    q, k, v = by_heads(ops.elu(q) + 1.0), by_heads(ops.elu(k) + 1.0), by_heads(v)
    return ops.matmul(q, ops.matmul(ops.swapaxes(k, 2, 3), v))


def without_a_product(layer: Any, q: Any, k: Any, v: Any) -> Any:
    maps = ops.softmax(products(q, k))
    return ops.sum(maps[..., None] * by_heads(v)[:, :, None], 3)


def over_images(layer: Any, q: Any, k: Any, v: Any) -> Any:
    image = ops.reshape(q, (-1, 2, 3, 8))
    return layer.more(image, image)


@pytest.mark.thin(8 if BACKEND == "jax" else 1)
@pytest.mark.parametrize("form", [with_sigmoid, linear, without_a_product, over_images])
def test_what_is_not_captured_beside_what_is_has_a_warning(form: Any) -> None:
    layer = Written(lambda its, *states: (form(its, *states), 0.0))
    whole = BothOf(layer)
    whole(SIGNAL)
    said = f"attention of '{layer.name}.*' was not captured"
    with pytest.warns(UserWarning, match=said), capture_attention(whole) as attention:
        whole(ops.convert_to_tensor(SIGNAL))
    assert list(attention) == ["seen"]
    with pytest.raises(RuntimeError, match="no attention was captured"):  # noqa: SIM117
        with capture_attention(layer):
            layer(ops.convert_to_tensor(SIGNAL))


class BothOf(keras.layers.Layer):
    """Attention that is captured, a softmax that is no attention, and a further layer."""

    def __init__(self, further: Any) -> None:
        super().__init__()
        self.gates = keras.layers.Dense(8, activation="softmax")
        self.seen = keras.layers.MultiHeadAttention(2, 4, name="seen")
        self.further = further

    def call(self, states: Any) -> Any:
        states = states * self.gates(states)
        return self.further(self.seen(states, states))


def test_gates_and_similarities_of_outputs_are_no_attention(
    recwarn: pytest.WarningsRecorder,
) -> None:
    layer = BothOf(keras.layers.Lambda(lambda x: ops.matmul(x, ops.swapaxes(x, 1, 2))))
    layer(SIGNAL)
    recwarn.clear()
    with capture_attention(layer) as attention:
        layer(ops.convert_to_tensor(SIGNAL))
    assert list(attention) == ["seen"]
    assert not recwarn.list
