"""Values worked by hand; each with its source."""

import math

import numpy as np
import pytest

from amad_core import VARIANTS, alignment_weights, amad_loss, amad_loss_and_grad
from amad_core.attention.divergence import JENSEN_SHANNON_DIVERGENCE, KL_DIVERGENCE, Divergence
from tests.support.agreement import assert_agrees

E = math.e


def maps(*heads: list[list[float]]) -> np.ndarray:
    """One sample of these heads."""
    return np.asarray([heads])


# One query, two keys; the student's heads are the unit vectors, the teacher's is (3, 4)/5 scaled.
TEACHER = maps([[3.0, 4.0]])
STUDENT = maps([[1.0, 0.0]], [[0.0, 1.0]])


def test_weights_by_hand() -> None:
    # Cosines of (3, 4) with the axes are 3/5 and 4/5.
    first = 1 / (1 + math.exp(0.2))
    weights = alignment_weights(teacher=TEACHER, student=STUDENT)
    assert_agrees(weights, [[[first, 1 - first]]], within=1e-15)
    # At temperature 1/5 the exponents are 3 and 4.
    first = 1 / (1 + E)
    weights = alignment_weights(teacher=TEACHER, student=STUDENT, temperature=0.2)
    assert_agrees(weights, [[[first, 1 - first]]], within=1e-15)


def test_losses_by_hand() -> None:
    a, b = 1 / (1 + math.exp(0.2)), 1 / (1 + math.exp(-0.2))
    half = (3 / 7 + a) / 2, (4 / 7 + b) / 2
    wanted = {
        "mse": (3 / 5 - a) ** 2 + (4 / 5 - b) ** 2,
        "kl": 3 / 7 * math.log(3 / 7 / a) + 4 / 7 * math.log(4 / 7 / b),
        "js": (
            3 / 7 * math.log(3 / 7 / half[0])
            + 4 / 7 * math.log(4 / 7 / half[1])
            + a * math.log(a / half[0])
            + b * math.log(b / half[1])
        )
        / 2,
    }
    wanted["token"] = wanted["kl"]
    for variant, value in wanted.items():
        loss = amad_loss(teacher=TEACHER, student=STUDENT, variant=variant)
        assert_agrees(loss, value, within=1e-15)


def test_projected_by_hand() -> None:
    # W (1, 0) + b = (2, -1) + (1, 1) = (3, 0), ReLU closes nothing; W (0, 1) + b = (1, 3) + (1, 1)
    # = (2, 4). Cosines of (3, 4): 3/5 with (3, 0), 22/(5·√20) with (2, 4); unit parts (1, 0) and
    # (1/3, 2/3).
    weight, bias = np.array([[2.0, 1.0], [-1.0, 3.0]]), np.array([1.0, 1.0])
    powers = math.exp(3 / 5), math.exp(22 / (5 * math.sqrt(20)))
    a, b = (power / sum(powers) for power in powers)
    mixture = a + b / 3, 2 * b / 3
    wanted = 3 / 7 * math.log(3 / 7 / mixture[0]) + 4 / 7 * math.log(4 / 7 / mixture[1])
    loss = amad_loss(
        teacher=TEACHER, student=STUDENT, variant="projected", weight=weight, bias=bias
    )
    assert_agrees(loss, wanted, within=1e-15)


def test_projected_relu_by_hand() -> None:
    # W (1, 0) + b = (2, -2) + (1, 1) = (3, -1): ReLU makes it (3, 0). The only head, so the mixture
    # is (1, 0) and the teacher's mass 4/7 on the second cell meets nothing: infinite, or the floor.
    weight, bias = np.array([[2.0, 0.0], [-2.0, 0.0]]), np.array([1.0, 1.0])
    call = {
        "teacher": TEACHER,
        "student": STUDENT[:, :1],
        "variant": "projected",
        "weight": weight,
        "bias": bias,
    }
    assert amad_loss(**call) == np.inf
    wanted = 3 / 7 * math.log(3 / 7) + 4 / 7 * math.log(4 / 7 / 0.01)
    assert_agrees(amad_loss(**call, eps=0.01), wanted, within=1e-15)


def test_token_by_hand() -> None:
    # Two rows. Row 1: the student's heads are the teacher's row and its opposite, cosines 1 and 0.
    # Row 2: both are (½, ½), the mixture whatever the weights; the teacher has (1, 0): KL = log 2.
    teacher = maps([[1.0, 0.0], [1.0, 0.0]])
    student = maps([[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]])
    loss = amad_loss(teacher=teacher, student=student, variant="token")
    assert_agrees(loss, math.log(1 + 1 / E) + math.log(2), within=1e-15)


def test_mask_by_hand() -> None:
    # Without its third cell the teacher is (3, 4), the heads the axes: the loss of above.
    teacher, student = maps([[3.0, 4.0, 9.0]]), maps([[1.0, 0.0, np.nan]], [[0.0, 1.0, -1.0]])
    mask = np.array([True, True, False])
    for variant in ("mse", "kl", "token", "js"):
        assert_agrees(
            amad_loss(teacher=teacher, student=student, mask=mask, variant=variant),
            amad_loss(teacher=TEACHER, student=STUDENT, variant=variant),
            within=0,
        )


def test_heads_of_zeros_by_hand() -> None:
    # A student head of zeros has cosine 0 [D4] and weight ½ beside an orthogonal one; as it adds
    # nothing to the mixture, kl of (0, 1) against ½(0, 1)... is log 2 with cosines 1 and 0 -> a.
    teacher, student = maps([[0.0, 1.0]]), maps([[0.0, 1.0]], [[0.0, 0.0]])
    own = E / (E + 1)
    assert_agrees(
        alignment_weights(teacher=teacher, student=student), [[[own, 1 - own]]], within=1e-15
    )
    for variant, wanted in (
        ("kl", -math.log(own)),
        ("token", -math.log(own)),
        ("mse", (1 - own) ** 2),
        # mixture (0, a): ½ (log(2/(1+a)) + a log(2a/(1+a)))
        ("js", (math.log(2 / (1 + own)) + own * math.log(2 * own / (1 + own))) / 2),
    ):
        assert_agrees(
            amad_loss(teacher=teacher, student=student, variant=variant), wanted, within=1e-15
        )
    # A teacher head of zeros asks for nothing in kl; in mse and js its mixture is the error.
    empty = np.zeros_like(teacher)
    assert amad_loss(teacher=empty, student=student, variant="kl") == 0
    assert_agrees(amad_loss(teacher=empty, student=student, variant="mse"), 0.25, within=1e-15)
    assert_agrees(
        amad_loss(teacher=empty, student=student, variant="js"), math.log(2) / 4, within=1e-15
    )


def test_divergences_are_one_number_a_head() -> None:
    # p = (1, 0) everywhere; heads hold (1, 0), (½, ½), (¼, ¾).
    target = np.broadcast_to([1.0, 0.0], (2, 3, 2))
    mixture = np.broadcast_to([[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]], (2, 3, 2))
    kl = [0.0, math.log(2), math.log(4)]
    for variant, wanted in (("kl", kl), ("token", kl), ("mse", [0.0, 0.5, 2 * 0.75**2])):
        found = VARIANTS[variant].divergence.value(target, mixture, 0.0)
        assert_agrees(found, [wanted, wanted], within=1e-15)
    # js of (1, 0) and (½, ½): ½(log 4/3 + ½ log ⅔ + ½ log 2); symmetric in its arguments.
    wanted = (math.log(4 / 3) + math.log(2 / 3) / 2 + math.log(2) / 2) / 2
    js = VARIANTS["js"].divergence.value
    assert_agrees(js(target, mixture, 0.0)[:, :2], [[0.0, wanted]] * 2, within=1e-15)
    assert_agrees(js(mixture, target, 0.0)[:, :2], [[0.0, wanted]] * 2, within=1e-15)


def test_reductions_by_hand() -> None:
    # The first sample's loss is 0 (one head, equal to the teacher's), the second's log 2.
    teacher = np.array([[[[1.0, 0.0]]], [[[1.0, 0.0]]]])
    student = np.array([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])
    for reduction, wanted in (
        ("none", [0, math.log(2)]),
        ("sum", math.log(2)),
        ("mean", math.log(2) / 2),
    ):
        loss = amad_loss(teacher=teacher, student=student, variant="kl", reduction=reduction)
        assert_agrees(loss, wanted, within=1e-15)
        assert loss.dtype == np.float64


def test_gradient_by_hand() -> None:
    # One head: kl = -Σ p log(s/|s|_1) + ..., derivative 1/|s|_1 - p_k/s_k, with |s|_1 = 3.
    loss, gradient = amad_loss_and_grad(
        teacher=maps([[0.25, 0.75]]), student=maps([[2.0, 1.0]]), variant="kl"
    )
    assert_agrees(loss, 0.25 * math.log(3 / 8) + 0.75 * math.log(9 / 4), within=1e-15)
    assert_agrees(gradient, maps([[1 / 3 - 0.25 / 2, 1 / 3 - 0.75]]), within=1e-15)
    # mse: |t̂ - ŝ|² = 2 - 2 cos, derivative -2 (t̂ - ŝ cos)/|s|_2, here -2 (3/5, 4/5) on (1, 0)·2:
    # (3/5 - 3/5, 4/5)·(-2)/2.
    _, gradient = amad_loss_and_grad(teacher=TEACHER, student=maps([[2.0, 0.0]]), variant="mse")
    assert_agrees(gradient, maps([[0.0, -0.8]]), within=1e-15)
    # js: ½ log(m/h) projected: p = (1, 0), m = (½, ½), h = (¾, ¼): g = ½(log ⅔, log 2), minus its
    # mean under m.
    g = np.array([math.log(2 / 3), math.log(2)]) / 2
    _, gradient = amad_loss_and_grad(
        teacher=maps([[1.0, 0.0]]), student=maps([[0.5, 0.5]]), variant="js"
    )
    assert_agrees(gradient, maps([list(g - g.mean())]), within=1e-15)


def test_infinite_gradient_by_hand() -> None:
    # kl: the teacher has mass where no student head has any: more mass there is infinitely better.
    teacher, student = maps([[0.5, 0.5]]), maps([[1.0, 0.0]])
    loss, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="kl")
    assert loss == np.inf
    assert gradient[0, 0, 0, 1] == -np.inf
    # js is finite there, log(m/h) is not.
    loss, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="js")
    assert_agrees(
        loss, (0.5 * math.log(2 / 3) + 0.5 * math.log(2) + math.log(4 / 3)) / 2, within=1e-15
    )
    assert gradient[0, 0, 0, 1] == -np.inf
    assert np.isfinite(gradient[0, 0, 0, 0])
    # At and below a floor the derivative is 0 [D11]; what is left is the normalisation's.
    _, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="kl", eps=0.1)
    assert_agrees(gradient, maps([[0.0, 0.5]]), within=1e-15)


def test_gradient_at_the_floor_by_hand() -> None:
    # The mixture (¾, ¼) is exactly at the floor ¼ in its second cell. kl: slopes (-½/¾, 0), minus
    # their mean -½ under the mixture: (-⅙, ½).
    teacher, student = maps([[0.5, 0.5]]), maps([[0.75, 0.25]])
    _, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="kl", eps=0.25)
    assert_agrees(gradient, maps([[-1 / 6, 0.5]]), within=1e-15)
    # js: h = (⅝, ⅜), both above the floor; m is at it, so ½(log(m/h) + [m > ¼] - [h > ¼]) is
    # ½ log 6/5 and ½(log ⅔ - 1).
    slopes = np.array([math.log(6 / 5), math.log(2 / 3) - 1]) / 2
    wanted = slopes - (0.75 * slopes[0] + 0.25 * slopes[1])
    _, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="js", eps=0.25)
    assert_agrees(gradient, maps([list(wanted)]), within=1e-15)
    # js with h, too, at the floor ⅜: the second slope is ½(log 1 + 0 - 0) = 0.
    slopes = np.array([math.log(6 / 5), 0.0]) / 2
    wanted = slopes - 0.75 * slopes[0]
    _, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="js", eps=0.375)
    assert_agrees(gradient, maps([list(wanted)]), within=1e-15)


def test_no_infinite_gradient_reaches_a_head_without_weight() -> None:
    # At τ = 1e-3 the second head has weight exp(-1000), 0 in float64: nothing passes to it.
    teacher, student = maps([[1.0, 1.0, 1e-9]]), maps([[1.0, 1.0, 0.0]], [[1e-9, 0.0, 0.0]])
    _, gradient = amad_loss_and_grad(
        teacher=teacher, student=student, variant="kl", temperature=1e-4
    )
    assert gradient[0, 0, 0, 2] == -np.inf
    assert (gradient[0, 1] == 0).all()


@pytest.mark.parametrize(
    ("cell", "at_cell", "elsewhere"),
    [
        # By hand, of (1, s) for small s: the derivatives of -½ log(1/(1+s)) - ½ log(s/(1+s)).
        (1e-307, -0.5e307, 0.5),
        (1e-310, -np.inf, 0.0),  # ½/s is above the largest float64: as if the cell were empty
        (0.0, -np.inf, 0.0),
    ],
)
def test_a_mixture_too_small_for_its_derivative(
    cell: float, at_cell: float, elsewhere: float
) -> None:
    """Decision D19: it counts as empty for the derivative, though not for the value."""
    teacher, student = maps([[0.5, 0.5]]), maps([[1.0, cell]])
    loss, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="kl")
    assert np.isfinite(loss) == (cell > 0)
    assert_agrees(gradient, maps([[elsewhere, at_cell]]), within=1e-15)
    # Any floor that is a normal float64 keeps it finite: 0 below the floor.
    floor = np.finfo(np.float64).tiny
    _, gradient = amad_loss_and_grad(teacher=teacher, student=student, variant="kl", eps=floor)
    assert np.isfinite(gradient).all()
    # Finite derivatives of many teacher heads add up to what is too large, and saturate [D10].
    many = np.repeat(teacher, 64, axis=1)
    _, gradient = amad_loss_and_grad(teacher=many, student=student, variant="kl")
    assert gradient[0, 0, 0, 1] == (-np.finfo(np.float64).max if cell == 1e-307 else -np.inf)


def test_gradient_saturates() -> None:
    # 1/|s| is above the largest float64 for a subnormal head.
    _, gradient = amad_loss_and_grad(
        teacher=TEACHER, student=maps([[5e-324, 5e-324]]), variant="kl"
    )
    most = np.finfo(np.float64).max
    # By hand as above: 1/|s|_1 - p/s; p = (3, 4)/7, |s|_1 = 2 s: (½ - p)/s.
    assert_agrees(gradient, maps([[most, -most]]), within=0)


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_integers_of_a_float_type_and_lists_are_read(variant: str) -> None:
    loss = amad_loss(teacher=TEACHER.tolist(), student=STUDENT.astype(np.float16), variant=variant)
    assert_agrees(loss, amad_loss(teacher=TEACHER, student=STUDENT, variant=variant), within=0)
    assert loss.dtype == np.float64


@pytest.mark.parametrize("divergence", [KL_DIVERGENCE, JENSEN_SHANNON_DIVERGENCE])
@pytest.mark.parametrize("eps", [0.0, 1e-30])
def test_a_cell_empty_on_both_sides_has_derivative_zero(divergence: Divergence, eps: float) -> None:
    # Decision D11; the one-sided derivative of the Jensen-Shannon divergence would be log(2)/2.
    target, mixture = np.array([0.0, 0.4, 0.6]), np.array([0.0, 0.5, 0.5])
    found = divergence.gradient(target, mixture, eps)
    assert found[0] == 0
    assert (found[1:] != 0).all()
