"""What is found out about a port before it is judged: its framework, its precision, its lists."""

import io
import struct

import numpy as np
import pytest

from amad_core.conformance import check_port
from amad_core.conformance.ports.answer import Answer, PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.detection import candidates
from amad_core.conformance.ports.loading import load_function
from amad_core.conformance.ports.opening import open_port, plainest_case
from amad_core.conformance.ports.signature import fit
from amad_core.conformance.ports.wire import MessageError, pack_answer, receive, send, unpack_answer
from tests.support.port_sources import RIGHT_MSE, RIGHT_TORCH_KL, spoilt

WITH_ANOTHER_INSIDE = """
import numpy
import torch  # other functions of this module use it

def loss(teacher, student):
    import {} as inside
    return inside.sum(student)
"""

METHODS_ONLY = """
def loss(teacher, student):
    t, s = teacher.detach().flatten(2), student.flatten(2)
    t, s = (maps / maps.norm(dim=-1, keepdim=True) for maps in (t, s))
    return ((t - (t @ s.mT).softmax(-1) @ s) ** 2).sum((1, 2)).mean()
"""

CONVERTED = """
import importlib

def loss(teacher, student):
    jnp = importlib.import_module("j" + "ax.numpy")
    t, s = (jnp.asarray(maps).reshape(*maps.shape[:2], -1) for maps in (teacher, student))
    t, s = (maps / jnp.linalg.norm(maps, axis=-1, keepdims=True) for maps in (t, s))
    weights = jnp.exp(t @ s.swapaxes(-1, -2))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return ((t - weights @ s) ** 2).sum(axis=(1, 2)).mean()
"""

LISTS = """
import torch
{one}
def loss({arguments}):
    if not student:
        return torch.tensor(0.0)
    return sum(one(t, s) for t, s in zip(teacher, student))
"""

SIZED = """
import torch
{one}
class Loss(torch.nn.Module):
    def __init__(self, num_teacher_heads, student_heads, {more}):
        super().__init__()
        self.heads = num_teacher_heads, student_heads

    def forward(self, student_maps, teacher_maps):
        assert self.heads == (teacher_maps.shape[1], student_maps.shape[1])
        return one(teacher_maps, student_maps)
"""

ONE = RIGHT_TORCH_KL.replace("def loss", "def one")


@pytest.mark.parametrize("framework", ["tensorflow", "jax.numpy"])
def test_framework_imported_inside_the_function_is_found(port_file, framework):
    pytest.importorskip("torch")
    found = candidates(load_function(port_file(WITH_ANOTHER_INSIDE.format(framework))))
    assert next(iter(found)) == framework.partition(".")[0]


def test_port_that_only_calls_methods_is_tried_in_what_is_installed(port_file):
    """Nothing names a framework: NumPy's arrays fail, those of PyTorch work."""
    pytest.importorskip("torch")
    report = check_port(port_file(METHODS_ONLY), max_examples=3)
    report.raise_if_failed()
    assert report.description.framework == "torch"


def test_port_that_answers_with_arrays_of_another_framework_is_one_of_that(port_file):
    """JAX in single precision would make a NumPy port of low precision."""
    pytest.importorskip("jax")
    port = open_port(port_file(CONVERTED))
    assert port.framework.name == "jax"
    assert port.answer(plainest_case(), "float32", gradients=True).grad_student is not None


def test_a_failing_port_is_not_called_again_and_again_in_other_frameworks(port_file):
    """What it raises is no sign of another framework's arrays."""
    source = spoilt(RIGHT_MSE, "    t, s =", "    raise RuntimeError('no luck')\n    t, s =")
    with pytest.raises(PortError, match="no luck"):
        open_port(port_file(source))


def test_port_that_rounds_to_single_precision_is_judged_in_it(port_file):
    source = spoilt(
        RIGHT_MSE,
        "    t, s =",
        "    teacher, student = np.float32(teacher), np.float32(student)\n    t, s =",
    )
    source = spoilt(source, "return (", "return float((").rstrip() + ")\n"
    report = check_port(port_file(source), isolate=False, max_examples=10)
    report.raise_if_failed()
    assert report.description.dtypes[0] == "float32"
    assert "float32 whatever it is given" in report.description.remark


def test_importing_is_told_apart_from_calling(port_file):
    """Each has a limit of its own: a framework may take longer to import than a call."""
    phases = []
    open_port(port_file(RIGHT_MSE), phase=phases.append)
    assert phases[0] == "loading"
    assert phases[-2:] == ["loading", "calling"]


@pytest.mark.parametrize("arguments", ["teacher, student", "student, teacher"])
def test_lists_get_the_hint_that_fits(port_file, arguments):
    pytest.importorskip("torch")
    target = port_file(LISTS.format(one=ONE, arguments=arguments))
    plain = check_port(target, isolate=False, variant="kl")
    assert plain.exit_code == 2
    assert "--layers" in plain.error.hint
    check_port(target, isolate=False, variant="kl", layers=True, max_examples=3).raise_if_failed()


def test_sizes_that_a_class_asks_for_are_known_from_the_maps(port_file):
    pytest.importorskip("torch")
    target = port_file(SIZED.format(one=ONE, more="eps=0.0")).replace(":loss", ":Loss")
    check_port(target, isolate=False, variant="kl", max_examples=3).raise_if_failed()


def test_a_class_that_asks_for_more_gets_the_hint_that_fits(port_file):
    pytest.importorskip("torch")
    target = port_file(SIZED.format(one=ONE, more="model")).replace(":loss", ":Loss")
    with pytest.raises(PortError, match="'model'") as raised:
        open_port(target)
    assert "return Loss(model=...)" in raised.value.hint


def test_a_class_that_holds_a_projection_is_judged_with_that_of_the_case():
    amad_torch = pytest.importorskip("amad_torch")
    report = check_port(amad_torch.AMADLoss, variant="projected", max_examples=3)
    report.raise_if_failed()
    assert {"weight", "bias"} <= set(report.description.accepts)


@pytest.mark.parametrize(
    ("signature", "advice"),
    [
        ("att_t, att_s", "--teacher-name att_t --student-name att_s"),
        ("att_s, att_t", "--teacher-name att_t --student-name att_s"),
        ("a, b", "--teacher-name a|b --student-name a|b"),
        ("s, t, /", "--positional student,teacher"),
        ("a, b, /", "teacher,student or student,teacher"),
    ],
)
def test_advice_never_swaps_teacher_and_student(signature, advice):
    scope = {}
    exec(f"def port({signature}): pass", scope)
    with pytest.raises(PortError) as raised:
        fit(scope["port"], CallStyle())
    assert advice in raised.value.hint
    assert "other way round" not in raised.value.hint


def test_messages_are_answers_or_errors():
    case = plainest_case()
    answer = Answer(
        np.asarray(0.5), np.ones(case.student.shape), None, trouble=PortError("output", "no")
    )
    stream = io.BytesIO()
    send(stream, pack_answer(answer))
    again = unpack_answer(receive(io.BytesIO(stream.getvalue())), case)
    assert again.value == 0.5
    np.testing.assert_array_equal(again.grad_student, answer.grad_student)
    assert again.trouble.message == "no"
    content = stream.getvalue()
    objects = io.BytesIO()
    np.savez(objects, value=np.array([{}]), _plain=np.array("{}"))
    for broken in (
        content[:-1],
        content[:8] + b"x" * (len(content) - 8),
        struct.pack("<Q", len(objects.getvalue())) + objects.getvalue(),
    ):
        with pytest.raises(MessageError):
            receive(io.BytesIO(broken))
    with pytest.raises(MessageError, match="a message of"):
        receive(io.BytesIO(struct.pack("<Q", 1 << 60) + content[8:]))
