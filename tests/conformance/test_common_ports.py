"""Mistakes as people write them: with floors of their own, undetached teachers, raw maps."""

import pytest
import torch
from torch.nn.functional import kl_div, normalize

from amad_core.conformance import check_port


def aligned(teacher, student, axis=-1, detach=True, l1=True):
    """Teacher heads and their mixtures, both as they enter the divergence."""
    teacher = teacher.detach() if detach else teacher
    teacher, student = teacher.flatten(2), student.flatten(2)
    cosine = normalize(teacher, dim=2) @ normalize(student, dim=2).mT
    if l1:
        teacher = teacher / teacher.sum(2, keepdim=True)
        student = student / student.sum(2, keepdim=True)
    return teacher, cosine.softmax(axis) @ student


def kl(target, mixture):
    floor = torch.finfo(mixture.dtype).tiny
    return kl_div(mixture.clamp_min(floor).log(), target, reduction="batchmean")


def reversed_kl(target, mixture, floor):
    ratio = mixture.clamp_min(floor).log() - target.clamp_min(floor).log()
    return (mixture * ratio).sum((1, 2)).mean()


PORTS = {
    "kl-reversed": lambda t, s: reversed_kl(*aligned(t, s), floor=1e-38),
    "kl-reversed + mean-over-heads": (
        lambda t, s: reversed_kl(*aligned(t, s), floor=1e-20) / t.shape[1]
    ),
    "gradient-into-the-teacher": lambda t, s: kl(*aligned(t, s, detach=False)),
    "softmax-over-teacher-heads + gradient-into-the-teacher": (
        lambda t, s: kl(*aligned(t, s, axis=1, detach=False))
    ),
    "normalisation-missing": lambda t, s: kl(*aligned(t, s, l1=False)),
}


@pytest.mark.parametrize("name", PORTS)
def test_the_mistake_is_named(name):
    def port(*, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return PORTS[name](teacher, student)

    report = check_port(port, variant="kl", max_examples=5, detached_teacher=True)
    assert not report.passed
    assert name in [explanation.name for explanation in report.explanations]


def test_the_same_port_without_a_mistake_is_right():
    def port(*, teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return kl(*aligned(teacher, student))

    assert check_port(port, variant="kl", max_examples=5).passed
