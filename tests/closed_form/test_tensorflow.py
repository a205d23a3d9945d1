"""TensorFlow's closed form: the readable form beside it, near maps, what is asked for, refusals."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from amad_core import amad_loss as specification
from amad_core import amad_loss_and_grad as specification_and_gradient
from amad_core.conformance.strategies import AmadInputs, amad_inputs
from tests.support.adapter_calls import assert_agrees_with_specification
from tests.support.agreement import assert_agrees
from tests.support.frameworks import TENSORFLOW
from tests.support.variants import UNPROJECTED

tf = pytest.importorskip("tensorflow")
pytestmark = TENSORFLOW

FEW = settings(max_examples=max(settings.default.max_examples // 4, 1))


def drawn(seed: int, causal: bool = False) -> dict[str, np.ndarray]:
    """Batch, heads, queries and keys: all different."""
    generator = np.random.default_rng(seed)
    sizes = {"teacher": (3, 5, 11, 13), "student": (3, 4, 11, 13)}
    maps = {name: np.exp(2 * generator.standard_normal(size)) for name, size in sizes.items()}
    if causal:
        maps = {name: np.tril(one, k=2) for name, one in maps.items()}
    return {name: one / one.sum(axis=-1, keepdims=True) for name, one in maps.items()}


@pytest.mark.parametrize("variant", UNPROJECTED)
@FEW
@given(inputs=amad_inputs(masked=True, empty_rows=True, scales=(1.0, 8.0, 2.0**-900)))
def test_the_readable_form(variant: str, inputs: AmadInputs) -> None:
    """The closed form is held by all other tests of the adapter, as it is taken by itself."""
    from amad_tensorflow import amad_loss

    plain = partial(amad_loss, variant=variant, implementation="plain")
    assert_agrees_with_specification(
        "tensorflow", "float64", function=plain, **inputs._asdict(), variant=variant
    )


@pytest.mark.thin(3)
@pytest.mark.parametrize("variant", UNPROJECTED)
@pytest.mark.parametrize("kind", ["dense", "causal", "masked"])
def test_maps_of_a_hundred_cells(kind: str, variant: str) -> None:
    inputs: dict[str, Any] = drawn(1, causal=kind == "causal")
    if kind == "masked":
        inputs["mask"] = np.random.default_rng(2).random((3, 11, 13)) < 0.7
        inputs["mask"][1] = False  # a sample without a cell that counts
    options = {"variant": variant, "temperature": 0.3, "reduction": "none"}
    for dtype in ("float64", "float32", "bfloat16"):
        assert_agrees_with_specification("tensorflow", dtype, **inputs, **options)


@pytest.mark.thin(2)
@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4, 0.0])
def test_near_maps_keep_their_digits(distance: float) -> None:
    """A squared distance of 1e-8 from products of size 1 would have none left in float32."""
    from amad_tensorflow import amad_loss

    generator = np.random.default_rng(3)
    head = generator.dirichlet(np.ones(13), size=(3, 1, 11)).astype(np.float32)
    noise = generator.uniform(-1, 1, (3, 5, 11, 13)).astype(np.float32)
    near = head * (1 + np.float32(distance) * noise)
    near[2] = generator.dirichlet(np.ones(13), size=(5, 11))  # one sample that is not near
    student = np.repeat(head, 4, axis=1)
    options: dict[str, Any] = {"reduction": "none", "temperature": 0.05}
    found = amad_loss(teacher=tf.constant(near), student=tf.constant(student), **options).numpy()
    wanted = specification(
        teacher=near.astype(np.float64), student=student.astype(np.float64), **options
    )
    # Of each cell a rounding of its head is left, so of a distance d about u/d.
    relative = np.abs(found - wanted) / np.maximum(wanted, 1e-13)
    assert (relative <= np.minimum(1e-5 + 4e-7 / max(distance, 1e-7), 2)).all()
    assert (found >= 0).all()


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from amad_tensorflow import amad_layers_loss, amad_loss
    from amad_tensorflow.attention import loss

    taken: list[str] = []
    for form in ("closed_form_losses", "sample_losses"):
        original = getattr(loss, form)
        monkeypatch.setattr(
            loss,
            form,
            lambda *a, form=form, original=original: (taken.append(form), original(*a))[1],
        )
    maps = drawn(10)
    calls = {
        "auto": "closed_form_losses",
        "fused": "closed_form_losses",
        "plain": "sample_losses",
    }
    values = [amad_loss(**maps, implementation=form) for form in calls]
    values += [
        amad_layers_loss(**{name: [one] for name, one in maps.items()}, implementation=form).total
        for form in calls
    ]
    assert taken == 2 * list(calls.values())
    for value in values:
        assert_agrees(value.numpy(), values[0].numpy(), within=1e-13)
    taken.clear()
    amad_loss(**maps, variant="kl", eps=0.0)
    amad_loss(**maps, variant="kl", eps=2.0)
    amad_loss(**maps, variant="mse", eps=2.0)
    assert taken == ["sample_losses", "sample_losses", "closed_form_losses"]


def test_what_cannot_be_had_is_refused() -> None:
    from amad_tensorflow import amad_loss

    maps = drawn(10)
    with pytest.raises(ValueError, match="implementation must be one of 'auto', 'plain', 'fused'"):
        amad_loss(**maps, implementation="fast")
    with pytest.raises(ValueError, match="with the variant 'projected', which has no closed form"):
        amad_loss(**maps, variant="projected", implementation="fused")


def test_a_third_derivative_is_that_of_the_readable_form() -> None:
    from amad_tensorflow import amad_loss

    maps = {name: tf.constant(one[:1, :, :2, :3]) for name, one in drawn(11).items()}
    found = []
    for form in ("fused", "plain"):
        value = tf.constant(maps["student"])
        with tf.GradientTape() as third:
            third.watch(value)
            with tf.GradientTape() as second:
                second.watch(value)
                with tf.GradientTape() as first:
                    first.watch(value)
                    loss = amad_loss(
                        teacher=maps["teacher"], student=value, variant="kl", implementation=form
                    )
                slope = tf.reduce_sum(first.gradient(loss, value) ** 2)
            curvature = tf.reduce_sum(second.gradient(slope, value) ** 2)
        found.append(third.gradient(curvature, value).numpy())
    size = np.abs(found[1]).max()
    assert size > 0
    assert_agrees(found[0] / size, found[1] / size, within=1e-9)


@pytest.mark.thin(4)
@pytest.mark.parametrize(
    ("variant", "rows"), [*((variant, 99) for variant in UNPROJECTED), ("token", 33)]
)
def test_eager_calls_graphs_and_xla_agree(
    variant: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows at a time, dense and causal; cells that meet a floor, and heads of no weight."""
    from amad_tensorflow import amad_loss
    from amad_tensorflow.closed_form import heads

    monkeypatch.setattr(heads, "FEW_IN_ALL", 0)
    monkeypatch.setattr(heads, "BLOCK", 4 * 117 * rows)
    for causal in (False, True):
        maps = {
            name: tf.constant(np.repeat(one, 9, axis=2).repeat(9, axis=3))
            for name, one in drawn(5, causal=causal).items()
        }
        assert maps["teacher"][0, 0].shape.num_elements() > heads.FEW_CELLS
        assert heads.blocks_of_rows(maps["student"]) == 99 // rows
        if causal:
            maps["teacher"] *= tf.constant([1.0, 1e-200, 0.0, 1.0, 1.0], tf.float64)[:, None, None]

        def run(teacher: Any, student: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(student)
                loss = amad_loss(teacher=teacher, student=student, variant=variant)
            return loss, tape.gradient(loss, student)

        found = [run(**maps)]
        found += [tf.function(run, jit_compile=xla)(**maps) for xla in (False, True)]
        wanted = specification_and_gradient(
            teacher=maps["teacher"].numpy(), student=maps["student"].numpy(), variant=variant,
            eps=np.finfo(np.float64).tiny,
        )  # fmt: skip
        for loss, gradient in found:
            assert_agrees(loss.numpy(), wanted[0], within=1e-12)
            size = np.abs(wanted[1]).max()
            assert_agrees(gradient.numpy() / size, wanted[1] / size, within=1e-12)


def test_eager_calls_trace_once_for_all_shapes_and_temperatures() -> None:
    from amad_tensorflow import amad_loss
    from amad_tensorflow.closed_form.traced import _passes

    generator = np.random.default_rng(4)
    before = None
    for size in (3, 4, 5):
        maps = generator.dirichlet(np.ones(size), size=(size, 5, 4))
        amad_loss(teacher=maps[:, :3], student=maps[:, 3:], temperature=1 / size, variant="js")
        before = before or _passes.cache_info().currsize
    assert _passes.cache_info().currsize == before
    both = _passes("js", True, tf.float64)
    assert max(one.experimental_get_tracing_count() for one in both) == 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("xla", [False, True])
def test_long_sums_are_taken_in_parts(
    known: bool, xla: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In four parts of which the last is not full; of a length that the graph knows, or not."""
    from amad_tensorflow.closed_form import sums

    monkeypatch.setattr(sums, "LONG", 4)
    generator = np.random.default_rng(7)
    one, other = (generator.standard_normal((3, heads, 13)) for heads in (5, 4))
    shapes = [list(heads.shape) if known else [3, None, None] for heads in (one, other)]
    run = tf.function(
        sums.products_of,
        input_signature=[tf.TensorSpec(shape, tf.float64) for shape in shapes],
        jit_compile=xla,
    )
    for cells in (13, 4, 3):
        if not known or cells == 13:
            found = run(one[..., :cells], other[..., :cells])
            expected = one[..., :cells] @ other[..., :cells].swapaxes(1, 2)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_long_sums_keep_their_digits() -> None:
    """TensorFlow's own product of so many cells is 1e-4 off."""
    from amad_tensorflow.closed_form.sums import LONG, products_of

    heads = np.random.default_rng(8).random((3, 4 * LONG)).astype(np.float32)
    found = products_of(tf.constant(heads), tf.constant(heads)).numpy()
    expected = heads.astype(np.float64) @ heads.astype(np.float64).T
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_persistent_tape_can_be_asked_twice() -> None:
    from amad_tensorflow import amad_loss

    maps = {name: tf.constant(one) for name, one in drawn(6).items()}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps["student"])
        losses = amad_loss(**maps, variant="kl", reduction="none")
        doubled = 2 * losses
    first, second = (tape.gradient(one, maps["student"]).numpy() for one in (losses, doubled))
    np.testing.assert_array_equal(second, 2 * first)
