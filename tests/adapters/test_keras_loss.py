"""``amad_tensorflow.AMADLoss`` as Keras uses losses: configured, saved, compiled, fitted."""

import numpy as np
import pytest

from tests.support.agreement import assert_agrees
from tests.support.frameworks import TENSORFLOW
from tests.support.variants import UNPROJECTED

keras = pytest.importorskip("keras")
pytestmark = TENSORFLOW


def maps(heads: int, batch: int = 4) -> np.ndarray:
    generator = np.random.default_rng(heads)
    return generator.dirichlet(np.ones(5), size=(batch, heads, 3)).astype("float32")


def loss_of(**options):
    from amad_tensorflow import AMADLoss

    return AMADLoss(**options)


def spec(teacher: np.ndarray, student: np.ndarray, **options) -> np.ndarray:
    from amad_core import amad_loss

    return amad_loss(teacher=teacher, student=student, **options)


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_reductions_are_those_of_keras(variant: str) -> None:
    teacher, student = maps(3), maps(2)
    for reduction, ours in (("sum_over_batch_size", "mean"), ("sum", "sum"), (None, "none")):
        found = loss_of(variant=variant, temperature=0.5, reduction=reduction)(teacher, student)
        wanted = spec(teacher, student, variant=variant, temperature=0.5, reduction=ours)
        assert_agrees(found, wanted, within=1e-5)


def test_roles_and_defaults() -> None:
    teacher, student = maps(3), maps(2)
    loss = loss_of()
    assert_agrees(loss(y_true=teacher, y_pred=student), spec(teacher, student), within=1e-5)
    assert loss.name == "amad_loss"


def test_sample_weight() -> None:
    teacher, student = maps(3), maps(2)
    weight = np.array([0.0, 1.0, 2.0, 0.5])
    wanted = np.sum(spec(teacher, student, variant="kl", reduction="none") * weight)
    loss = loss_of(variant="kl", reduction="sum")
    assert_agrees(loss(teacher, student, sample_weight=weight), wanted, within=1e-5)


def test_configuration_round_trip() -> None:
    options = {"variant": "js", "temperature": 0.25, "eps": 1e-4, "reduction": "sum", "name": "x"}
    loss = loss_of(**options, dtype="float64")
    assert {key: loss.get_config()[key] for key in options} == options
    serialised = keras.saving.serialize_keras_object(loss)
    assert serialised["registered_name"] == "amad>AMADLoss"
    teacher, student = maps(3).astype("float64"), maps(2).astype("float64")
    for copy in (
        type(loss).from_config(loss.get_config()),
        keras.saving.deserialize_keras_object(serialised),
        keras.losses.deserialize(keras.losses.serialize(loss)),
    ):
        assert copy.get_config() == loss.get_config()
        assert_agrees(copy(teacher, student), loss(teacher, student), within=0)


def attention_model() -> "keras.Model":
    inputs = keras.Input((5, 8))
    queries = keras.layers.Dense(8)(inputs[:, :3])
    attention = keras.layers.MultiHeadAttention(2, 4)
    _, scores = attention(queries, inputs, return_attention_scores=True)
    return keras.Model(inputs, scores)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_brings_the_student_nearer(jit_compile: bool) -> None:
    keras.utils.set_random_seed(0)
    model = attention_model()
    model.compile(
        optimizer=keras.optimizers.Adam(0.02),
        loss=loss_of(variant="kl", temperature=0.5),
        jit_compile=jit_compile,
    )
    inputs = np.random.default_rng(0).standard_normal((4, 5, 8)).astype("float32")
    history = model.fit(inputs, maps(3), epochs=15, batch_size=4, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]
    found = model.evaluate(inputs, maps(3), verbose=0)
    wanted = spec(maps(3), model.predict(inputs, verbose=0), variant="kl", temperature=0.5)
    assert_agrees(found, wanted, within=1e-5)


def test_a_compiled_model_is_saved_and_loaded(tmp_path) -> None:
    model = attention_model()
    model.compile(optimizer="sgd", loss=loss_of(variant="token", temperature=2.0))
    model.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    assert loaded.loss.get_config() == model.loss.get_config()


def test_mixed_precision_policy() -> None:
    """Half-precision maps of a mixed model: the loss is float32 and trains."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = attention_model()
        model.compile(optimizer=keras.optimizers.Adam(0.02), loss=loss_of(variant="kl"))
        inputs = np.random.default_rng(0).standard_normal((4, 5, 8)).astype("float32")
        assert model(inputs).dtype == "bfloat16"
        history = model.fit(inputs, maps(3), epochs=8, verbose=0).history["loss"]
    finally:
        keras.config.set_dtype_policy("float32")
    assert history[-1] < history[0]
    assert loss_of(variant="kl")(maps(3), model(inputs)).dtype == "float32"


def test_options_are_checked_when_the_loss_is_made() -> None:
    for options in ({"variant": "projected"}, {"temperature": -1.0}, {"eps": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            loss_of(**options)
