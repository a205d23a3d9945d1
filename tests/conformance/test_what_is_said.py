"""What is said of wrong ports, as people write them: the mistake by its name, and nothing false."""

import pytest

from amad_core.conformance import check_port
from tests.support.port_sources import RIGHT_MSE, RIGHT_TORCH_KL, spoilt

pytest.importorskip("torch")

RIGHT_TORCH_MSE = """
import torch
import torch.nn.functional as F

SEEN = []

def loss(teacher, student):
    t, s = (maps.flatten(2) for maps in (teacher.detach(), student))
    t, s = F.normalize(t, dim=2), F.normalize(s, dim=2)
    weights = (t @ s.mT).softmax(2)
    total = (t - weights @ s).square().sum((1, 2)).mean()
    return total
"""
RIGHT_NUMPY_GRADIENT = """
from amad_core import amad_loss_and_grad

def loss(teacher, student):
    value, gradient = amad_loss_and_grad(teacher=teacher, student=student)
    return value, gradient
"""
MASKED = "(m.masked_fill(~mask[:, None], 0) for m in (teacher, student))"

NAMED = {
    "norm-over-the-heads": (RIGHT_TORCH_MSE, "dim=2), F.normalize(s, dim=2)", "), F.normalize(s)"),
    "softmax-missing": (RIGHT_TORCH_MSE, ".softmax(2)", ""),
    "student-without-gradient": (RIGHT_TORCH_MSE, "return total", "return total.item()"),
    "student-without-gradient, detached": (
        RIGHT_TORCH_MSE,
        "(teacher.detach(), student)",
        "(teacher.detach(), student.detach())",
    ),
    "student-detached-for-teacher": (
        RIGHT_TORCH_MSE,
        "(teacher.detach(), student)",
        "(teacher, student.detach())",
    ),
    "state-kept-between-calls": (
        RIGHT_TORCH_MSE,
        "return total",
        "SEEN.append(total.item()); return 0.9 * total + 0.1 * sum(SEEN) / len(SEEN)",
    ),
    "random-result": (RIGHT_TORCH_MSE, "return total", "return total + 0.1 * torch.rand(())"),
    "low-precision-arithmetic": (
        spoilt(RIGHT_TORCH_MSE, "return total", "return total.double()"),
        "(teacher.detach(), student))",
        "(teacher.detach().half(), student.half()))",
    ),
    "mask-inverted": (RIGHT_TORCH_KL, "~mask[:, None]", "mask[:, None]"),
    "mask-by-product": (RIGHT_TORCH_KL, "m.masked_fill(~mask[:, None], 0)", "m * mask[:, None]"),
    "mask-on-keys-only": (RIGHT_TORCH_KL, "~mask[:, None]", "~mask.any(1)[:, None, None]"),
    "masked-rows-renormalised": (
        RIGHT_TORCH_KL,
        MASKED,
        MASKED
        + "\n        teacher, student = "
        + "(m / m.sum(-1, keepdim=True).clamp_min(1e-30) for m in (teacher, student))",
    ),
    "plain ratio": (
        RIGHT_NUMPY_GRADIENT,
        "return value, gradient",
        "return value, gradient * len(teacher)",
    ),
}


def examined(port_file, source, old="", new="", **options):
    variant = "kl" if source is RIGHT_TORCH_KL else "mse"
    text = spoilt(source, old, new) if old else source
    return check_port(
        port_file(text), isolate=False, **{"variant": variant, "max_examples": 3, **options}
    )


@pytest.mark.thin(6)
@pytest.mark.parametrize("name", NAMED)
def test_this_mistake_and_no_other_is_named(port_file, name):
    report = examined(port_file, *NAMED[name])
    assert report.verdict == "wrong"
    assert [explanation.name for explanation in report.explanations] == [name.partition(",")[0]]


def test_a_factor_of_the_gradient_is_called_one(port_file):
    report = examined(port_file, *NAMED["plain ratio"])
    assert report.explanations[0].sentence.startswith(
        "Your gradients are the specification's times"
    )
    assert "= B" in report.explanations[0].sentence


@pytest.mark.parametrize("source", [RIGHT_TORCH_MSE, RIGHT_MSE, RIGHT_NUMPY_GRADIENT])
def test_the_ports_are_right_before_they_are_spoilt(port_file, source):
    assert examined(port_file, source).verdict == "right"


SMALL_DEVIATIONS = {
    "entropy of the weights": "total + 0.01 * (weights * weights.log()).sum((1, 2)).mean()",
    "a power of the loss": "total ** 1.01",
    "an offset": "total + 0.003",
}


@pytest.mark.thin(4)
@pytest.mark.parametrize("deviation", SMALL_DEVIATIONS)
def test_a_small_deviation_is_not_called_rounding(port_file, deviation):
    """It is far more than the precision that the port was asked in explains."""
    report = examined(
        port_file, RIGHT_TORCH_MSE, "return total", f"return {SMALL_DEVIATIONS[deviation]}"
    )
    assert report.verdict == "wrong"
    assert "low-precision-arithmetic" not in [one.name for one in report.explanations]


@pytest.mark.thin(7)
@pytest.mark.parametrize(
    "returned", ["total[None, None]", "(t - weights @ s).square().sum(2)", "t[:, 0]"]
)
def test_a_wrong_shape_does_not_break_the_diagnosis(port_file, returned):
    report = examined(port_file, RIGHT_TORCH_MSE, "return total", f"return {returned}")
    assert report.verdict == "wrong"
    assert "shape" in report.failed[0].detail
    assert not [fact for fact in report.facts if "itself failed" in fact]


def test_losses_of_heads_that_the_framework_averages_are_a_mean_over_heads(port_file):
    source = spoilt(
        RIGHT_TORCH_MSE,
        "return total",
        "each = (t - weights @ s).square().sum(2)\n"
        "    return each if reduction == 'none' else getattr(each, reduction)()",
    )
    report = examined(
        port_file, spoilt(source, "(teacher, student):", "(teacher, student, reduction='mean'):")
    )
    assert [explanation.name for explanation in report.explanations] == ["mean-over-heads"]


def test_a_port_that_wants_equally_many_heads_is_told_so(port_file):
    source = spoilt(
        RIGHT_TORCH_MSE, "    weights =", "    assert t.shape == s.shape\n    weights ="
    )
    report = examined(port_file, source)
    expected = "It answers only where teacher and student have equally many heads."
    assert expected in report.facts


def test_a_softmax_over_the_rows_is_not_called_one_over_the_batch(port_file):
    source = spoilt(RIGHT_TORCH_KL, "t, s = teacher.flatten(2), student.flatten(2)",
                    "t, s = teacher.transpose(1, 2), student.transpose(1, 2)")  # fmt: skip
    source = spoilt(
        spoilt(source, ".sum((1, 2)).mean()", ".sum((1, 2, 3)).mean()"), "(-1)\n", "(1)\n"
    )
    report = examined(port_file, source, variant="token")
    assert [one.name for one in report.explanations] == ["softmax-over-the-queries"]


def test_a_floor_of_its_own_hides_no_mistake_that_gives_nan(port_file):
    """Without ReLU the logarithm of a negative mixture is NaN, which a floor hides."""
    source = """
import torch
import torch.nn.functional as F

def loss(teacher, student, weight, bias):
    t = teacher.detach().flatten(2)
    s = F.normalize(student.flatten(2), p=1, dim=2) @ weight.mT + bias
    weights = (F.normalize(t, dim=2) @ F.normalize(s, dim=2).mT).softmax(2)
    target, mixture = t / t.sum(2, keepdim=True), weights @ (s / s.sum(2, keepdim=True))
    terms = torch.xlogy(target, target) - target * mixture.clamp_min(1e-30).log()
    return terms.sum((1, 2)).mean()
"""
    report = examined(port_file, source, variant="projected")
    assert "projection-without-relu" in [one.name for one in report.explanations]


def test_half_precision_that_is_a_little_off_is_wrong_there(port_file):
    """A twentieth is more than rounding after every operation does."""
    source = spoilt(
        RIGHT_TORCH_MSE,
        "return total",
        "return total * (1.05 if student.dtype == torch.bfloat16 else 1)",
    )
    report = examined(port_file, source)
    by_name = {check.name: check for check in report.checks}
    assert by_name["bfloat16"].status == "failed"
    assert by_name["float16"].status == "passed"
