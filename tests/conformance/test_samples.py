"""No sample changes what another gives: ports that mix samples, and ports that do not."""

import pytest

from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks import CHECKS
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.ports.opening import open_port

torch = pytest.importorskip("torch")


def each(teacher, student, mask=None, mixed=lambda weights: weights):
    """One mse loss a sample."""
    if mask is not None:
        teacher, student = (maps.where(mask[:, None], 0.0) for maps in (teacher, student))
    t, s = teacher.detach().flatten(2), student.flatten(2)
    t, s = (maps / maps.norm(dim=2, keepdim=True).clamp_min(1e-30) for maps in (t, s))
    weights = mixed((t @ s.mT).softmax(2))
    return (t - weights @ s).square().sum((1, 2))


def checked(port, **terms):
    return CHECKS["samples"].run(Examinee(open_port(port, framework="torch"), Terms(**terms)))


RIGHT = {
    "mean": lambda teacher, student: each(teacher, student).mean(),
    "sum": lambda teacher, student: each(teacher, student).sum(),
    "none": lambda teacher, student: each(teacher, student),
    "a wrong scale": lambda teacher, student: 1000 * each(teacher, student).mean(),
    "a mask": lambda teacher, student, mask: each(teacher, student, mask).mean(),
}


@pytest.mark.parametrize("name", RIGHT)
def test_independent_samples_pass(name):
    """Also where the scale is wrong: each check tells of one thing."""
    reduction = name if name in ("sum", "none") else "mean"
    result = checked(RIGHT[name], reduction=reduction)
    assert result.status == "passed", result.detail
    assert result.cases == (3 if name == "a mask" else 1)


def averaged(weights):
    return weights.mean(0, keepdim=True).expand_as(weights)


MIXING = {
    "weights averaged": lambda teacher, student: each(teacher, student, mixed=averaged).mean(),
    "neighbours": lambda teacher, student: each(teacher, student.roll(1, 0)).mean(),
    "largest sample": lambda teacher, student: each(teacher, student).amax(),
    "unnamed": lambda teacher, student: each(teacher, student).square().mean().sqrt(),
    "tokens": lambda teacher, student, mask: (
        each(teacher, student, mask).sum() / mask.any(1).sum().clamp_min(1)
    ),
    "samples with cells": lambda teacher, student, mask: (
        each(teacher, student, mask).sum() / mask.any(2).any(1).sum().clamp_min(1)
    ),
}


@pytest.mark.parametrize("name", MIXING)
def test_samples_that_are_mixed_are_found(name):
    result = checked(MIXING[name])
    assert result.status == "failed"
    assert "what a sample contributes depends on the others" in result.detail


def test_gradients_that_are_mixed_are_found():
    def scaled_by_the_batch(*, teacher, student):
        loss = each(teacher, student)
        weights = loss.detach() / loss.detach().mean()
        return (loss * weights).mean() - (loss * weights).mean().detach() + loss.mean().detach()

    result = checked(scaled_by_the_batch)
    assert result.status == "failed"
    assert "gradient of sample 0 changes when the others do" in result.detail


def test_of_one_loss_a_sample_each_is_looked_at():
    result = checked(
        lambda teacher, student: each(teacher, student, mixed=averaged), reduction="none"
    )
    assert result.status == "failed"


def test_randomness_is_no_dependence_on_other_samples():
    result = checked(lambda teacher, student: each(teacher, student).mean() * torch.rand(()))
    assert result.status == "skipped"
    assert "another result each time" in result.detail
