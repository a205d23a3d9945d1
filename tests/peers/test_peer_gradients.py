"""The closed-form gradients of the specification against finite differences."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from amad_core.attention.inputs import FloatArray, whole_maps
from amad_core.attention.similarity import cosine_similarity, scaled_to_peak
from amad_core.peers import METHODS, distillation_loss, distillation_loss_and_grad
from tests.peers.peer_cases import NAMES, PeerCase, peer_cases, seeded_case
from tests.support.agreement import assert_agrees

_CUBIC_FREE_STEP = 1e-3


def slope(arguments: dict[str, Any], argument: str, direction: FloatArray) -> FloatArray:
    """Fourth-order central difference of every sample's loss along ``direction``."""

    def at(step: float) -> FloatArray:
        moved = arguments[argument] + step * direction
        return distillation_loss(**{**arguments, argument: moved}, reduction="none")

    h = _CUBIC_FREE_STEP
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def assert_is_the_slope(case: PeerCase, argument: str, seed: int) -> None:
    arguments = case.arguments()
    direction = np.random.default_rng(seed).uniform(-1, 1, arguments[argument].shape)
    direction *= 0.005 if METHODS[case.name].inputs == "maps" else 1.0  # maps stay positive
    loss, gradient = distillation_loss_and_grad(
        **arguments, reduction="sum", with_respect_to=argument
    )
    assert np.isfinite(gradient).all()
    found = np.sum(gradient * direction)
    size = max(1e-3, float(np.abs(gradient * direction).sum()), abs(float(loss)) * 1e-3)
    assert_agrees(found, slope(arguments, argument, direction).sum(), within=2e-6, size=size)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_gradient_is_the_slope(name: str, data: st.DataObject) -> None:
    case = data.draw(peer_cases(name, smooth=True))
    if name.startswith("best_match"):
        assume(_matching_is_stable(case))
    argument = data.draw(st.sampled_from(("student", *METHODS[name].learned)))
    assert_is_the_slope(case, argument, data.draw(st.integers(0, 99)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_is_the_slope_on_dense_input(name: str, masked: bool) -> None:
    case = seeded_case(name, masked=masked)
    for argument in ("student", *METHODS[name].learned):
        assert_is_the_slope(case, argument, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_reductions(name: str) -> None:
    arguments = seeded_case(name, masked=True).arguments()
    gradients = {
        reduction: distillation_loss_and_grad(**arguments, reduction=reduction)[1]
        for reduction in ("none", "sum", "mean")
    }
    np.testing.assert_array_equal(gradients["none"], gradients["sum"])
    assert_agrees(gradients["mean"] * 3, gradients["sum"], within=1e-15)
    assert not gradients["none"][1].any()  # nothing of that sample counts


def test_infinite_value_has_an_infinite_slope() -> None:
    teacher, student = np.array([[[[0.5, 0.5]]]]), np.array([[[[1.0, 0.0]]]])
    for name in ("one_to_one_kl", "mean_head_kl", "best_match_kl", "minilm_attention"):
        loss, gradient = distillation_loss_and_grad(name=name, teacher=teacher, student=student)
        assert loss == np.inf
        assert gradient[0, 0, 0, 1] == -np.inf
        assert np.isfinite(gradient[0, 0, 0, 0])


def _matching_is_stable(case: PeerCase) -> bool:
    """Whether a small step leaves the best assignment the best: the next is 0.05 behind."""
    valid = np.ones(case.teacher[:, 0].shape, bool) if case.mask is None else case.mask
    heads = [
        scaled_to_peak(whole_maps(np.where(valid[:, np.newaxis], maps, 0.0)))
        for maps in (case.teacher, case.student)
    ]
    return all(_gap(cosines) > 0.05 for cosines in cosine_similarity(*heads))


def _gap(cosines: FloatArray) -> float:
    import itertools

    if cosines.shape[0] > cosines.shape[1]:
        cosines = cosines.T
    totals = sorted(
        sum(cosines[i, j] for i, j in enumerate(columns))
        for columns in itertools.permutations(range(cosines.shape[1]), cosines.shape[0])
    )
    return float(totals[-1] - totals[-2]) if len(totals) > 1 else 1.0
