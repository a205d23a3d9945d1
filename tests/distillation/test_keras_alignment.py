"""Alignment weights of a Distiller of Keras, as a user measures, draws and logs them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")
pytestmark = pytest.mark.xdist_group("tensorflow")

import tensorflow as tf  # noqa: E402

from amad_tensorflow import (  # noqa: E402
    AlignmentImages,
    AttentionDistillation,
    alignment_weights,
    capture_attention,
    cell_mask,
    measure_alignment,
    plot_alignment,
)
from tests.distillation.test_keras_distillation import IDS, X, Y, distiller  # noqa: E402

NAMES = ["attention_0 <- attention_1", "attention_1 <- attention_3"]


def test_the_weights_are_the_mean_over_all_samples() -> None:
    made = distiller(AttentionDistillation(variant="kl", temperature=0.1), tokens=True)
    found = measure_alignment(made, [IDS[:6], IDS[6:]])
    with capture_attention(made.teacher) as teacher, capture_attention(made.student) as student:
        made.teacher(IDS), made.student(IDS)
    mask = cell_mask(tokens=tf.constant(IDS > 0))
    assert list(found) == NAMES
    for rows, one, other in zip(found.values(), teacher.maps()[1::2], student.maps(), strict=True):
        wanted = alignment_weights(teacher=one, student=other, temperature=0.1, mask=mask)
        np.testing.assert_allclose(rows, tf.reduce_mean(wanted, 0), atol=1e-6)


def test_projected_heads_are_aligned_as_projected() -> None:
    plain = AttentionDistillation(variant="kl", name="plain", layers="last")
    loss = AttentionDistillation(variant="projected", layers="last", name="projected")
    made = distiller(plain, loss)
    first = measure_alignment(made, [X])
    one, other = first[NAMES[1]], first[f"{NAMES[1]}#2"]
    np.testing.assert_allclose(one, other, atol=1e-6)  # it begins with the identity
    weight, _ = loss.learned[NAMES[1]]
    weight.assign(np.random.default_rng(1).uniform(size=weight.shape) * np.eye(36)[::-1])
    moved = measure_alignment(made, [X])
    assert not np.allclose(moved[f"{NAMES[1]}#2"], other, atol=1e-4)
    np.testing.assert_allclose(moved[NAMES[1]], one, atol=1e-6)


def images(folder: Path) -> dict[int, Any]:
    """The pictures of TensorBoard's files, by step."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = accumulators.EventAccumulator(str(folder)).Reload()
    return {one.step: one for one in read.Images("alignment")}


def test_fit_writes_pictures_for_tensorboard(tmp_path: Path) -> None:
    made = distiller(
        AttentionDistillation(variant="kl", temperature=0.1), run_eagerly=False, jit_compile=False
    )
    callback = AlignmentImages(X[:4], tmp_path, every=2)
    made.fit(X, Y, epochs=4, verbose=0, callbacks=[callback])
    assert list(callback.history) == [0, 2, 4]
    assert callback.history[4] == measure_alignment(made, [X[:4]])
    assert callback.history[0] != callback.history[4]
    seen = images(tmp_path / "alignment")
    assert list(seen) == [0, 2, 4]
    picture = tf.io.decode_png(seen[4].encoded_image_string)
    assert picture.shape[:2] == (seen[4].height, seen[4].width)
    assert float(tf.math.reduce_std(tf.cast(picture, tf.float32))) > 1
    assert seen[0].encoded_image_string != seen[4].encoded_image_string


def test_layers_in_a_picture_have_short_names() -> None:
    rows = [[0.75, 0.25], [0.0, 1.0]]
    weights = {f"backbone/block_{n}/mha <- backbone/block_{2 * n}/mha": rows for n in (1, 2)}
    figure = plot_alignment({"now": weights})
    assert [axes.get_ylabel() for axes in figure.axes] == [
        f"teacher\nblock_{2 * n}\n\nstudent\nblock_{n}" for n in (1, 2)
    ]


def test_what_has_no_weights_is_said(tmp_path: Path) -> None:
    made = distiller(AttentionDistillation(method="mean_head_mse"))
    with pytest.raises(ValueError, match=r"no alignment weights.*'mean_head_mse'"):
        measure_alignment(made, [X])
    with pytest.raises(ValueError, match="no alignment weights"):
        measure_alignment(distiller(AttentionDistillation()), [])
    with pytest.raises(TypeError, match=r"Distiller with an AttentionDistillation.*got Functional"):
        measure_alignment(made.student, [X])
    made.student.compile(loss="mse")
    with pytest.raises(TypeError, match="Distiller with an AttentionDistillation"):
        made.student.fit(X, np.zeros((8, 3)), verbose=0, callbacks=[AlignmentImages(X, tmp_path)])
    with pytest.raises(ValueError, match="every"):
        AlignmentImages(X, tmp_path, every=0)
