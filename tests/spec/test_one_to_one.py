"""The one-to-one reduction: for orthogonal heads AMAD tends to one-to-one distillation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core import alignment_weights, amad_loss
from amad_core.attention.inputs import FloatArray
from amad_core.conformance.strategies import GENTLE_SCALES, amad_inputs, attention_maps
from tests.support.agreement import assert_agrees

HEADS = st.integers(1, 4)
TEMPERATURES = st.floats(0.02, 10)


def apart(maps: FloatArray) -> FloatArray:
    """The same heads without a common cell: head h holds block h of ``H`` blocks of keys."""
    batch, heads, queries, keys = maps.shape
    spread = np.zeros((batch, heads, queries, heads, keys))
    for head in range(heads):
        spread[:, head, :, head] = maps[:, head]
    return spread.reshape(batch, heads, queries, heads * keys)


def own_weight(heads: int, temperature: float) -> float:
    """``a_ii = e^(1/τ) / (e^(1/τ) + H - 1)``, divided by ``e^(1/τ)``."""
    return float(1 / (1 + (heads - 1) * np.exp(-1 / temperature)))


@given(maps=attention_maps(heads=HEADS), temperature=TEMPERATURES)
def test_weights_of_orthogonal_heads(maps: FloatArray, temperature: float) -> None:
    heads = maps.shape[1]
    own = own_weight(heads, temperature)
    other = (1 - own) / max(heads - 1, 1)
    wanted = np.where(np.eye(heads, dtype=bool), own, other)
    maps = apart(maps)
    found = alignment_weights(teacher=maps, student=maps, temperature=temperature)
    assert_agrees(found, np.broadcast_to(wanted, found.shape), within=1e-13)


@given(maps=attention_maps(heads=HEADS), temperature=TEMPERATURES)
def test_mse_of_orthogonal_heads(maps: FloatArray, temperature: float) -> None:
    # maths.md: mse = H((1-a)² + (1-a)²/(H-1)), at every temperature
    heads = maps.shape[1]
    rest = 1 - own_weight(heads, temperature)
    wanted = heads * (rest**2 + rest**2 / max(heads - 1, 1))
    maps = apart(maps)
    assert_agrees(
        amad_loss(teacher=maps, student=maps, temperature=temperature), wanted, within=1e-12
    )


@given(maps=attention_maps(heads=HEADS), temperature=TEMPERATURES)
def test_divergences_of_orthogonal_heads(maps: FloatArray, temperature: float) -> None:
    # On its own support a head's mixture is a·p, elsewhere there is mass 1-a:
    # KL = -log a;  JS = ½(-log((1+a)/2) + a log(2a/(1+a)) + (1-a) log 2).
    heads, queries = maps.shape[1:3]
    own = own_weight(heads, temperature)
    kl = -np.log(own)
    js = (-np.log((1 + own) / 2) + own * np.log(2 * own / (1 + own)) + (1 - own) * np.log(2)) / 2
    maps = apart(maps)
    for variant, wanted in (
        ("kl", heads * kl),
        ("token", queries * heads * kl),
        ("js", heads * js),
    ):
        found = amad_loss(teacher=maps, student=maps, variant=variant, temperature=temperature)
        assert_agrees(found, wanted, within=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 0.2, 0.1, 0.05, 0.02, 1e-300])
@given(
    inputs=amad_inputs(student_heads=4, teacher_heads=4, matching_supports=True),
    order=st.permutations(range(4)),
)
def test_limit_is_the_one_to_one_loss(inputs, order, temperature: float) -> None:
    """Students on the teachers' supports, in another order, holding something else there."""
    teacher, student = apart(inputs.teacher), apart(inputs.student)
    partner = np.argsort(order)  # teacher head i is explained by student head partner[i]
    cosines = np.einsum("bhqk,bhqk->bh", unit(teacher, 2), unit(student, 2))
    shuffled = student[:, order]

    weights = alignment_weights(teacher=teacher, student=shuffled, temperature=temperature)
    own = weights[:, np.arange(4), partner]
    with np.errstate(under="ignore"):
        bound = 3 * np.exp(-cosines / temperature)
    assert (1 - own <= bound + 1e-15).all()

    one_to_one = np.sum((unit(teacher, 2) - unit(student, 2)) ** 2, axis=(2, 3))
    found = amad_loss(teacher=teacher, student=shuffled, temperature=temperature, reduction="none")
    # |t-m|² - |t-s|² <= |m-s| (|t-m| + |t-s|) <= 2(1-a) · 2√2
    assert (abs(found - one_to_one.sum(1)) <= (4 * 2**0.5 * (1 - own)).sum(1) + 1e-12).all()


@given(inputs=amad_inputs(), temperature=st.floats(1e-3, 2))
def test_cosine_gap_bounds_what_the_best_head_does_not_get(inputs, temperature: float) -> None:
    teacher, student = unit(inputs.teacher, 2), unit(inputs.student, 2)
    cosines = np.einsum("biqk,bjqk->bij", teacher, student)
    ranked = np.sort(cosines, axis=-1)
    heads = ranked.shape[-1]
    gap = ranked[..., -1] - ranked[..., -2] if heads > 1 else np.inf
    weights = alignment_weights(
        teacher=inputs.teacher, student=inputs.student, temperature=temperature
    )
    bound = (heads - 1) * np.exp(-gap / temperature)
    assert (1 - weights.max(axis=-1) <= bound + 1e-12 / temperature).all()


@given(maps=attention_maps(heads=4, scales=GENTLE_SCALES), order=st.permutations(range(4)))
def test_cold_weights_are_the_permutation(maps: FloatArray, order: list[int]) -> None:
    maps = apart(maps)
    found = alignment_weights(teacher=maps, student=maps[:, order], temperature=1e-3)
    wanted = np.eye(4)[:, order]  # student head j is teacher head order[j]
    assert_agrees(found, np.broadcast_to(wanted, found.shape), within=1e-15)


def test_identical_heads_are_no_zero_of_the_loss() -> None:
    # By hand: 4 disjoint heads, a = e/(e+3), mse = 4(1-a)²(1 + 1/3) = 1.468 (maths.md).
    maps = apart(np.ones((1, 4, 1, 1)))
    assert_agrees(amad_loss(teacher=maps, student=maps), 1.468, within=5e-4)


def unit(maps: FloatArray, order: int) -> FloatArray:
    """Heads of norm 1, by another road than the specification's."""
    vectors = maps.reshape(*maps.shape[:2], -1)
    vectors = vectors / vectors.max(axis=-1, keepdims=True)
    norms = np.linalg.norm(vectors, ord=order, axis=-1, keepdims=True)
    return (vectors / norms).reshape(maps.shape)
