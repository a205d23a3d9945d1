"""Softened outputs and labels: the definition, its gradient, and what padding must not do."""

import math
from importlib import import_module
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from amad_core.training.output_losses import (
    output_loss,
    output_loss_and_grad,
    task_loss,
    task_loss_and_grad,
)
from tests.support.agreement import assert_agrees
from tests.support.frameworks import ADAPTERS, FRAMEWORKS
from tests.support.training_port import Port, training_port

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])
TEMPERATURES = st.sampled_from([0.5, 1.0, 4.0])
GARBAGE = (0.0, np.nan, np.inf, -np.inf, 1e30)


class Outputs(NamedTuple):
    """Logits, which tokens count, and labels, ignored where they do not."""

    teacher: np.ndarray
    student: np.ndarray
    mask: np.ndarray
    labels: np.ndarray


@st.composite
def outputs(draw: st.DrawFn, garbage: bool = True) -> Outputs:
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    tokens = (draw(st.integers(1, 3)),)
    if draw(st.booleans()):
        tokens += (draw(st.integers(1, 4)),)
    classes = draw(st.integers(2, 5))
    scale = draw(st.sampled_from([0.0, 1.0, 30.0]))
    teacher, student = scale * random.standard_normal((2, *tokens, classes))
    if draw(st.booleans()):
        teacher = student.copy()
    mask = random.random(tokens) < draw(st.sampled_from([0.0, 0.6, 1.0]))
    labels = np.where(mask, random.integers(0, classes, tokens), -100)
    if garbage:
        teacher[~mask], student[~mask] = (draw(st.sampled_from(GARBAGE)) for _ in range(2))
    return Outputs(teacher, student, mask, labels)


def size_of(wanted: np.ndarray) -> float:
    return 1 + float(np.abs(wanted).max(initial=0))


@given(outputs=outputs(), temperature=TEMPERATURES, reduction=REDUCTIONS)
def test_output_loss_of_the_adapters_is_the_specification(
    port: Port, outputs: Outputs, temperature: float, reduction: str
) -> None:
    teacher, student, mask, _ = outputs
    options = {"temperature": temperature, "reduction": reduction}
    wanted, gradient = output_loss_and_grad(teacher=teacher, student=student, mask=mask, **options)
    found = port.call("output_loss", teacher=teacher, student=student, mask=mask, **options)
    assert_agrees(found, wanted, within=1e-12, size=size_of(wanted))
    if port.name != "spec":
        converted = {"teacher": port.array(teacher), "mask": port.array(mask)}

        def total(logits: Any) -> Any:
            return port.functions.output_loss(student=logits, **converted, **options)

        assert_agrees(port.gradient(total, student), gradient, within=1e-12, size=size_of(gradient))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_teacher_gets_no_gradient(adapter: str) -> None:
    """Though it is the student too: the whole gradient of equal logits is that of the student."""
    port = training_port(adapter)
    logits = np.random.default_rng(0).standard_normal((2, 3, 4))

    def total(argument: Any) -> Any:
        return port.functions.output_loss(teacher=2 * argument, student=argument)

    wanted = output_loss_and_grad(teacher=2 * logits, student=logits)[1]
    assert_agrees(port.gradient(total, logits), wanted, within=1e-14)


@given(outputs=outputs(), reduction=REDUCTIONS)
def test_task_loss_of_the_adapters_is_the_specification(
    port: Port, outputs: Outputs, reduction: str
) -> None:
    _, student, _, labels = outputs
    wanted, gradient = task_loss_and_grad(student=student, labels=labels, reduction=reduction)
    found = port.call("task_loss", student=student, labels=labels, reduction=reduction)
    assert_agrees(found, wanted, within=1e-12, size=size_of(wanted))
    if port.name != "spec":

        def total(logits: Any) -> Any:
            return port.functions.task_loss(
                student=logits, labels=port.array(labels), reduction=reduction
            )

        assert_agrees(port.gradient(total, student), gradient, within=1e-12, size=size_of(gradient))


@given(outputs=outputs(), temperature=TEMPERATURES)
def test_the_specification_is_the_definition_at_50_digits(
    outputs: Outputs, temperature: float
) -> None:
    teacher, student, mask, labels = outputs
    divergence, entropy = mpmath.mpf(0), mpmath.mpf(0)
    with mpmath.workdps(50):
        for token in np.ndindex(mask.shape):
            if mask[token]:
                p, q = (
                    softmax_at_50_digits(logits[token], temperature)
                    for logits in (teacher, student)
                )
                divergence += mpmath.fsum(a * mpmath.log(a / b) for a, b in zip(p, q, strict=True))
                entropy -= mpmath.log(softmax_at_50_digits(student[token], 1.0)[labels[token]])
        number = max(int(mask.sum()), 1)
        wanted = [float(temperature**2 * divergence / number), float(entropy / number)]
    found = [
        output_loss(teacher=teacher, student=student, mask=mask, temperature=temperature),
        task_loss(student=student, labels=labels),
    ]
    assert_agrees(found, wanted, within=1e-13)


def softmax_at_50_digits(logits: np.ndarray, temperature: float) -> list[Any]:
    powers = [mpmath.exp(mpmath.mpf(float(logit)) / temperature) for logit in logits]
    return [power / mpmath.fsum(powers) for power in powers]


@given(outputs=outputs(garbage=False), temperature=TEMPERATURES)
def test_the_closed_form_gradients_are_the_differences(
    outputs: Outputs, temperature: float
) -> None:
    teacher, student, mask, labels = outputs
    step = 1e-5 * (1 + np.abs(student))
    for function, arguments in (
        (output_loss_and_grad, {"teacher": teacher, "mask": mask, "temperature": temperature}),
        (task_loss_and_grad, {"labels": labels}),
    ):
        gradient = function(student=student, **arguments)[1]
        for cell in np.ndindex(student.shape):
            change = np.zeros_like(student)
            change[cell] = step[cell]
            above, below = (
                function(student=student + sign * change, **arguments)[0] for sign in (1, -1)
            )
            assert_agrees((above - below) / (2 * step[cell]), gradient[cell], within=1e-5)


@given(outputs=outputs(), more=st.integers(1, 3), temperature=TEMPERATURES)
def test_padding_changes_nothing(
    port: Port, outputs: Outputs, more: int, temperature: float
) -> None:
    """The mean is over the tokens that count: the longer a batch is padded, the same the loss."""
    assume(outputs.mask.ndim == 2)
    after = [(0, 0), (0, more)]
    teacher, student = (
        np.pad(logits, [*after, (0, 0)], constant_values=np.nan) for logits in outputs[:2]
    )
    mask, labels = np.pad(outputs.mask, after), np.pad(outputs.labels, after, constant_values=-100)
    for function, short, long in (
        (
            "output_loss",
            {"teacher": outputs.teacher, "mask": outputs.mask, "temperature": temperature},
            {"teacher": teacher, "mask": mask, "temperature": temperature},
        ),
        ("task_loss", {"labels": outputs.labels}, {"labels": labels}),
    ):
        wanted = port.call(function, student=outputs.student, **short)
        assert_agrees(
            port.call(function, student=student, **long), wanted, within=1e-14, size=size_of(wanted)
        )


def test_the_mean_is_over_tokens_and_not_over_samples(port: Port) -> None:
    """By hand: log 2 for each of three tokens of one sample, 0 for the one of the other."""
    even, sure = [0.0, 0.0], [200.0, -200.0]
    student = np.array([[even, even, even], [sure, even, even]])
    labels = np.array([[0, 1, 0], [0, -100, -100]])
    assert_agrees(
        port.call("task_loss", student=student, labels=labels), 3 * math.log(2) / 4, within=1e-15
    )
    teacher = np.array([[sure, sure, sure], [sure, sure, sure]])
    found = port.call("output_loss", teacher=teacher, student=student, mask=labels != -100)
    assert_agrees(found, 3 * math.log(2) / 4, within=1e-15)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_temperature_squared(port: Port, temperature: float) -> None:
    """By hand: logits τ log 3 and 0 against even ones are 3/4, 1/4 against a half each."""
    teacher = np.array([[temperature * math.log(3), 0.0]])
    wanted = temperature**2 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    found = port.call(
        "output_loss", teacher=teacher, student=np.zeros((1, 2)), temperature=temperature
    )
    assert_agrees(found, wanted, within=1e-14)


def test_nothing_that_counts_is_zero(port: Port) -> None:
    """Not 0/0; with gradient 0, which the property tests above draw too."""
    logits = np.full((2, 3, 4), np.nan)
    mask = np.zeros((2, 3), bool)
    assert port.call("output_loss", teacher=logits, student=logits, mask=mask) == 0
    assert port.call("task_loss", student=logits, labels=np.full((2, 3), -100)) == 0


def test_another_ignore_index(port: Port) -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = port.call("task_loss", student=logits, labels=np.array([0, 1]), ignore_index=1)
    assert_agrees(found, math.log(1 + math.exp(-1)), within=1e-15)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_logits_are_summed_in_float32(port: Port, dtype: str) -> None:
    """Against the float64 specification on the same rounded logits: 30 000 classes, 1e-6."""
    if port.name == "spec":
        pytest.skip("the specification computes in float64")
    random = np.random.default_rng(2)
    teacher, student = (
        port.array(5 * random.standard_normal((2, 30_000)), dtype) for _ in range(2)
    )
    labels = np.array([7, 29_999])
    rounded = [FRAMEWORKS[port.name].array(logits) for logits in (teacher, student)]
    for found, wanted in (
        (
            port.functions.output_loss(teacher=teacher, student=student, temperature=2.0),
            output_loss(teacher=rounded[0], student=rounded[1], temperature=2.0),
        ),
        (
            port.functions.task_loss(student=student, labels=port.array(labels)),
            task_loss(student=rounded[1], labels=labels),
        ),
    ):
        assert "float32" in str(found.dtype)
        assert_agrees(float(found), wanted, within=1e-6)


LOGITS = np.zeros((2, 3, 4))
LABELS = np.zeros((2, 3), int)
BAD_LOGITS = np.where(np.arange(4) == 1, np.nan, LOGITS)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"teacher": LOGITS[..., 1:]}, ValueError, r"\[2, 3, 3\] and \[2, 3, 4\].*classes"),
        ({"teacher": LOGITS[:1]}, ValueError, r"one shape; got \[1, 3, 4\] and \[2, 3, 4\]$"),
        ({"teacher": LOGITS[None]}, ValueError, "teacher must be logits .* got shape"),
        ({"teacher": LOGITS.astype(int)}, TypeError, "teacher must hold real floating-point"),
        ({"teacher": BAD_LOGITS}, ValueError, "teacher must be finite where it counts; got"),
        ({"student": BAD_LOGITS}, ValueError, "student must be finite where it counts; got"),
        ({"student": np.inf + LOGITS}, ValueError, "student must be finite where it counts"),
        ({"mask": LABELS}, TypeError, "mask must be boolean, true where a token counts"),
        ({"mask": LABELS[:, :2] == 0}, ValueError, r"mask must have .*\[2, 3\]; got \[2, 2\]"),
        ({"temperature": 0.0}, ValueError, "temperature must be finite and greater than 0"),
        ({"temperature": True}, TypeError, "temperature must be a real number"),
        ({"reduction": "batchmean"}, ValueError, "reduction must be one of"),
    ],
)
def test_output_loss_refuses(
    port: Port, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        port.call("output_loss", **({"teacher": LOGITS, "student": LOGITS} | arguments))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"labels": LABELS + 4}, ValueError, "labels must be from 0 to 3, or -100.*got 4"),
        ({"labels": LABELS - 1}, ValueError, "labels must be from 0 to 3, or -100.*got -1"),
        ({"labels": LABELS + 0.0}, TypeError, "labels must be integers"),
        ({"labels": LABELS == 0}, TypeError, "labels must be integers"),
        ({"labels": LABELS[:, :2]}, ValueError, r"labels must have the shape.*got \[2, 2\]"),
        ({"student": LOGITS[..., :1]}, ValueError, "student must have at least 2 classes"),
        ({"student": LOGITS[..., :0]}, ValueError, "student must not have an empty axis"),
        ({"student": LOGITS[0, 0]}, ValueError, r"student must be logits.*got shape \[4\]"),
        ({"student": BAD_LOGITS}, ValueError, "student must be finite where it counts"),
        ({"ignore_index": 1.5}, TypeError, "ignore_index must be an integer; got 1.5"),
        ({"reduction": None}, TypeError, "reduction must be a string"),
    ],
)
def test_task_loss_refuses(
    port: Port, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        port.call("task_loss", **({"student": LOGITS, "labels": LABELS} | arguments))


@pytest.mark.parametrize("temperature", [1.0, 3.0, 1e-300, 1e300])
@pytest.mark.parametrize("package", ["amad_core", "amad_torch"])
def test_samples_of_one_token_are_those_of_the_peer(package: str, temperature: float) -> None:
    """``logits_kl`` averages over the tokens of a sample: of one token, both names are one loss."""
    logits = np.random.default_rng(4).standard_normal((2, 5, 7)) * 10
    library, peers = import_module(package), import_module(f"{package}.peers")
    make = np.asarray if package == "amad_core" else import_module("torch").tensor
    call = {"teacher": make(logits[0]), "student": make(logits[1]), "temperature": temperature}
    found = library.output_loss(**call, reduction="none")
    assert np.isfinite(np.asarray(found)).all()
    assert_agrees(found, peers.logits_kl(**call, reduction="none"), within=0)
