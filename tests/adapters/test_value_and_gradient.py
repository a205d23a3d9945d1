"""Both adapters against the specification: value and gradient, every variant and dtype."""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core import VARIANTS, alignment_weights, amad_loss
from amad_core.conformance.strategies import (
    EXTREME_SCALES,
    GENTLE_SCALES,
    AmadInputs,
    amad_inputs,
)
from tests.support.adapter_calls import FORMS, assert_agrees_with_specification, call
from tests.support.agreement import assert_agrees
from tests.support.frameworks import ADAPTERS, FRAMEWORKS, tensors_of
from tests.support.variants import ALL, UNPROJECTED, arguments

LARGEST = settings.default.max_examples
HALF, QUARTER = (settings(max_examples=max(LARGEST // part, 1)) for part in (2, 4))
TEMPERATURES = st.sampled_from([1.0, 0.5, 2.0, 0.1, 100.0])
REDUCTIONS = st.sampled_from(["mean", "none", "sum"])

# Gradients, of size 1/scale, stay normal numbers: TensorFlow flushes subnormal ones to 0.
SCALES = {
    "float64": (1.0, 0.125, 8.0, 2.0**-500, 2.0**500, 2.0**900, 2.0**-900),
    "float32": (1.0, 0.125, 8.0, 2.0**-60, 2.0**60, 2.0**-100, 2.0**100),
    "bfloat16": (1.0, 0.125, 8.0, 2.0**-60, 2.0**60, 2.0**-100, 2.0**100),
    "float16": GENTLE_SCALES,
}


def nasty(dtype: str, **options: Any) -> st.SearchStrategy[AmadInputs]:
    return amad_inputs(masked=True, empty_rows=True, scales=SCALES[dtype], **options)


@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("variant", ALL)
@HALF
@given(inputs=nasty("float64"), temperature=TEMPERATURES, reduction=REDUCTIONS)
def test_float64(
    variant: str, adapter: str, inputs: AmadInputs, temperature: float, reduction: str
) -> None:
    options = arguments(variant, inputs.student, temperature=temperature, reduction=reduction)
    assert_agrees_with_specification(adapter, "float64", **inputs._asdict(), **options)


@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("variant", ["kl", "token", "projected"])
@pytest.mark.parametrize("eps", [5e-324, 1e-50, 1e-40, 1e300])
def test_a_floor_that_float32_cannot_hold(eps: float, variant: str, adapter: str) -> None:
    """Its logarithm can: no student head has what the teacher has in the first column."""
    teacher, student = np.full((2, 3, 2, 4), 0.25), np.full((2, 2, 2, 4), 1 / 3)
    student[..., 0] = 0.0
    options = arguments(variant, student)
    if variant == "projected":
        options |= {"weight": np.eye(8), "bias": np.zeros(8)}
    options |= {"teacher": teacher, "student": student, "eps": eps}
    assert np.isfinite(amad_loss(**options))
    assert_agrees_with_specification(adapter, "float32", **options)


@pytest.mark.thin(2)
@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@HALF
@given(data=st.data(), variant=st.sampled_from(ALL), temperature=TEMPERATURES)
def test_other_dtypes(
    dtype: str, adapter: str, data: st.DataObject, variant: str, temperature: float
) -> None:
    """A half-precision map gives what float32 arithmetic gives for the same, rounded map."""
    inputs = data.draw(nasty(dtype))
    options = arguments(variant, inputs.student, temperature=temperature)
    assert_agrees_with_specification(adapter, dtype, **inputs._asdict(), **options)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["weight", "bias"])
@QUARTER
@given(inputs=nasty("float64"), temperature=TEMPERATURES)
def test_gradient_of_the_projection(
    name: str, adapter: str, inputs: AmadInputs, temperature: float
) -> None:
    options = arguments("projected", inputs.student, temperature=temperature)
    assert_agrees_with_specification(adapter, "float64", name, **inputs._asdict(), **options)


@pytest.mark.parametrize("adapter", ADAPTERS)
@QUARTER
@given(inputs=nasty("float64"), temperature=TEMPERATURES)
def test_alignment_weights(adapter: str, inputs: AmadInputs, temperature: float) -> None:
    wanted = alignment_weights(**inputs._asdict(), temperature=temperature)
    tensors = tensors_of(FRAMEWORKS[adapter], inputs._asdict(), "float64")
    weights = import_module(f"amad_{adapter}").alignment_weights
    found = weights(**tensors, temperature=temperature).numpy()
    assert_agrees(found, wanted, within=1e-13 * (1 + 1 / temperature))


@pytest.mark.parametrize("adapter", FORMS)
@HALF
@given(
    inputs=amad_inputs(masked=True, scales=EXTREME_SCALES),
    variant=st.sampled_from(ALL),
    temperature=st.sampled_from([1.0, 1e-3, 1e-30, 1e300]),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_nothing_is_ever_nan_or_infinite(
    adapter: str, inputs: AmadInputs, variant: str, temperature: float, dtype: str
) -> None:
    """Subnormal and huge maps, any temperature: loss and gradient are finite numbers."""
    if dtype == "float32":
        most = np.finfo(np.float32).max  # what is too small becomes 0, and a head of zeros
        inputs = inputs._replace(
            teacher=np.minimum(inputs.teacher, most), student=np.minimum(inputs.student, most)
        )
    options = arguments(variant, inputs.student, temperature=temperature)
    loss, gradient = call(adapter, dtype, **inputs._asdict(), **options)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("side", ["teacher", "student"])
@pytest.mark.parametrize("content", [np.nan, np.inf])
@pytest.mark.parametrize("variant", ALL)
def test_nan_is_never_a_number_where_values_are_not_looked_at(
    variant: str, content: float, side: str, adapter: str
) -> None:
    """As on a device: a model that has diverged has a loss of NaN, the sample beside it has not."""
    maps = np.random.default_rng(3).dirichlet(np.ones(4), size=(2, 5, 2))
    inputs = {"teacher": maps[:, :3].copy(), "student": maps[:, 3:].copy()}
    inputs[side][0, 1, 0, 2] = content
    options = arguments(variant, inputs["student"], reduction="none", check_values=False)
    loss, gradient = call(adapter, "float32", **inputs, **options)
    assert np.isnan(loss).tolist() == [True, False]
    assert np.isnan(gradient[0]).any()
    assert np.isfinite(gradient[1]).all()


@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("variant", ALL)
def test_default_floor_is_tiny_and_an_explicit_one_counts(variant: str, adapter: str) -> None:
    """The teacher has mass where the student has none; each floor gives another loss."""
    teacher = np.array([[[[0.5, 0.25, 0.25]]]])
    student = np.array([[[[0.75, 0.25, 0.0]], [[0.5, 0.5, 0.0]]]])
    options = {"teacher": teacher, "student": student, "variant": variant}
    if variant == "projected":
        options |= {"weight": np.eye(3), "bias": np.zeros(3)}
    for dtype in ("float64", "float32"):
        for floor in ({}, {"eps": 1e-3}, {"eps": 1e-12}):
            assert_agrees_with_specification(adapter, dtype, **options, **floor)
    if variant in ("kl", "token", "projected"):
        loss, _ = call(adapter, "float64", **options, eps=0.0)
        assert loss == np.inf


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_divergences_are_one_number_a_head(adapter: str) -> None:
    """Stage by stage as in the specification, not only in the sum over heads."""
    generator = np.random.default_rng(5)
    target, mixture = generator.dirichlet(np.ones(4), size=(2, 2, 3))
    for variant in UNPROJECTED:
        wanted = VARIANTS[variant].divergence.value(target, mixture, 0.0)
        divergence = (
            import_module(f"amad_{adapter}.attention.variants").VARIANTS[variant].divergence
        )
        tensor = FRAMEWORKS[adapter].tensor
        found = divergence(tensor(target), tensor(mixture), 0.0)
        assert_agrees(found.numpy(), wanted, within=1e-13)


@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("variant", ["kl", "token", "js"])
def test_at_the_floor_the_derivative_is_zero(variant: str, adapter: str) -> None:
    """A mixture of exactly ``eps``, as in the specification's hand-worked gradient."""
    maps = {"teacher": np.array([[[[0.5, 0.5]]]]), "student": np.array([[[[0.75, 0.25]]]])}
    assert_agrees_with_specification(adapter, "float64", **maps, variant=variant, eps=0.25)


@pytest.mark.parametrize("adapter", FORMS)
@pytest.mark.parametrize("variant", UNPROJECTED)
def test_causal_maps_of_equal_heads(variant: str, adapter: str) -> None:
    """Exact zeros above the diagonal, every head the same: a zero of the loss."""
    row = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, np.newaxis]
    maps = np.broadcast_to(row, (2, 3, 4, 4)).copy()
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        loss, gradient = call(adapter, dtype, teacher=maps, student=maps[:, :2], variant=variant)
        assert_agrees(loss, 0.0, within=2e-6)
        held = np.where(maps[:, :2] > 0, gradient, 0.0)  # mass where there is none costs something
        assert_agrees(held, np.zeros_like(held), within=2e-3)


@pytest.mark.thin(2)
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("variant", UNPROJECTED)
def test_4096_keys(variant: str, dtype: str, adapter: str) -> None:
    """Long rows: sums of 4096 cells, and of half a million, in half precision."""
    generator = np.random.default_rng(4096)
    logits = generator.standard_normal((1, 3, 32 if variant == "token" else 128, 4096)) * 2
    maps = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert_agrees_with_specification(
        adapter, dtype, teacher=maps[:, :1], student=maps[:, 1:], variant=variant
    )


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_4096_queries_and_keys(adapter: str) -> None:
    """A whole map of 4096 tokens, 17 million cells, in half precision: the value."""
    generator = np.random.default_rng(17)
    maps = np.exp(2 * generator.standard_normal((1, 2, 4096, 4096), dtype=np.float32))
    maps /= maps.sum(axis=-1, keepdims=True)
    framework = FRAMEWORKS[adapter]
    tensors = framework.tensor(maps, "bfloat16")
    given = framework.array(tensors)
    loss = import_module(f"amad_{adapter}").amad_loss
    found = loss(teacher=tensors[:, :1], student=tensors[:, 1:], variant="kl")
    wanted = amad_loss(teacher=given[:, :1], student=given[:, 1:], variant="kl")
    assert_agrees(float(found), wanted, within=1e-6)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_repeated_runs_are_equal_to_the_last_bit(adapter: str) -> None:
    maps = np.random.default_rng(0).dirichlet(np.ones(33), size=(2, 5, 31))
    for variant in UNPROJECTED:
        options = {"teacher": maps[:, :3], "student": maps[:, 3:], "variant": variant}
        first, *others = (call(adapter, "float32", **options) for _ in range(4))
        for other in others:
            assert_agrees(other[0], first[0], within=0)
            assert_agrees(other[1], first[1], within=0)
