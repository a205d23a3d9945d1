"""Ports with other argument names, orders, outputs and layers, wrapped without code."""

import functools
import inspect
import json
import re

import pytest
from typer import Typer
from typer.testing import CliRunner

from amad_core.conformance import check_port, load_port
from amad_core.conformance.command import verify
from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.detection import candidates
from amad_core.conformance.ports.loading import load_function
from amad_core.conformance.ports.opening import open_port, plainest_case
from amad_core.conformance.ports.signature import fit
from tests.support.port_sources import RIGHT_MSE, RIGHT_TORCH_KL, spoilt

APP = Typer()
APP.command()(verify)

SIGNATURE, RETURN = "def loss(teacher, student):", "    return ((t - weights @ s) ** 2)"
FEW = ("--max-examples", "3")


def wrapped(signature, first="", last=RETURN):
    text = spoilt(RIGHT_MSE, SIGNATURE, f"{signature}\n    {first}" if first else signature)
    return spoilt(text, RETURN, last)


WRAPPED = {
    "other names": (
        wrapped("def loss(a, b):", "teacher, student = a, b"),
        ("--teacher-name", "a", "--student-name", "b"),
    ),
    "names that are recognised": (
        wrapped(
            "def loss(student_maps, teacher_maps):", "teacher, student = teacher_maps, student_maps"
        ),
        (),
    ),
    "names of Keras": (
        wrapped("def loss(y_true, y_pred):", "teacher, student = y_true, y_pred"),
        (),
    ),
    "by position, student first": (
        wrapped("def loss(a, b, /):", "student, teacher = a, b"),
        ("--positional", "student,teacher"),
    ),
    "keywords only": (
        wrapped("def loss(**maps):", "teacher, student = maps['teacher'], maps['student']"),
        (),
    ),
    "a dictionary": (
        wrapped(
            SIGNATURE, last="    return {'total': 0.0, 'amad': float(((t - weights @ s) ** 2)"
        ).replace(".mean()", ".mean())}"),
        ("--output", "amad"),
    ),
    "a tuple": (
        wrapped(SIGNATURE, last="    return 'log', float(((t - weights @ s) ** 2)").replace(
            ".mean()", ".mean())"
        ),
        ("--output", "1"),
    ),
    "lists of layers": (
        RIGHT_MSE.replace("def loss(", "def one(") + "\ndef loss(teacher, student):\n"
        "    assert isinstance(teacher, list)\n"
        "    return sum(one(t, s) for t, s in zip(teacher, student))\n",
        ("--layers",),
    ),
}


@pytest.mark.parametrize("port", WRAPPED)
def test_port_is_wrapped_from_the_command_line(port_file, port):
    text, arguments = WRAPPED[port]
    result = CliRunner().invoke(APP, [port_file(text), *FEW, *arguments])
    assert result.exit_code == 0, result.output
    assert "RIGHT" in result.output


def test_options_under_other_names(port_file):
    text = wrapped("def loss(teacher, student, tau=1.0):").replace(
        "np.exp(t @", "np.exp(1/tau * t @"
    )
    target = port_file(text)
    result = CliRunner().invoke(APP, [target, *FEW, "--name", "temperature=tau", "--json"])
    data = json.loads(result.stdout)
    assert data["verdict"] == "right"
    assert data["port"]["accepts"] == ["temperature"]
    assert {check["name"]: check["status"] for check in data["checks"]}["options"] == "passed"


@pytest.mark.parametrize(
    ("mistake", "old", "new"),
    [
        ("layers-averaged", "    return sum(", "    return 1 / len(teacher) * sum("),
        ("layers-left-out", "(teacher, student)", "(teacher[-1:], student[-1:])"),
        ("layers-left-out", "(teacher, student)", "(teacher[:1], student[:1])"),
        ("layers-paired-wrongly", "(teacher, student)", "(teacher, student[::-1])"),
    ],
)
def test_layers_that_are_not_summed_are_wrong(port_file, mistake, old, new):
    text, _ = WRAPPED["lists of layers"]
    head, brace, tail = text.rpartition("    return sum(")
    text = head + spoilt(brace + tail, old, new)
    report = check_port(port_file(text), isolate=False, layers=True, max_examples=3)
    assert [check.name for check in report.failed] == ["layers"]
    assert [explanation.name for explanation in report.explanations] == [mistake]
    assert report.worst is None  # one layer alone is right and would show nothing


def test_a_mask_without_a_default_is_given_where_all_cells_count(port_file):
    """As keyword, by position, and under another name."""
    text = RIGHT_TORCH_KL.replace("mask=None", "mask")
    for source, options in (
        (text, {}),
        (text, {"positional": ("teacher", "student", "mask")}),
        (re.sub(r"\bmask\b", "valid", text), {"names": {"mask": "valid"}}),
    ):
        report = check_port(
            port_file(source), isolate=False, variant="kl", max_examples=3, **options
        )
        assert report.verdict == "right", report.headline
        assert {check.name: check.status for check in report.checks}["mask"] == "passed"


def test_a_class_whose_call_is_compiled_is_called():
    """``jax.jit`` and ``tf.function`` leave objects in place of methods."""
    import jax

    class Port:
        @functools.partial(jax.jit, static_argnums=0)
        def __call__(self, teacher, student):
            t, s = (maps.reshape(*maps.shape[:2], -1) for maps in (teacher, student))
            t, s = (maps / jax.numpy.linalg.norm(maps, axis=-1, keepdims=True) for maps in (t, s))
            weights = jax.nn.softmax(t @ s.swapaxes(-1, -2), axis=-1)
            return ((jax.lax.stop_gradient(t) - weights @ s) ** 2).sum(axis=(1, 2)).mean()

    port = open_port(Port, framework="jax")
    assert port.description.accepts == ()
    assert port.answer(plainest_case(), "float32", gradients=False).trouble is None


def test_a_single_public_function_needs_no_name(tmp_path):
    path = tmp_path / "single.py"
    path.write_text(RIGHT_MSE)
    assert load_function(str(path)).__name__ == "loss"
    path.write_text(RIGHT_MSE + "\ndef more():\n    pass\n")
    with pytest.raises(PortError) as raised:
        load_function(str(path))
    assert "loss, more" in raised.value.hint


def test_dotted_names_and_siblings_are_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sibling_of_port.py").write_text(RIGHT_MSE)
    path = tmp_path / "dotted.py"
    path.write_text("import sibling_of_port\nclass Losses:\n    amad = sibling_of_port.loss\n")
    assert load_function(f"{path}:Losses.amad").__name__ == "loss"


def test_only_accepted_options_are_forwarded():
    def port(*, teacher, student, variant, mask=None):
        """Takes two options."""

    fitted = fit(port, CallStyle())
    given = {"teacher": 1, "student": 2, "variant": "kl", "temperature": 1.0, "mask": 3}
    assert fitted.arguments(given) == (
        [],
        {"teacher": 1, "student": 2, "variant": "kl", "mask": 3},
    )


@pytest.mark.parametrize("framework", ["torch", "numpy"])
def test_framework_is_found_by_what_the_code_uses(port_file, framework):
    """NumPy imported on the way makes no NumPy port, and the other way round."""
    used = {"torch": "torch.sum(student)", "numpy": "np.sum(student)"}[framework]
    text = f"import numpy as np\nimport torch\ndef loss(teacher, student):\n    return {used}\n"
    assert next(iter(candidates(load_function(port_file(text))))) == framework


def test_framework_is_found_through_a_wrapper(port_file):
    pytest.importorskip("torch")
    text = (
        "import amad_torch\ndef loss(teacher, student):\n    return amad_torch.amad_loss("
        "teacher=teacher, student=student)\n"
    )
    assert next(iter(candidates(load_function(port_file(text))))) == "torch"


def test_loaded_port_takes_and_gives_numpy(port_file):
    import numpy as np

    from amad_core import amad_loss

    maps = {"teacher": np.full((1, 2, 2, 2), 0.5), "student": np.full((1, 1, 2, 2), 0.5)}
    value, gradient = load_port(port_file(RIGHT_MSE))(**maps)
    assert value == pytest.approx(amad_loss(**maps))
    assert gradient is None


def test_command_has_every_option_of_check_port():
    """A door must not lack what another has."""
    python = set(inspect.signature(check_port).parameters) - {"isolate", "progress", "names"}
    command = set(inspect.signature(verify).parameters)
    assert python - {"gradients"} <= command
