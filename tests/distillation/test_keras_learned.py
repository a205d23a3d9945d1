"""Losses with parameters of their own inside the stock Distiller, on Keras's backend.

On TensorFlow here, on PyTorch in a process of its own (``tests/backends``); JAX refuses them.
"""

from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest

BACKEND = keras.config.backend()
pytest.importorskip(BACKEND)
pytestmark = pytest.mark.xdist_group(BACKEND)

from amad_keras import AttentionDistillation  # noqa: E402
from tests.distillation.test_keras_backends import X, Y, distiller, logged  # noqa: E402


@pytest.mark.thin(2)
@pytest.mark.parametrize("method", ["align_to_distill", "amad_projected"])
def test_parameters_are_trained_saved_and_loaded(method: str, tmp_path: Path) -> None:
    options = {"eps": 1e-6} if method == "amad_projected" else {}
    loss = AttentionDistillation(method=method, options=options)
    small = keras.optimizers.SGD(1e-3 if method == "align_to_distill" else 1e-6)
    made = distiller(loss, jit_compile=False, optimizer=small)
    students = len(made.student.weights)
    made(X[:1])
    weights = [loss.get_weights()]
    shapes = [(36, 36), (36,)] if method == "amad_projected" else [(4, 2), (4,)]
    assert [one.shape for one in weights[0]] == 2 * shapes
    assert list(loss.learned)[1] == "attention_1 <- attention_3"
    losses = []
    for _ in range(3):
        losses += made.fit(X, Y, batch_size=8, verbose=0).history["attention"]
        weights.append(loss.get_weights())
    assert losses[2] < losses[1] < losses[0]
    steps = [
        [float(abs(new - old).sum()) for old, new in zip(*both, strict=True)]
        for both in pairwise(weights)
    ]
    assert np.all(steps)
    for place in (0, 2):  # No step keeps gradients of the one before.
        assert max(step[place] for step in steps) < 1.5 * steps[0][place]
    assert len(made.student.weights) == students
    expected = logged(made)["attention"]
    made.save(tmp_path / "distiller.keras")
    with pytest.warns(UserWarning, match="compile"):
        loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    again = loaded.distillation_losses[0]
    for one, other in zip(again.get_weights(), loss.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    loaded.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    np.testing.assert_allclose(logged(loaded)["attention"], expected, rtol=1e-5)


def test_maps_must_keep_the_size_that_parameters_are_for() -> None:
    loss = AttentionDistillation(variant="projected", layers=[(3, 1)])
    made = distiller(loss, run_eagerly=True)
    logged(made)
    zeros = [keras.ops.zeros((4, 4)), keras.ops.zeros(4)]
    loss.learned = {"attention_1 <- attention_3": zeros}
    with pytest.raises(ValueError, match=r"attention_1 <- attention_3.*\[4, 4\].*\[36, 36\]"):
        logged(made)
    loss.learned = {}
    with pytest.raises(ValueError, match="no parameters for this pair"):
        logged(made)
