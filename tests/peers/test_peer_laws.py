"""What must hold of the peers whatever the numbers: zeros, masks, symmetries, softmax inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core.attention.inputs import FloatArray
from amad_core.peers import METHODS, PEERS, distillation_loss, distillation_loss_and_grad
from tests.peers.peer_cases import (
    EQUAL_HEADS,
    NAMES,
    PeerCase,
    peer_cases,
    seeded_case,
    with_garbage,
)
from tests.support.agreement import assert_agrees

MAPS = tuple(name for name in NAMES if PEERS[name].inputs == "maps")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(data=st.data())
def test_never_negative_never_nan(name: str, data: st.DataObject) -> None:
    case = data.draw(peer_cases(name))
    losses, gradient = distillation_loss_and_grad(**case.arguments(), reduction="none")
    assert (losses >= -1e-15).all()
    assert not np.isnan(gradient).any()


@pytest.mark.parametrize("name", NAMES)
def test_equal_sides_give_zero(name: str) -> None:
    case = seeded_case(name, masked=True)
    if name in ("align_to_distill", "squeezing_heads"):
        heads = case.student.shape[1]
        options = dict(case.options)
        if name == "align_to_distill":
            options = {"weight": np.eye(heads), "bias": np.ones(heads)}
        else:
            options["teacher_values"] = options["teacher_values"][:, :heads]
        case = case._replace(options=options)
    case = case._replace(teacher=case.student)
    loss, gradient = distillation_loss_and_grad(**case.arguments())
    assert_agrees(loss, 0.0, within=1e-15)
    assert_agrees(gradient, np.zeros_like(gradient), within=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_masked_never_matters(name: str) -> None:
    case = seeded_case(name, masked=True)
    hurt = with_garbage(case)
    for argument in ("student", *METHODS[name].learned):
        clean, dirty = (
            distillation_loss_and_grad(
                **given_case.arguments(), reduction="none", with_respect_to=argument
            )
            for given_case in (case, hurt)
        )
        np.testing.assert_array_equal(clean[0], dirty[0])
        np.testing.assert_array_equal(clean[1], dirty[1])


@pytest.mark.parametrize("name", MAPS)
def test_padding_of_any_size_changes_nothing(name: str) -> None:
    case = seeded_case(name, masked=False)
    short = distillation_loss(**case.arguments(), reduction="none")
    widths = ((0, 0), (0, 0), (0, 3), (0, 2))
    teacher, student = (
        np.pad(m, widths, constant_values=7.0) for m in (case.teacher, case.student)
    )
    mask = np.pad(np.ones(case.teacher[:, 0].shape, bool), (widths[0], *widths[2:]))
    options = dict(case.options)
    if "teacher_values" in options:
        options["teacher_values"] = np.pad(
            options["teacher_values"], ((0, 0), (0, 0), (0, 2), (0, 0)), constant_values=np.nan
        )
    padded = PeerCase(name, teacher, student, mask, options)
    assert_agrees(distillation_loss(**padded.arguments(), reduction="none"), short, within=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_independent(name: str) -> None:
    case = seeded_case(name, masked=False)
    together = distillation_loss(**case.arguments(), reduction="none")
    options = {
        key: value[:1] if key == "teacher_values" else value for key, value in case.options.items()
    }
    alone = distillation_loss(
        name=name, teacher=case.teacher[:1], student=case.student[:1], **options
    )
    assert_agrees(together[0], alone, within=1e-14)


@pytest.mark.parametrize("name", [name for name in MAPS if name not in EQUAL_HEADS])
def test_order_of_heads(name: str) -> None:
    """Matched, averaged and learned alignments do not see the order of heads; the rest does."""
    case = seeded_case(name, masked=False)
    order = [2, 0, 1]
    options = dict(case.options)
    if name == "align_to_distill":
        options["weight"] = options["weight"][:, order]
    moved = case._replace(student=case.student[:, order], options=options)
    values = [distillation_loss(**one.arguments()) for one in (case, moved)]
    blind = name.startswith(("mean_head", "best_match", "align_to_distill"))
    assert (abs(values[0] - values[1]) < 1e-14) == blind


def test_extra_heads_have_no_part() -> None:
    case = seeded_case("one_to_one_mse", masked=False)
    assert case.teacher.shape[1] > case.student.shape[1]
    changed = case.teacher.copy()
    changed[:, 3:] = 0.0
    values = [
        distillation_loss(name="one_to_one_mse", teacher=teacher, student=case.student)
        for teacher in (case.teacher, changed)
    ]
    assert values[0] == values[1]
    # The other way round: student heads beyond the teacher's are unused and get no gradient.
    gradient = distillation_loss_and_grad(
        name="one_to_one_mse", teacher=case.student, student=case.teacher
    )[1]
    assert gradient[:, :3].any()
    assert not gradient[:, 3:].any()


def test_best_match_is_no_worse_aligned_than_any_order() -> None:
    case = seeded_case("best_match_mse", masked=False)
    order = np.random.default_rng(3).permutation(3)
    twin = case.student[:, order] + 1e-3  # the student's own heads, shuffled
    matched = distillation_loss(name="best_match_mse", teacher=twin, student=case.student)
    assert_agrees(matched, 1e-6, within=1e-12)


def softmax_chain(scores: FloatArray, upstream: FloatArray) -> FloatArray:
    """A gradient by probabilities taken on to the scores of their softmax."""
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p * (upstream - np.sum(p * upstream, axis=-1, keepdims=True))


def test_dividing_rows_by_their_sum_trains_alike() -> None:
    """On softmax outputs the plain ``-p/q`` of the authors' KL reaches the scores unchanged."""
    scores = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    student = np.exp(scores)
    student /= student.sum(axis=-1, keepdims=True)
    teacher = np.random.default_rng(1).dirichlet(np.ones(5), (2, 3, 4))
    plain = -teacher / student / (3 * 4)
    ours = distillation_loss_and_grad(
        name="one_to_one_kl", teacher=teacher, student=student, reduction="sum"
    )[1]
    assert abs(ours - plain).max() > 0.01  # by a constant a row
    assert_agrees(softmax_chain(scores, ours), softmax_chain(scores, plain), within=1e-14)


def test_bias_of_the_alignment_changes_nothing() -> None:
    case = seeded_case("align_to_distill", masked=True)
    other = {**case.options, "bias": case.options["bias"] + np.arange(5.0)}
    values = [
        distillation_loss(**case._replace(options=options).arguments())
        for options in (case.options, other)
    ]
    assert_agrees(values[0], values[1], within=1e-13)
    assert values[0] > 0


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1e6])
def test_extreme_temperatures_stay_finite(temperature: float) -> None:
    case = seeded_case("logits_kl", masked=False)
    case = case._replace(options={"temperature": temperature})
    loss, gradient = distillation_loss_and_grad(**case.arguments())
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
