"""A tiny functional Keras model learns from one with more heads."""

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.xdist_group("tensorflow")

STEPS = 20
TOKENS, WIDTH, CLASSES = 6, 8, 3
INPUTS = np.random.default_rng(0).standard_normal((4, TOKENS, WIDTH)).astype("float32")
LABELS = np.array([0, 1, 2, 1])


def model(heads: int, layers: int, seed: int) -> Any:
    """Logits, and the attention scores of every layer."""
    keras.utils.set_random_seed(seed)
    hidden = inputs = keras.Input((TOKENS, WIDTH))
    scores = []
    for _ in range(layers):
        attention = keras.layers.MultiHeadAttention(
            heads, 4, kernel_initializer=keras.initializers.RandomNormal(stddev=0.5)
        )
        attended, layer_scores = attention(hidden, hidden, return_attention_scores=True)
        hidden = keras.layers.LayerNormalization()(hidden + attended)
        scores.append(layer_scores)
    logits = keras.layers.Dense(CLASSES)(keras.layers.GlobalAveragePooling1D()(hidden))
    return keras.Model(inputs, [logits, scores])


def test_the_attention_loss_falls_while_a_keras_model_trains() -> None:
    from amad_core.training.schedule import LinearRamp
    from amad_tensorflow.training.layer_losses import amad_layers_loss
    from amad_tensorflow.training.output_losses import output_loss, task_loss
    from amad_tensorflow.training.total import total_loss

    teacher, student = model(4, 4, seed=1), model(2, 2, seed=2)
    optimizer = keras.optimizers.Adam(0.01)
    ramp = LinearRamp(start=0.5, end=1.0, first_step=0, last_step=STEPS)

    @tf.function
    def train() -> Any:
        teacher_logits, teacher_maps = teacher(INPUTS)
        with tf.GradientTape() as tape:
            logits, maps = student(INPUTS, training=True)
            loss = total_loss(
                output=output_loss(teacher=teacher_logits, student=logits, temperature=2.0),
                task=task_loss(student=logits, labels=LABELS),
                attention=amad_layers_loss(teacher=teacher_maps, student=maps, variant="kl").total,
                attention_weight=ramp,
                step=optimizer.iterations,
            )
        variables = student.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss.total, variables), variables, strict=True))
        return loss

    logged = [train() for _ in range(STEPS)]
    first, last = logged[0], logged[-1]
    assert float(last.attention) < 0.9 * float(first.attention)
    assert float(last.task) < float(first.task)
    expected = first.output + first.task + 0.5 * first.attention
    np.testing.assert_allclose(float(first.total), float(expected), rtol=1e-6)
    assert int(optimizer.iterations) == STEPS
