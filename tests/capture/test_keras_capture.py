"""Capture of Keras models at its borders: graphs, threads, exceptions, and no silence."""

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.xdist_group("tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.python.eager import context, execute  # noqa: E402

from amad_keras.capture.layer_attention import attention_maps  # noqa: E402
from amad_tensorflow import capture_attention  # noqa: E402

X = tf.constant(np.sin(np.arange(3 * 6 * 8, dtype="float32")).reshape(3, 6, 8))


def encoder(
    heads: int = 2, layers: int = 2, *, dropout: float = 0.0, length: int | None = 6
) -> keras.Model:
    hidden = inputs = keras.Input((length, 8))
    for index in range(layers):
        attention = keras.layers.MultiHeadAttention(
            heads, 4, dropout=dropout, name=f"attention_{index}"
        )
        hidden = keras.layers.LayerNormalization()(hidden + attention(hidden, hidden))
    return keras.Model(inputs, hidden)


def left() -> Any:
    return list(context.context().op_callbacks), execute.execute, keras.layers.Layer.__call__


def test_one_trace_serves_all_lengths_and_xla_agrees() -> None:
    model = encoder(length=None)
    traces = []

    def maps(x: Any) -> Any:
        traces.append(1)
        with capture_attention(model) as attention:
            model(x)
        layer = attention.layers()[0]
        assert layer.shape == (None, 2, None, None)
        return attention.maps(), layer.queries, layer.keys

    anything = [tf.TensorSpec((None, None, 8))]
    plain = tf.function(maps, input_signature=anything)
    compiled = tf.function(maps, input_signature=anything, jit_compile=True)
    for x in (X, X[:2, :4], X[:1]):
        with capture_attention(model) as attention:
            model(x)
        expected = (attention.maps(), attention.layers()[0].queries, attention.layers()[0].keys)
        for function in (plain, compiled):
            for one, other in zip(*map(tf.nest.flatten, (function(x), expected)), strict=True):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert len(traces) == 2


def test_a_path_is_the_names_of_the_layers_and_a_second_run_has_its_own() -> None:
    inner = encoder()
    outer = keras.Sequential([inner, inner])
    with capture_attention(outer) as attention:
        outer(X)
    name = inner.name
    first = [f"{name}/attention_0", f"{name}/attention_1"]
    assert list(attention) == [*first, f"{first[0]}#2", f"{first[1]}#2"]
    assert len(attention.maps(under=name)) == 4
    assert len(attention.maps(under="*/attention_1", kind="self")) == 2
    with pytest.raises(ValueError, match=r"kind='cross'.*attention_0"):
        attention.maps(kind="cross")
    with pytest.raises(KeyError, match="captured were"):
        attention["attention"]
    with capture_attention(inner) as attention:  # run as part of another model
        outer(X)
    assert next(iter(attention)) == "attention_0"


def test_layers_of_the_model_are_seen_when_another_model_runs_them() -> None:
    model = encoder()
    extractor = keras.Model(model.inputs, model.layers[-1].output)
    with capture_attention(model) as attention:
        extractor(X)
    assert list(attention) == ["attention_0", "attention_1"]


def test_layers_of_one_name_are_told_apart() -> None:
    class Towers(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.towers = [keras.layers.MultiHeadAttention(n, 4, name="same") for n in (1, 2)]

        def call(self, x: Any) -> Any:
            return [tower(x, x) for tower in self.towers]

    model = Towers()
    with capture_attention(model) as attention:
        model(X)
    assert {name: one.shape[1] for name, one in attention.items()} == {"same": 1, "same#2": 2}


def test_a_first_call_builds_and_counts_once() -> None:
    model = keras.Sequential([keras.layers.Dense(8)])

    class Block(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.attend = keras.layers.MultiHeadAttention(2, 4)

        def call(self, x: Any) -> Any:
            return self.attend(x, x)

    model.add(Block())
    with capture_attention(model) as attention:
        model(X)
    assert len(attention) == 1


def test_learned_queries_are_no_tokens() -> None:
    class Pooling(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.queries = self.add_weight(shape=(1, 3, 8), name="queries")
            self.attention = keras.layers.MultiHeadAttention(2, 4, name="attention")

        def call(self, states: Any) -> Any:
            batch = keras.ops.shape(states)[0]
            return self.attention(keras.ops.repeat(self.queries, batch, axis=0), states)

    tokens = keras.Input((None,), dtype="int32")
    states = keras.layers.Embedding(60, 8)(tokens)
    states = states + keras.layers.MultiHeadAttention(2, 4, name="mixing")(states, states)
    model = keras.Model(tokens, Pooling(name="pooling")(states))

    def kinds(tokens: Any) -> list[str]:
        with capture_attention(model) as attention:
            model(tokens)
        return [layer.kind for layer in attention.layers()]

    assert kinds(tf.constant([[3, 1, 4, 1]])) == ["self", "cross"]
    traced: list[list[str]] = []
    tf.function(lambda tokens: traced.append(kinds(tokens)))(tf.constant([[3, 1, 4, 1]]))
    assert traced == [["self", "cross"]]


def test_half_precision_is_kept() -> None:
    policy = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    layer = keras.layers.MultiHeadAttention(2, 4, dropout=0.1, dtype=policy)
    fused = keras.layers.MultiHeadAttention(2, 4, dtype=policy)
    for one, dtype in ((layer, tf.bfloat16), (fused, tf.float32)):
        with capture_attention(one) as attention:
            one(X, X)
        assert attention[""].maps.dtype == dtype
        assert attention[""].kind == "self"
        np.testing.assert_allclose(tf.cast(attention[""].maps, tf.float32).numpy().sum(-1), 1, 0.01)


def test_a_bias_that_is_scaled_along_with_the_products() -> None:
    class Scaled(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            bias = tf.range(tf.shape(x)[1], dtype=x.dtype)
            scores = (tf.matmul(x, x, transpose_b=True) + bias) * 0.25
            return tf.matmul(tf.nn.softmax(scores), x)

    layer = Scaled()
    with capture_attention(layer) as attention:
        layer(X)
    assert attention[""].scale == 0.25
    np.testing.assert_allclose(attention[""].bias[0, 0, 0], np.arange(6) / 4)
    again = attention_maps(attention[""].attended)
    np.testing.assert_allclose(again, attention[""].maps, rtol=0, atol=1e-6)


def test_two_captures_at_once_see_one_model_each() -> None:
    before = left()
    teacher, student = encoder(4), encoder(2)
    with capture_attention(teacher) as teachers, capture_attention(student) as students:
        teacher(X)
        student(X)
    assert [layer.shape[1] for layer in teachers.values()] == [4, 4]
    assert [layer.shape[1] for layer in students.values()] == [2, 2]
    assert left() == before


def test_two_threads_at_once_see_their_own() -> None:
    before, found, meet = left(), {}, threading.Barrier(2)

    def run(heads: int) -> None:
        model = encoder(heads, dropout=0.1)
        model(X)
        with capture_attention(model) as attention:
            meet.wait()
            if heads == 1:
                model(X)
            else:
                meet.wait()  # the other's capture has ended, while this one goes on
                model(X)
        if heads == 1:
            meet.wait()
        found[heads] = [(one.shape[1], one.knows_queries_and_keys) for one in attention.values()]

    threads = [threading.Thread(target=run, args=(heads,)) for heads in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: [(1, True)] * 2, 2: [(2, True)] * 2}
    assert left() == before


def test_dropout_by_hand_is_not_taken_for_a_mask() -> None:
    class Dropped(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            self.kept = tf.nn.softmax(tf.matmul(x, x, transpose_b=True))
            keep = tf.random.uniform(tf.shape(self.kept)) > 0.5
            return tf.matmul(tf.where(keep, self.kept, 0.0), x)

    layer = Dropped()
    with capture_attention(layer) as attention:
        layer(X)
    np.testing.assert_array_equal(attention[""].maps[:, 0], layer.kept)


def test_nothing_is_left_behind_after_an_exception() -> None:
    model, before = encoder(), left()
    weights = [weight.path for weight in model.weights]
    with pytest.raises(ZeroDivisionError), capture_attention(model):
        raise ZeroDivisionError  # and no complaint that nothing was captured
    with pytest.raises(ValueError, match="expected shape"), capture_attention(model):
        model(X[0])
    assert left() == before
    assert [weight.path for weight in model.weights] == weights


def test_no_reference_cycle_keeps_anything_alive() -> None:
    model = encoder()
    with capture_attention(model) as attention:
        model(X)
    layer = attention.layers()[0]
    kept = [weakref.ref(attention), weakref.ref(layer), weakref.ref(layer.maps)]
    gc.collect()
    gc.disable()
    try:
        del attention, layer
        assert [one() for one in kept] == [None, None, None]
    finally:
        gc.enable()


class TestSilenceIsImpossible:
    def test_nothing_captured(self) -> None:
        with pytest.raises(RuntimeError, match="no attention was captured"):  # noqa: SIM117
            with capture_attention(encoder()):
                pass

    def test_another_model_ran(self) -> None:
        other = encoder()
        with pytest.raises(RuntimeError, match="did the block run this model"):  # noqa: SIM117
            with capture_attention(encoder()):
                other(X)

    @pytest.mark.parametrize("way", ["function", "predict", "cond"])
    def test_another_graph(self, way: str) -> None:
        model = encoder()
        ways = {
            "function": lambda: tf.function(model)(X),
            "predict": lambda: model.predict(X, verbose=0),
            "cond": lambda: tf.cond(tf.reduce_sum(X) > 0, lambda: model(X), lambda: X),
        }

        def captured() -> None:
            with capture_attention(model):
                ways[way]()

        with pytest.raises(RuntimeError, match=r"attention_0.*in another graph"):
            (tf.function(captured) if way == "cond" else captured)()

    def test_a_function_that_was_traced_before(self) -> None:
        model = encoder()
        function = tf.function(model)
        function(X)
        with pytest.raises(RuntimeError, match="traced before"), capture_attention(model):
            function(X)

    def test_layers_that_do_not_attend(self) -> None:
        model = encoder()
        with pytest.raises(RuntimeError, match=r"layers='decoder/\*'.*'attention_0'"):  # noqa: SIM117
            with capture_attention(model, layers=["attention_0", "decoder/*"]):
                model(X)
        with capture_attention(model, layers=["*_1"]) as attention:
            model(X)
        assert list(attention) == ["attention_1"]

    def test_rematerialization(self) -> None:
        with keras.RematScope(mode="full"):
            model = encoder()
        with tf.GradientTape(), pytest.raises(RuntimeError, match="RematScope"):  # noqa: SIM117
            with capture_attention(model):
                model(X)
        model.trainable = False  # a teacher needs no gradient
        with capture_attention(model) as attention:
            model(X)
        assert len(attention) == 2

    def test_queries_that_cannot_be_followed(self) -> None:
        model = keras.layers.AdditiveAttention()
        with capture_attention(model) as attention:
            model([X, X])
        assert attention[""].shape == (3, 1, 6, 6)
        with pytest.raises(ValueError, match="only its maps"):
            _ = attention[""].queries

    def test_what_is_no_attention(self) -> None:
        inputs = keras.Input((6, 8))
        gates = keras.layers.Dense(8, activation="softmax")(inputs)
        model = keras.Model(inputs, gates * inputs)
        with pytest.raises(RuntimeError, match="no attention"), capture_attention(model):
            model(X)

    def test_no_model_at_all(self) -> None:
        with pytest.raises(TypeError, match=r"keras\.Model or a layer; got int"):  # noqa: SIM117
            with capture_attention(3):
                pass
