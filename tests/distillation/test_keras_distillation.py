"""AttentionDistillation inside the stock keras.distillation.Distiller."""

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.xdist_group("tensorflow")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from amad_keras.matching import Selection, matched_layers  # noqa: E402
from amad_tensorflow import (  # noqa: E402
    AttentionDistillation,
    LinearRamp,
    amad_layers_loss,
    amad_loss,
    capture_attention,
    cell_mask,
)
from amad_tensorflow.peers import METHODS, distillation_loss  # noqa: E402

Distiller = keras.distillation.Distiller
X = np.random.default_rng(0).standard_normal((8, 6, 8)).astype("float32")
Y = np.arange(8) % 3
IDS = np.array([[5, 9, 4, 3, 0, 0], [2, 8, 7, 1, 6, 3]] * 4, "int32")


def model(heads: int, layers: int, seed: int, *, tokens: bool = False) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,), dtype="int32") if tokens else keras.Input((6, 8))
    hidden = keras.layers.Embedding(10, 8, mask_zero=True)(inputs) if tokens else inputs
    for index in range(layers):
        attention = keras.layers.MultiHeadAttention(
            heads, 4, name=f"attention_{index}",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.5, seed=seed + index),
        )  # fmt: skip
        attended = attention(hidden, hidden)
        hidden = keras.layers.LayerNormalization()(keras.layers.Add()([hidden, attended]))
    outputs = keras.layers.Dense(3, dtype="float32")(keras.layers.GlobalAveragePooling1D()(hidden))
    return keras.Model(inputs, outputs)


def distiller(*losses: Any, tokens: bool = False, weight: float = 0.5, **compiled: Any) -> Any:
    made = Distiller(
        teacher=model(4, 4, 1, tokens=tokens),
        student=model(2, 2, 2, tokens=tokens),
        distillation_losses=list(losses),
        student_loss_weight=weight,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"optimizer": keras.optimizers.SGD(0.1), "run_eagerly": True} | compiled
    made.compile(loss=loss, **options)
    return made


def logged(made: Any, x: Any = X) -> dict[str, float]:
    return made.evaluate(x, Y, batch_size=8, verbose=0, return_dict=True)


def test_the_loss_is_that_of_the_captured_layers() -> None:
    logits = keras.distillation.LogitsDistillation(
        temperature=2.0, loss=keras.losses.KLDivergence()
    )
    made = distiller(logits, AttentionDistillation(variant="kl", temperature=0.1, weight=3.0))
    log = logged(made)
    with capture_attention(made.teacher) as teacher, capture_attention(made.student) as student:
        outputs = [one(X, training=False) for one in (made.teacher, made.student)]
    expected = amad_layers_loss(
        teacher=teacher.maps(), student=student.maps(), variant="kl", temperature=0.1
    ).total
    np.testing.assert_allclose(log["attention"], expected, rtol=1e-5)
    others = float(logits.compute_loss(*outputs))
    np.testing.assert_allclose(log["distillation_loss"], others + 3 * expected, rtol=1e-5)
    total = 0.5 * log["student_loss"] + 0.5 * log["distillation_loss"]
    np.testing.assert_allclose(log["loss"], total, rtol=1e-5)


@pytest.mark.thin(3)
@pytest.mark.parametrize("how", [{"jit_compile": True}, {"jit_compile": False}, {}])
def test_graphs_and_xla_train_as_eager_code_does(how: dict[str, bool]) -> None:
    trained = []
    for options in ({}, {"run_eagerly": False} | how):
        made = distiller(AttentionDistillation(variant="kl", temperature=0.1), **options)
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
        history = made.fit(data, epochs=2, verbose=0).history
        assert history["attention"][1] < history["attention"][0]
        trained.append([*made.student.get_weights(), history["attention"]])
        if not options.get("run_eagerly", True):
            assert made.predict(X, verbose=0).shape == (8, 3)
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_padding_does_not_count() -> None:
    made = distiller(AttentionDistillation(variant="kl", layers="last"), tokens=True)
    with capture_attention(made.teacher) as teacher, capture_attention(made.student) as student:
        made.teacher(IDS), made.student(IDS)
    pairs = zip(teacher.maps()[-2:], student.maps(), strict=True)
    mask = cell_mask(tokens=tf.constant(IDS > 0))
    expected = sum(amad_loss(teacher=t, student=s, variant="kl", mask=mask) for t, s in pairs)
    np.testing.assert_allclose(logged(made, IDS)["attention"], expected, rtol=1e-5)


def test_layers_are_chosen_by_names_and_globs() -> None:
    chosen = AttentionDistillation(
        variant="mse", teacher_layers=["attention_3", "attention_0"], student_layers="attention_*"
    )
    made = distiller(chosen)
    with capture_attention(made.teacher) as teacher, capture_attention(made.student) as student:
        made.teacher(X), made.student(X)
    pairs = [("attention_3", "attention_0"), ("attention_0", "attention_1")]
    expected = sum(amad_loss(teacher=teacher[t].maps, student=student[s].maps) for t, s in pairs)
    np.testing.assert_allclose(logged(made)["attention"], expected, rtol=1e-5)
    wrong = distiller(AttentionDistillation(teacher_layers="attention_9"))
    with pytest.raises(ValueError, match=r"teacher_layers.*'attention_9'.*'attention_0'"):
        logged(wrong)


def layers(*names: str) -> list[Any]:
    return [
        SimpleNamespace(path=name, kind="cross" if "cross" in name else "self") for name in names
    ]


def test_pairs_are_within_kinds_and_parts() -> None:
    teacher = layers(
        "encoder_0", "encoder_1", "decoder_0/self", "decoder_0/cross", "decoder_1/self",
        "decoder_1/cross", "decoder_2/self", "decoder_2/cross", "decoder_3/self", "decoder_3/cross",
    )  # fmt: skip
    student = layers(
        "encoder_0", "encoder_1", "decoder_0/self", "decoder_0/cross", "decoder_1/self",
        "decoder_1/cross",
    )  # fmt: skip
    both = ("self", "cross")
    pairs = matched_layers(teacher, student, Selection("uniform", None, None, both))
    assert {pair.name for pair in pairs} == {
        "encoder_0 <- encoder_0", "encoder_1 <- encoder_1", "decoder_0/self <- decoder_1/self",
        "decoder_1/self <- decoder_3/self", "decoder_0/cross <- decoder_1/cross",
        "decoder_1/cross <- decoder_3/cross",
    }  # fmt: skip
    with pytest.raises(ValueError, match="one part and one kind"):
        matched_layers(teacher, student, Selection(((0, 0),), None, None, both))
    (pair,) = matched_layers(teacher, student, Selection(((-1, 0),), None, None, ("cross",)))
    assert pair.name == "decoder_0/cross <- decoder_3/cross"
    with pytest.raises(ValueError, match=r"in common.*'encoder_0' \(self\)"):
        matched_layers(teacher, layers("encoder_0"), Selection("last", None, None, ("cross",)))


EQUAL_HEADS = (
    "one_to_one_mse", "one_to_one_kl", "tinybert_scores", "minilm_attention",
    "minilm_value_relation",
)  # fmt: skip


@pytest.mark.thin(4)
@pytest.mark.parametrize("method", [name for name in METHODS if name != "logits_kl"])
def test_every_method_that_attention_feeds_trains_the_student(method: str) -> None:
    own = {"relation_heads": 2} if method == "minilmv2_relation" else {}
    loss = AttentionDistillation(method=method, options=own, layers="last")
    heads = 2 if method in EQUAL_HEADS else 4
    made = Distiller(
        teacher=model(heads, 2, 1, tokens=True),
        student=model(2, 1, 2, tokens=True),
        distillation_losses=[loss],
        student_loss_weight=0.0,
    )
    made.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse", run_eagerly=True)
    with tf.GradientTape() as tape:
        value = made.compute_loss(IDS, None, made(IDS, training=True))
    assert np.isfinite(value)
    assert value > 0
    sources = (made.student.trainable_weights, loss.trainable_weights)
    students, own_ones = tape.gradient(value, sources)
    assert len(own_ones) == (2 if METHODS[method].learned else 0)
    gradients = [tf.convert_to_tensor(one) for one in students if one is not None]
    assert any(np.any(one) for one in gradients)
    assert all(np.isfinite(one).all() for one in gradients)
    assert all(np.any(one) for one in own_ones)


def test_values_are_compared_as_by_hand() -> None:
    """Over real tokens only, with the teacher's output projection."""
    squeezed = AttentionDistillation(method="squeezing_heads", layers="last", name="squeezed")
    related = AttentionDistillation(
        method="minilmv2_relation", layers=[(3, 1)], name="related",
        options={"relation_heads": 4, "vectors": ["values"]},
    )  # fmt: skip
    made = distiller(squeezed, related, tokens=True)
    log = logged(made, IDS)
    with capture_attention(made.teacher) as teacher, capture_attention(made.student) as student:
        made.teacher(IDS), made.student(IDS)
    mask = cell_mask(tokens=tf.constant(IDS > 0))
    pairs = list(zip(teacher.layers()[-2:], student.layers(), strict=True))
    expected = [
        distillation_loss(
            name="squeezing_heads", teacher=t.maps, student=s.maps, mask=mask,
            teacher_values=t.head_outputs,
        )
        for t, s in pairs
    ]  # fmt: skip
    np.testing.assert_allclose(log["squeezed"], sum(expected), rtol=1e-5)
    of_values = distillation_loss(
        name="minilmv2_relation", teacher=pairs[-1][0].values, student=pairs[-1][1].values,
        mask=mask, relation_heads=4,
    )  # fmt: skip
    np.testing.assert_allclose(log["related"], of_values, rtol=1e-5)


def test_each_form_of_the_loss_can_be_asked_for() -> None:
    losses = [
        AttentionDistillation(variant="kl", implementation=form, name=form)
        for form in ("plain", "fused")
    ]
    log = logged(distiller(*losses, run_eagerly=False))
    np.testing.assert_allclose(log["plain"], log["fused"], rtol=1e-5)
    assert losses[0].get_config()["implementation"] == "plain"


class Subclassed(keras.Model):
    """Nothing is built before it is called."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(heads, 4)
        self.answers = keras.layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.answers(keras.ops.mean(self.attention(x, x), axis=1))


@pytest.mark.parametrize("method", ["amad_kl", "align_to_distill"])
def test_a_teacher_that_is_built_later_is_frozen_all_the_same(method: str) -> None:
    logits = keras.distillation.LogitsDistillation(loss="mse")
    made = Distiller(
        teacher=Subclassed(4),
        student=Subclassed(2),
        distillation_losses=[logits, AttentionDistillation(method=method)],
    )
    made.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    made.fit(X, Y, verbose=0)
    before = made.teacher.get_weights(), made.student.get_weights()
    made.fit(X, Y, verbose=0)
    for one, other in zip(before[0], made.teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(before[1][0], made.student.get_weights()[0])
    trained = len(made.student.weights) + (2 if method == "align_to_distill" else 0)
    assert len(made.trainable_weights) == trained


def test_a_ramp_follows_the_optimizer() -> None:
    ramp = LinearRamp(start=0.0, end=1.0, first_step=0, last_step=2)
    made = distiller(AttentionDistillation(weight=ramp), run_eagerly=False)
    shares = []
    for _ in range(3):
        log = logged(made)
        shares.append(log["distillation_loss"] / log["attention"])
        made.fit(X, Y, batch_size=8, verbose=0)
    np.testing.assert_allclose(shares, [0.0, 0.5, 1.0], rtol=1e-5)


@pytest.mark.thin(4)
@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"jit_compile": True}])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_float32_but_for_its_rounding(policy: str, how: dict[str, bool]) -> None:
    graph = {"run_eagerly": False, "jit_compile": False}
    before = keras.config.dtype_policy()
    histories = []
    for chosen, options in ((before, {}), (policy, graph | how)):
        keras.config.set_dtype_policy(chosen)
        try:
            made = distiller(AttentionDistillation(variant="kl", temperature=0.1), **options)
            history = made.fit(X, Y, epochs=3, batch_size=8, verbose=0).history
        finally:
            keras.config.set_dtype_policy(before)
        scaled = isinstance(made.optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (chosen == "mixed_float16")
        histories.append(history["attention"])
    assert histories[0][2] < 0.9 * histories[0][0]
    np.testing.assert_allclose(histories[1], histories[0], rtol=3e-3)


def test_two_distillers_at_once_beside_features() -> None:
    features = keras.distillation.FeatureDistillation(
        loss="mse", teacher_layer_name="attention_3", student_layer_name="attention_1"
    )
    one = distiller(features, AttentionDistillation(variant="kl"))
    other = distiller(AttentionDistillation(variant="mse"))
    plain = distiller(features)
    expected = [logged(made) for made in (one, other)]
    assert "attention" not in logged(plain)
    assert [logged(made)["attention"] for made in (one, other)] == [
        log["attention"] for log in expected
    ]
    np.testing.assert_allclose(
        expected[0]["distillation_loss"],
        expected[0]["attention"] + logged(plain)["distillation_loss"],
        rtol=1e-5,
    )
    with capture_attention(one.teacher) as teacher, capture_attention(one.student) as student:
        one.teacher(X), one.student(X)
    value = amad_layers_loss(teacher=teacher.maps(), student=student.maps(), variant="kl").total
    np.testing.assert_allclose(expected[0]["attention"], value, rtol=1e-5)


def test_classes_and_models_are_as_they_were_also_after_an_exception() -> None:
    gc.collect()
    before = (Distiller.call, Distiller.compute_loss, Distiller.compile)
    attributes = None
    for layers in ("uniform", [(9, 0)]):
        made = distiller(AttentionDistillation(layers=layers))
        attributes = [set(vars(one)) for one in made.student._flatten_layers()]
        assert Distiller.call is not before[0]
        if layers == "uniform":
            logged(made)
        else:
            with pytest.raises(ValueError, match="layer"):
                logged(made)
        student = made.student
        assert attributes == [set(vars(one)) for one in student._flatten_layers()]
        del made
        gc.collect()
        assert (Distiller.call, Distiller.compute_loss, Distiller.compile) == before
    student(X)


def test_config_and_files_round_trip(tmp_path: Path) -> None:
    loss = AttentionDistillation(
        variant="js",
        temperature=0.2,
        layers=[(3, 1)],
        kinds="self",
        teacher_layers=["attention_*"],
        weight=LinearRamp(start=0.5, end=1.0, first_step=0, last_step=9),
        options={"eps": 1e-6},
        name="js",
    )
    again = AttentionDistillation.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    assert (again.weight, again.selection) == (loss.weight, loss.selection)
    made = distiller(loss)
    expected = logged(made)["js"]
    made.save(tmp_path / "distiller.keras")
    made.student.save(tmp_path / "student.keras")
    student = keras.saving.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(student(X), made.student(X))
    with pytest.warns(UserWarning, match="compile"):  # Keras's own, of every Distiller
        loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    loaded.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", run_eagerly=True)
    np.testing.assert_allclose(logged(loaded)["js"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"variant": "kl", "method": "amad_kl"}, ValueError, "variant or method; got both"),
        ({"variant": "cosine"}, ValueError, "amad_cosine"),
        ({"method": "logits_kl"}, ValueError, "LogitsDistillation"),
        ({"implementation": "fast"}, ValueError, "implementation"),
        ({"method": "mean_head_kl", "implementation": "plain"}, ValueError, "of AMAD's loss"),
        ({"variant": "projected", "implementation": "fused"}, ValueError, "no closed form"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"layers": "middle"}, ValueError, "layers"),
        ({"kinds": "both"}, ValueError, "kinds"),
        ({"kinds": []}, ValueError, "kinds"),
        ({"teacher_layers": []}, ValueError, "teacher_layers"),
        ({"weight": -1.0}, ValueError, "weight"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        AttentionDistillation(**options)


def test_a_distiller_that_would_skip_the_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="student_loss_weight must be below 1"):
        distiller(AttentionDistillation(), weight=1.0)


def test_two_losses_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'attention' twice"):
        distiller(AttentionDistillation(kinds="self"), AttentionDistillation(kinds="cross"))


def test_a_model_without_attention_is_refused() -> None:
    inputs = keras.Input((6, 8))
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(inputs))
    made = Distiller(
        teacher=keras.Model(inputs, outputs),
        student=model(2, 1, 1),
        distillation_losses=AttentionDistillation(),
    )
    made.compile(loss=keras.losses.SparseCategoricalCrossentropy(True), run_eagerly=True)
    with pytest.raises((RuntimeError, ValueError), match=r"teacher.*none"):
        logged(made)


def test_by_itself_the_loss_sees_nothing_and_says_so() -> None:
    with pytest.raises(RuntimeError, match="one of the distillation_losses"):
        AttentionDistillation().compute_loss(X, X)
    made = distiller(AttentionDistillation())
    with pytest.raises(ValueError, match="y_pred must be what this Distiller returned"):
        made.compute_loss(X, Y, tf.zeros((8, 3)))
