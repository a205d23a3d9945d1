"""AttentionDistillation inside the stock Distiller, whichever backend Keras has.

On TensorFlow here, on the others in processes of their own (``tests/backends``).
"""

import gc
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

BACKEND = keras.config.backend()
pytest.importorskip(BACKEND)
pytestmark = pytest.mark.xdist_group(BACKEND)

from amad_core import amad_loss, cell_mask  # noqa: E402
from amad_core.training.schedule import LinearRamp  # noqa: E402
from amad_keras import AttentionDistillation, capture_attention, inside_distiller  # noqa: E402

Distiller = keras.distillation.Distiller
X = np.random.default_rng(0).standard_normal((8, 6, 8)).astype("float32")
Y = np.arange(8) % 3
IDS = np.array([[5, 9, 4, 3, 0, 0], [2, 8, 7, 1, 6, 3]] * 4, "int32")
PAIRS = ((1, 0), (3, 1))
EAGER = {"run_eagerly": True}


def model(heads: int, layers: int, seed: int, *, dropout: float, tokens: bool) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,), dtype="int32") if tokens else keras.Input((6, 8))
    hidden = keras.layers.Embedding(10, 8, mask_zero=True)(inputs) if tokens else inputs
    for index in range(layers):
        attention = keras.layers.MultiHeadAttention(
            heads, 4, dropout=dropout, name=f"attention_{index}",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.5, seed=seed + index),
        )  # fmt: skip
        attended = attention(hidden, hidden)
        hidden = keras.layers.LayerNormalization()(keras.layers.Add()([hidden, attended]))
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(3)(pooled))


def distiller(
    *losses: Any,
    tokens: bool = False,
    dropout: float = 0.0,
    teacher_dropout: float = 0.0,
    weight: float = 0.5,
    **compiled: Any,
) -> Any:
    made = Distiller(
        teacher=model(4, 4, 1, dropout=teacher_dropout, tokens=tokens),
        student=model(2, 2, 2, dropout=dropout, tokens=tokens),
        distillation_losses=list(losses),
        student_loss_weight=weight,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(loss=loss, **({"optimizer": keras.optimizers.SGD(0.1)} | compiled))
    return made


def logged(made: Any, x: Any = X) -> dict[str, float]:
    return made.evaluate(x, Y, batch_size=8, verbose=0, return_dict=True)


def maps(one: keras.Model, x: Any = X) -> list[Any]:
    with capture_attention(one) as attention:
        one(x, training=False)
    return [keras.ops.convert_to_numpy(found) for found in attention.maps()]


@pytest.mark.parametrize("variant", ["kl", "mse", "token", "js"])
@pytest.mark.thin(4 if BACKEND == "jax" else 2)
def test_the_loss_is_the_specification_of_the_models_maps(variant: str) -> None:
    loss = AttentionDistillation(
        variant=variant, temperature=0.1, weight=3.0, options={"eps": 1e-6}
    )
    made = distiller(loss, weight=0.0, tokens=variant == "token")
    x = IDS if variant == "token" else X
    log = logged(made, x)
    mask = cell_mask(tokens=IDS > 0) if variant == "token" else None
    teacher, student = maps(made.teacher, x), maps(made.student, x)
    options = {"variant": variant, "temperature": 0.1, "eps": 1e-6, "mask": mask}
    expected = sum(amad_loss(teacher=teacher[t], student=student[s], **options) for t, s in PAIRS)
    np.testing.assert_allclose(log["attention"], expected, rtol=1e-4)
    np.testing.assert_allclose(log["loss"], 3 * expected, rtol=1e-4)


def test_the_student_learns_and_the_teacher_stays() -> None:
    made = distiller(AttentionDistillation(variant="kl", temperature=0.1), weight=0.0, dropout=0.2)
    before = [one.get_weights() for one in (made.teacher, made.student)]
    history = made.fit(X, Y, epochs=4, batch_size=4, verbose=0, shuffle=False).history["attention"]
    assert history[-1] < history[0]
    after = [one.get_weights() for one in (made.teacher, made.student)]
    assert all(map(np.array_equal, before[0], after[0]))
    kernels = [
        not np.array_equal(old, new)
        for variable, old, new in zip(made.student.weights, before[1], after[1], strict=True)
        if "attention_" in variable.path and variable.path.endswith(("query/kernel", "key/kernel"))
    ]
    assert len(kernels) == 4
    assert all(kernels)
    assert made.predict(X, verbose=0).shape == (8, 3)


def test_dropout_of_the_teacher_never_enters() -> None:
    losses = []
    for dropout in (0.0, 0.5):
        loss = AttentionDistillation(variant="kl", temperature=0.1)
        made = distiller(loss, teacher_dropout=dropout, jit_compile=False)
        history = made.fit(X, Y, epochs=1, batch_size=4, verbose=0).history
        losses.append(history["distillation_loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.thin(2 if BACKEND == "jax" else 1)
@pytest.mark.parametrize("how", [{"jit_compile": False}, {"jit_compile": True}])
def test_compiled_or_not_it_trains_alike(how: dict[str, bool]) -> None:
    if BACKEND == "torch" and how["jit_compile"]:
        with pytest.raises(ValueError, match="jit_compile must be False or 'auto'"):
            distiller(AttentionDistillation(), **how)
        return
    trained = []
    for options in (EAGER, how):
        made = distiller(AttentionDistillation(variant="kl", temperature=0.1), **options)
        history = made.fit(X, Y, epochs=2, batch_size=4, verbose=0, shuffle=False).history
        trained.append([*made.student.get_weights(), history["attention"]])
    for one, other in zip(*trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_ramp_follows_the_steps() -> None:
    ramp = LinearRamp(start=0.0, end=1.0, first_step=0, last_step=2)
    made = distiller(AttentionDistillation(weight=ramp))
    shares = []
    for _ in range(3):
        log = logged(made)
        shares.append(log["distillation_loss"] / log["attention"])
        made.fit(X, Y, batch_size=8, verbose=0)
    np.testing.assert_allclose(shares, [0.0, 0.5, 1.0], rtol=1e-5)


def test_config_and_files_round_trip(tmp_path: Path) -> None:
    loss = AttentionDistillation(
        variant="js", temperature=0.2, layers=[(3, 1)], kinds="self", options={"eps": 1e-6},
        weight=LinearRamp(start=0.5, end=1.0, first_step=0, last_step=9), name="js",
    )  # fmt: skip
    again = AttentionDistillation.from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    made = distiller(loss, **EAGER)
    expected = logged(made)["js"]
    made.save(tmp_path / "distiller.keras")
    made.student.save(tmp_path / "student.keras")
    student = keras.saving.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(
        student.predict(X, verbose=0), made.student.predict(X, verbose=0), rtol=1e-6
    )
    with pytest.warns(UserWarning, match="compile"):  # Keras's own, of every Distiller
        loaded = keras.saving.load_model(tmp_path / "distiller.keras")
    loaded.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", **EAGER)
    np.testing.assert_allclose(logged(loaded)["js"], expected, rtol=1e-6)


def test_all_is_as_it_was_afterwards_also_after_an_exception() -> None:
    gc.collect()
    before = (Distiller.call, Distiller.compute_loss, Distiller.compile)
    for layers in ("uniform", [(9, 0)]):
        made = distiller(AttentionDistillation(layers=layers))
        attributes = [set(vars(one)) for one in made.student._flatten_layers()]
        if layers == "uniform":
            logged(made)
            made.predict(X, verbose=0)
        else:
            with pytest.raises(ValueError, match="layer"):
                logged(made)
        student = made.student
        kept = [set(vars(one)) - {"predict_function"} for one in student._flatten_layers()]
        assert [one - {"predict_function"} for one in attributes] == kept
        del made
        gc.collect()
        assert (Distiller.call, Distiller.compute_loss, Distiller.compile) == before
        assert not inside_distiller._attention.is_held
    if BACKEND != "jax":  # where Keras leaves a model whose step failed without its weights
        student(X)


def test_other_methods_are_computed_or_refused_with_what_to_do() -> None:
    if BACKEND == "jax":
        with pytest.raises(ValueError, match=r"amad_kl.*on Keras's JAX backend.*KERAS_BACKEND"):
            AttentionDistillation(method="minilmv2_relation")
        with pytest.raises(ValueError, match="got 'amad_projected'"):
            AttentionDistillation(method="amad_projected")
        return
    both = [
        AttentionDistillation(method="mean_head_mse", name="maps"),
        AttentionDistillation(
            method="minilmv2_relation", options={"relation_heads": 2}, name="relation"
        ),
    ]
    made = distiller(*both, tokens=True)
    history = made.fit(IDS, Y, batch_size=8, epochs=2, verbose=0).history
    for name in ("maps", "relation"):
        assert 0 < history[name][1] < history[name][0]
