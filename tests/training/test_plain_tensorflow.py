"""Capture and the loss in a plain TensorFlow loop: ten lines, XLA or not, few traces."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.xdist_group("tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from amad_tensorflow import amad_layers_loss, capture_attention, cell_mask  # noqa: E402


def model(heads: int, layers: int, *, masked: bool) -> keras.Model:
    keras.utils.set_random_seed(heads)
    tokens = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(20, 8, mask_zero=masked)(tokens)
    grown = keras.initializers.RandomNormal(stddev=0.7)
    for _ in range(layers):
        attention = keras.layers.MultiHeadAttention(heads, 4, kernel_initializer=grown)
        attended = attention(hidden, hidden)
        hidden = keras.layers.LayerNormalization()(hidden + attended)
    return keras.Model(tokens, hidden)


def batches(shapes: int) -> tf.data.Dataset:
    """Lengths and numbers of samples that change from batch to batch."""
    sizes = [(4, 7), (3, 5), (4, 9), (2, 4)][:shapes] * (20 // shapes)

    def drawn() -> Any:
        for samples, length in sizes:
            rows = np.random.default_rng(length)
            tokens = rows.integers(1, 20, (samples, length), dtype="int32")
            tokens[0, length - 2 :] = 0
            yield tokens

    return tf.data.Dataset.from_generator(
        drawn, output_signature=tf.TensorSpec((None, None), "int32")
    )


@pytest.mark.parametrize(
    ("masked", "xla"), [(True, False), (False, False), (False, True)],
    ids=["Keras mask", "explicit mask", "explicit mask, xla"],
)  # fmt: skip
def test_a_plain_loop_trains_with_one_trace(masked: bool, xla: bool) -> None:
    teacher, student = model(4, 2, masked=masked), model(2, 1, masked=masked)
    optimizer, traces = keras.optimizers.Adam(0.02), []

    def step(tokens: Any) -> Any:
        traces.append(1)
        with capture_attention(teacher) as target:
            teacher(tokens)
        with tf.GradientTape() as tape, capture_attention(student) as attention:
            student(tokens, training=True)
            mask = cell_mask(tokens=tokens > 0)
            loss = amad_layers_loss(
                teacher=target.maps(), student=attention.maps(), variant="kl", mask=mask
            ).total
        gradients = tape.gradient(loss, student.trainable_variables)
        pairs = zip(gradients, student.trainable_variables, strict=True)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
        return loss

    anything = [tf.TensorSpec((None, None), tf.int32)]
    compiled = tf.function(step, jit_compile=xla, input_signature=anything)
    optimizer.build(student.trainable_variables)
    losses = [float(compiled(tokens)) for tokens in batches(2 if xla else 4)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    assert len(traces) == 1
