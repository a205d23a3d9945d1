"""Wrong ports fail, and each failure says what is wrong."""

import pytest

from amad_core.conformance import check_port
from tests.support.port_sources import FLOOR, RIGHT_MSE, RIGHT_TORCH_KL, spoilt

NUMPY_MISTAKES = {
    "softmax over teacher heads": ("weights.sum(axis=-1,", "weights.sum(axis=-2,"),
    "mean over heads": (".sum(axis=(1, 2))", ".sum(axis=2).mean(axis=1)"),
    "element mean": (".sum(axis=(1, 2)).mean()", ".mean()"),
    "sum over the batch": (".mean()", ".sum()"),
    "no softmax": ("np.exp(t @ s.swapaxes(-1, -2))", "(t @ s.swapaxes(-1, -2))"),
    "temperature": ("np.exp(t @ s", "np.exp(10 * t @ s"),
    "distance not squared": ("** 2).sum(axis=(1, 2))", "** 2).sum(axis=2) ** 0.5).sum(axis=1)"),
    "constant": ("return ", "return 0 * "),
    "not a number": ("return ", "return np.nan * "),
    "wrong shape": (".sum(axis=(1, 2)).mean()", ".sum(axis=2)"),
    "one head mean": (
        "weights @ s)",
        "weights @ s.mean(axis=1, keepdims=True).repeat(s.shape[1], 1))",
    ),
}


@pytest.mark.parametrize("mistake", NUMPY_MISTAKES)
def test_wrong_numpy_port_fails(port_file, mistake):
    old, new = NUMPY_MISTAKES[mistake]
    source = spoilt(RIGHT_MSE, old, new)
    if mistake == "distance not squared":
        source = source.replace("return ((t", "return (((t")
    report = check_port(port_file(source), isolate=False, max_examples=20)
    assert report.verdict == "wrong"
    assert report.exit_code == 1
    assert report.checks[0].status == "failed"
    assert report.worst is not None
    with pytest.raises(AssertionError, match="WRONG"):
        report.raise_if_failed()


TORCH_MISTAKES = {
    "gradient": ("softmax(-1)", "softmax(-1).detach()"),
    "inputs": ("    t, s =", "    student /= student.sum(-1, keepdim=True) + 0.5\n    t, s ="),
    "mask": ("(m.masked_fill(~mask[:, None], 0) for m", "(m for m"),
    "garbage": ("m.masked_fill(~mask[:, None], 0)", "m * mask[:, None]"),
    "repeat": ("    t, s =", "    student = F.dropout(student, 0.1)\n    t, s ="),
}


@pytest.mark.thin(3)
@pytest.mark.parametrize("check", TORCH_MISTAKES)
def test_mistakes_that_only_one_check_shows(port_file, check):
    """Values without mask are right (but for dropout): the check named is the one that fails."""
    pytest.importorskip("torch")
    source = spoilt(RIGHT_TORCH_KL, *TORCH_MISTAKES[check])
    report = check_port(port_file(source), isolate=False, variant="kl", max_examples=10)
    statuses = {result.name: result.status for result in report.checks}
    assert report.verdict == "wrong"
    assert statuses[check] == "failed", statuses
    if check in ("gradient", "mask", "garbage"):
        assert statuses["value"] == "passed"


ATTACHED = ("teacher = teacher.detach()", "pass")


def test_a_teacher_that_is_not_detached_is_a_note_unless_one_insists(port_file):
    pytest.importorskip("torch")
    target = port_file(spoilt(RIGHT_TORCH_KL, *ATTACHED))
    report = check_port(target, isolate=False, variant="kl", max_examples=3)
    by_name = {check.name: check for check in report.checks}
    assert report.exit_code == 0
    assert by_name["teacher"].status == "decision"
    assert "detach the teacher" in by_name["teacher"].detail
    report = check_port(target, isolate=False, variant="kl", max_examples=3, detached_teacher=True)
    assert [check.name for check in report.failed] == ["teacher"]
    assert [one.name for one in report.explanations] == ["gradient-into-the-teacher"]


def test_a_leak_explains_no_wrong_value(port_file):
    pytest.importorskip("torch")
    source = spoilt(spoilt(RIGHT_TORCH_KL, *ATTACHED), ".mean()", ".sum()")
    for insists in (False, True):
        report = check_port(
            port_file(source),
            isolate=False,
            variant="kl",
            max_examples=3,
            detached_teacher=insists,
        )
        named = " ".join(one.name for one in report.explanations)
        assert "sum-and-mean-over-the-batch-exchanged" in named
        assert ("gradient-into-the-teacher" in named) == insists


HALF_PRECISION_MISTAKES = {
    "a floor below float32": (f".clamp_min({FLOOR})", ".clamp_min(1e-60)", "float32"),
    "a floor below float16": (f".clamp_min({FLOOR})", ".clamp_min(1e-8)", "float16"),
    "a filling beyond float16": (
        "    divergence",
        "    logarithm = logarithm.where(mixture > 0, torch.tensor(-1e9).to(t.dtype))\n"
        "    divergence",
        "float16",
    ),
    "NaN in the gradient alone": (
        "divergence.sum",
        "torch.where(target > 0, target * (target.log() - mixture.clamp_min(1e-8).log()), 0).sum",
        "float16",
    ),
    "squares that overflow": (
        "t, s = teacher.flatten(2), student.flatten(2)",
        "t, s = (m / m.mul(999).square().sum(2, keepdim=True) for m in "
        "(teacher.flatten(2), student.flatten(2)))",
        "float16",
    ),
    "a sum that loses cells": (
        "target = F.normalize(t, p=1, dim=-1)",
        "target = t / sum(t.split(1, dim=2))",
        "float16",
    ),
}


@pytest.mark.parametrize("mistake", HALF_PRECISION_MISTAKES)
def test_mistakes_in_one_precision_alone(port_file, mistake):
    """Exact zeros, values out of range, thousands of cells."""
    pytest.importorskip("torch")
    old, new, dtype = HALF_PRECISION_MISTAKES[mistake]
    source = spoilt(RIGHT_TORCH_KL, old, new)
    report = check_port(port_file(source), isolate=False, variant="kl", mask=False, max_examples=2)
    failed = [check.name for check in report.failed]
    assert dtype in failed
    assert set(failed) <= {"float32", "bfloat16", "float16"}
    if report.worst is not None:
        assert f"dtype={report.worst.asked_in!r}" in report.snippet


def test_changed_inputs_and_randomness_are_explained(port_file):
    pytest.importorskip("torch")
    for check, mistake in (("inputs", "inputs-changed-in-place"), ("repeat", "random-result")):
        source = spoilt(RIGHT_TORCH_KL, *TORCH_MISTAKES[check])
        report = check_port(port_file(source), isolate=False, variant="kl", max_examples=5)
        assert mistake in [explanation.name for explanation in report.explanations]


def test_state_between_calls_is_told_from_randomness(port_file):
    source = RIGHT_MSE.replace("def loss", "calls = []\n\ndef loss").replace(
        "    t, s", "    calls.append(1)\n    t, s"
    )
    source = spoilt(source, ".mean()", ".mean() * min(len(calls), 3)")
    report = check_port(port_file(source), isolate=False, max_examples=5)
    assert "state-kept-between-calls" in [one.name for one in report.explanations]


def test_another_claim_is_suggested(port_file):
    source = spoilt(RIGHT_MSE, ".mean()", ".sum()")
    report = check_port(port_file(source), isolate=False, max_examples=5)
    assert any("--reduction sum" in hint for hint in report.hints)


def test_large_floor_in_the_logarithm_is_a_mistake(port_file):
    pytest.importorskip("torch")
    source = spoilt(
        RIGHT_TORCH_KL,
        f"mixture.clamp_min({FLOOR}).log()",
        "(mixture + 1e-6).log()",
    )
    report = check_port(port_file(source), isolate=False, variant="kl", max_examples=10)
    assert report.verdict == "wrong"


def test_wrong_under_mask_only_with_a_mask_named_otherwise(port_file):
    pytest.importorskip("torch")
    source = spoilt(RIGHT_TORCH_KL, *TORCH_MISTAKES["mask"]).replace("mask", "valid")
    right = check_port(port_file(source), isolate=False, variant="kl", max_examples=5)
    assert right.passed
    wrong = check_port(
        port_file(source), isolate=False, variant="kl", max_examples=5, names={"mask": "valid"}
    )
    assert "mask" in [check.name for check in wrong.failed]


def test_the_smallest_wrong_input_is_small(port_file):
    source = spoilt(RIGHT_MSE, *NUMPY_MISTAKES["mean over heads"])
    report = check_port(port_file(source), isolate=False)
    case = report.worst.case
    assert case.teacher.shape[1] == 2, "one teacher head does not show it, two do"
    assert case.student.size <= 8


TEMPERATURES = {"multiplied": "temperature * (t @ s", "ignored": "(t @ s"}


@pytest.mark.parametrize("mistake", TEMPERATURES)
def test_mistakes_in_the_temperature_show_at_another_one(port_file, mistake):
    """At temperature 1 there is nothing to see."""
    source = spoilt(RIGHT_MSE, "student):", "student, temperature=1.0):")
    source = spoilt(
        source, "(t @ s.swapaxes(-1, -2))", f"({TEMPERATURES[mistake]}.swapaxes(-1, -2)))"
    )
    report = check_port(port_file(source), isolate=False, max_examples=3)
    assert [check.name for check in report.failed] == ["options"]
    assert [one.name for one in report.explanations] == [f"temperature-{mistake}"]


def test_three_mistakes_at_once_are_told_apart(port_file):
    """NaN on a few inputs must not hide the other two."""
    pytest.importorskip("torch")
    source = spoilt(RIGHT_TORCH_KL, ".sum((1, 2)).mean()", ".sum(-1).mean()")
    source = spoilt(source, "softmax(-1)", "softmax(-1).detach()")
    source = spoilt(source, f".clamp_min({FLOOR})", "")
    report = check_port(port_file(source), isolate=False, variant="kl", max_examples=3)
    named = " ".join(explanation.name for explanation in report.explanations)
    for mistake in ("zero-times-log-of-zero", "mean-over-heads", "weights-detached"):
        assert mistake in named
