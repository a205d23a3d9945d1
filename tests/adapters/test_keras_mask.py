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


def test_a_mask_of_cells_or_of_equal_heads_takes_out_the_same_cells(scores):
    """``[B, Q, K]``, ``[B, 1, Q, K]`` as Keras has it, and ``[B, H, Q, K]`` of equal heads."""
    from amad_tensorflow.keras.masks import masked_maps

    cells = np.random.default_rng(1).random((3, 5, 5)) < 0.5
    for maps in (scores.numpy(), np.repeat(scores.numpy(), 2, axis=1)):
        expected = np.where(cells[:, np.newaxis], maps, 0.0)
        for mask in (cells, cells[:, np.newaxis], np.repeat(cells[:, np.newaxis], 3, axis=1)):
            np.testing.assert_array_equal(masked_maps("y_pred", maps, mask).numpy(), expected)


def test_a_mask_that_differs_by_head_is_refused(scores):
    """Of the loss and of the projection; a graph, which cannot look, refuses any but one head."""
    tf = pytest.importorskip("tensorflow")
    from amad_tensorflow import AMADLoss, AMADProjection

    masks = np.ones((3, 2, 5, 5), dtype=bool)
    loss, projection = AMADLoss(variant="kl"), AMADProjection(cells=25)
    for differing in (True, False):
        masks[1, 1, 2, 3] = not differing
        maps = tf.identity(scores)
        maps._keras_mask = tf.constant(masks)
        if not differing:
            loss(scores, maps)
            projection(scores, mask=masks)
            continue
        with pytest.raises(ValueError, match="y_pred must be the same for all heads; got heads"):
            loss(scores, maps)
        with pytest.raises(ValueError, match="mask must be the same for all heads; got heads"):
            projection(scores, mask=masks)
    in_graph = tf.function(lambda mask: projection(scores, mask=mask))
    in_graph(tf.constant(masks[:, :1]))
    with pytest.raises(ValueError, match=r"mask must have one head in a graph.*mask\[:, :1\]"):
        in_graph(tf.constant(masks))


def test_a_mask_of_other_axes_is_refused(scores):
    from amad_tensorflow import AMADProjection
    from amad_tensorflow.keras.masks import masked_maps

    with pytest.raises(ValueError, match=r"y_pred carries a Keras mask that must be .* got shape"):
        masked_maps("y_pred", scores, np.ones((3, 5), dtype=bool))
    with pytest.raises(ValueError, match=r"mask must broadcast to .* = \[3, 5, 5\]; got shape"):
        masked_maps("y_pred", scores, np.ones((3, 4, 5), dtype=bool))
    with pytest.raises(ValueError, match="mask must have 3 axes where its first may be the batch"):
        AMADProjection(cells=25)(scores[:1], mask=np.ones((1, 5), dtype=bool))
