"""Keras attaches masks to attention scores; the loss must read them as cells, not as weights."""

import numpy as np
import pytest

from tests.support.frameworks import TENSORFLOW

keras = pytest.importorskip("keras")
pytestmark = TENSORFLOW


@pytest.fixture(scope="module")
def scores():
    """Scores of two heads over padded sequences, as Keras's own layers make them."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(10, 8, mask_zero=True)(tokens)
    attention = keras.layers.MultiHeadAttention(2, 4, kernel_initializer="random_normal")
    _, scores = attention(embedded, embedded, return_attention_scores=True)
    ids = np.array([[1, 2, 3, 0, 0], [1, 2, 3, 4, 0], [4, 3, 2, 1, 5]])
    return keras.Model(tokens, scores)(ids)


def test_the_mask_of_keras_is_the_mask_of_cells(scores):
    from amad_tensorflow import AMADLoss, amad_loss

    mask = scores._keras_mask[:, 0]
    assert not np.all(mask.numpy()), "the layer no longer attaches a mask; this test is void"
    teacher = np.random.default_rng(0).dirichlet(np.ones(5), size=(3, 4, 5)).astype("float32")
    expected = amad_loss(teacher=teacher, student=scores, variant="kl", mask=mask)
    assert float(AMADLoss(variant="kl")(teacher, scores)) == pytest.approx(float(expected))


def test_a_mask_of_cells_or_of_heads_takes_out_the_same_cells(scores):
    """``[B, Q, K]``, ``[B, 1, Q, K]`` as Keras has it, and ``[B, H, Q, K]`` of equal heads."""
    from amad_tensorflow.keras.loss import masked_maps

    cells = np.random.default_rng(1).random((3, 5, 5)) < 0.5
    for maps in (scores.numpy(), np.repeat(scores.numpy(), 2, axis=1)):
        expected = np.where(cells[:, np.newaxis], maps, 0.0)
        for mask in (cells, cells[:, np.newaxis], np.repeat(cells[:, np.newaxis], 3, axis=1)):
            np.testing.assert_array_equal(masked_maps(maps, mask).numpy(), expected)


def test_a_mask_of_another_rank_is_refused(scores):
    from amad_tensorflow.keras.loss import masked_maps

    with pytest.raises(ValueError, match=r"y_pred carries a Keras mask that must be .* got shape"):
        masked_maps(scores, np.ones((3, 5), dtype=bool))
