"""The learned projection as a module and as a layer: one loss, trained, saved, and bounded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amad_core import amad_loss_and_grad
from tests.support.agreement import assert_agrees
from tests.support.variants import projection

SHAPE = (2, 3, 4)  # batch, queries, keys
CELLS = SHAPE[1] * SHAPE[2]
EPS = 2.0**-20
LEARNED = projection(CELLS)
ABSURD = 577 * 577  # the self-attention of an image of 384 pixels
MESSAGE = rf"cells .* a weight of {4 * ABSURD**2:,} bytes \(the most is 4,294,967,296\)"


def maps(seed: int, heads: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.ones(SHAPE[2]), size=(SHAPE[0], heads, SHAPE[1]))


TEACHER, STUDENT = maps(0, 4), maps(1, 2)
MASK = np.arange(SHAPE[2]) < np.array([[[3]], [[4]]])


def specified(name: str) -> tuple[np.ndarray, np.ndarray]:
    return amad_loss_and_grad(
        teacher=TEACHER,
        student=STUDENT,
        mask=MASK,
        variant="projected",
        eps=EPS,
        with_respect_to=name,
        **LEARNED,
    )


class TestTorch:
    """``amad_torch.AMADLoss(variant="projected", cells=n)``."""

    @pytest.fixture
    def loss(self) -> Any:
        torch = pytest.importorskip("torch")
        from amad_torch import AMADLoss

        loss = AMADLoss(variant="projected", cells=CELLS, eps=EPS).double()
        with torch.no_grad():
            loss.weight.copy_(torch.tensor(LEARNED["weight"]))
            loss.bias.copy_(torch.tensor(LEARNED["bias"]))
        return loss

    def inputs(self) -> dict[str, Any]:
        import torch

        return {
            "teacher": torch.tensor(TEACHER),
            "student": torch.tensor(STUDENT),
            "mask": torch.tensor(MASK),
        }

    def test_value_and_gradients_are_the_specification(self, loss: Any) -> None:
        value = loss(**self.inputs())
        value.backward()
        for name in ("weight", "bias"):
            wanted, gradient = specified(name)
            assert_agrees(value.item(), wanted, within=1e-12)
            assert_agrees(getattr(loss, name).grad, gradient, within=1e-10)

    def test_kl_of_projected_maps_is_the_variant_projected(self, loss: Any) -> None:
        """In value and in the gradient of the weight, the bias, and the student's maps."""
        from amad_torch import AMADProjection, amad_loss

        projection = AMADProjection(cells=CELLS).double()
        projection.load_state_dict(loss.state_dict())
        inputs = self.inputs()
        inputs["student"].requires_grad_()
        projected = projection(inputs["student"], mask=inputs["mask"])
        value = amad_loss(**{**inputs, "student": projected}, variant="kl", eps=EPS)
        value.backward()
        found = {**dict(projection.named_parameters()), "student": inputs["student"]}
        for name in ("weight", "bias", "student"):
            wanted, gradient = specified(name)
            assert_agrees(value.item(), wanted, within=1e-12)
            assert_agrees(found[name].grad, gradient, within=1e-10)
        with pytest.raises(ValueError, match=r"maps must have 4 axes .*; got 3 axes"):
            projection(inputs["student"][0])

    def test_it_begins_as_kl(self) -> None:
        from amad_torch import AMADLoss, amad_loss

        fresh = AMADLoss(variant="projected", cells=CELLS, eps=EPS)(**self.inputs())
        assert_agrees(fresh.item(), amad_loss(**self.inputs(), variant="kl", eps=EPS), within=1e-12)

    def test_it_is_trained_and_saved(self, loss: Any, tmp_path: Path) -> None:
        import torch

        from amad_torch import AMADLoss

        assert {name for name, _ in loss.named_parameters()} == {"weight", "bias"}
        optimizer = torch.optim.SGD(loss.parameters(), lr=0.05)
        before = loss(**self.inputs())
        for _ in range(10):
            optimizer.zero_grad()
            loss(**self.inputs()).backward()
            optimizer.step()
        after = loss(**self.inputs())
        assert after < 0.9 * before
        torch.save(loss.state_dict(), tmp_path / "loss.pt")
        again = AMADLoss(variant="projected", cells=CELLS, eps=EPS).double()
        again.load_state_dict(torch.load(tmp_path / "loss.pt", weights_only=True))
        assert again(**self.inputs()) == after

    def test_too_many_cells_are_refused_in_bytes(self) -> None:
        pytest.importorskip("torch")
        from amad_torch import AMADLoss

        with pytest.raises(ValueError, match=MESSAGE):
            AMADLoss(variant="projected", cells=ABSURD)

    def test_maps_of_other_cells_are_refused(self, loss: Any) -> None:
        shorter = {name: value[..., :2, :] for name, value in self.inputs().items()}
        shorter["mask"] = None
        with pytest.raises(ValueError, match=r"weight must have shape \[8, 8\].*got \[12, 12\]"):
            loss(**shorter)


@pytest.mark.xdist_group("tensorflow")
class TestKeras:
    """``amad_tensorflow.AMADProjection(cells=n)``, a layer from maps to maps."""

    @pytest.fixture
    def layer(self) -> Any:
        pytest.importorskip("tensorflow")
        from amad_tensorflow.keras.projection import AMADProjection

        layer = AMADProjection(cells=CELLS, dtype="float64")
        layer.weight.assign(LEARNED["weight"])
        layer.bias.assign(LEARNED["bias"])
        return layer

    def test_kl_of_its_maps_is_the_variant_projected(self, layer: Any) -> None:
        """In value and in the gradient of the weight, the bias, and the student's maps."""
        import tensorflow as tf

        from amad_tensorflow import amad_loss

        student = tf.constant(STUDENT)
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = amad_loss(
                teacher=TEACHER, student=layer(student, mask=MASK), mask=MASK, variant="kl", eps=EPS
            )
        gradients = tape.gradient(value, [layer.weight.value, layer.bias.value, student])
        for name, found in zip(("weight", "bias", "student"), gradients, strict=True):
            wanted, gradient = specified(name)
            assert_agrees(value, wanted, within=1e-12)
            assert_agrees(found, gradient, within=1e-10)

    def test_its_weights_serve_the_functional_form(self, layer: Any) -> None:
        from amad_tensorflow import amad_loss

        found = amad_loss(
            teacher=TEACHER,
            student=STUDENT,
            mask=MASK,
            variant="projected",
            weight=layer.weight,
            bias=layer.bias,
            eps=EPS,
        )
        assert_agrees(found, specified("weight")[0], within=1e-12)

    def test_it_begins_as_the_identity(self) -> None:
        pytest.importorskip("tensorflow")
        from amad_tensorflow.keras.projection import AMADProjection

        layer = AMADProjection(cells=CELLS)
        found = layer(STUDENT.astype("float32"))
        assert_agrees(found, STUDENT / SHAPE[1], within=1e-6)

    def test_it_is_trained_with_a_tape(self, layer: Any) -> None:
        import keras
        import tensorflow as tf

        from amad_tensorflow import amad_loss

        optimizer = keras.optimizers.SGD(0.05)
        values = []
        for _ in range(10):
            with tf.GradientTape() as tape:
                value = amad_loss(teacher=TEACHER, student=layer(STUDENT), variant="kl", eps=1e-6)
            variables = layer.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
            values.append(float(value))
        assert len(variables) == 2
        assert values[-1] < 0.9 * values[0]

    def test_a_model_with_it_is_saved_and_loaded(self, layer: Any, tmp_path: Path) -> None:
        import keras

        scores = keras.Input((None, *SHAPE[1:]), dtype="float64")
        model = keras.Model(scores, layer(scores))
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras")
        assert_agrees(again(STUDENT), layer(STUDENT), within=0)
        assert again.layers[-1].cells == CELLS

    def test_mixed_precision_projects_in_float32(self) -> None:
        pytest.importorskip("tensorflow")
        from amad_tensorflow.keras.projection import AMADProjection

        layer = AMADProjection(cells=CELLS, dtype="mixed_float16")
        layer.weight.assign(LEARNED["weight"])
        layer.bias.assign(LEARNED["bias"])
        for dtype in ("float16", "float32"):
            found = layer(STUDENT.astype(dtype))
            assert found.dtype == "float32"
            maps = STUDENT.astype(dtype).astype("float64").reshape(2, 2, CELLS)
            unit = maps / maps.sum(axis=-1, keepdims=True)
            wanted = np.maximum(unit @ LEARNED["weight"].T + LEARNED["bias"], 0)
            assert_agrees(found, wanted.reshape(STUDENT.shape), within=1e-6)

    def test_a_mask_that_keras_attached_is_the_mask(self) -> None:
        keras = pytest.importorskip("keras")
        from amad_tensorflow.keras.projection import AMADProjection

        keras.utils.set_random_seed(0)
        tokens = keras.Input((4,), dtype="int32")
        embedded = keras.layers.Embedding(9, 8, mask_zero=True)(tokens)
        attention = keras.layers.MultiHeadAttention(2, 4)
        _, scores = attention(embedded, embedded, return_attention_scores=True)
        layer = AMADProjection(cells=16)
        layer.bias.assign(np.ones(16))
        projected = keras.Model(tokens, layer(scores))(np.array([[1, 2, 3, 0]]))
        real = np.array([True, True, True, False])
        filled = np.asarray(projected) > 0
        assert_agrees(filled, np.broadcast_to(real[:, None] & real, (1, 2, 4, 4)), within=0)

    def test_too_many_cells_are_refused_in_bytes(self) -> None:
        pytest.importorskip("tensorflow")
        from amad_tensorflow.keras.projection import AMADProjection

        with pytest.raises(ValueError, match=MESSAGE):
            AMADProjection(cells=ABSURD)

    def test_maps_of_other_cells_are_refused(self, layer: Any) -> None:
        with pytest.raises(ValueError, match=r"weight must have shape \[8, 8\].*got \[12, 12\]"):
            layer(STUDENT[:, :, :2])
        with pytest.raises(TypeError, match="maps must hold real floating-point numbers"):
            layer(np.ones((1, 1, 3, 4), dtype="int32"))
