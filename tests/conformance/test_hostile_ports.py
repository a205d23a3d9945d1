"""Ports that hang, crash, exit, print or return nonsense: a verdict, never a traceback of ours."""

import json
import time

import pytest
from typer import Typer
from typer.testing import CliRunner

from amad_core.conformance.command import verify
from tests.support.port_sources import RIGHT_MSE, spoilt

APP = Typer()
APP.command()(verify)


def run(*arguments):
    return CliRunner().invoke(APP, [*arguments, "--max-examples", "3"])


def source(line, top=""):
    return f"{top}\ndef loss(teacher, student):\n    {line}\n"


UNUSABLE = {
    "raises": (source("raise RuntimeError('no [bold]luck[/bold]')"), "no [bold]luck[/bold]"),
    "raises without words": (source("raise KeyError"), "KeyError"),
    "raises an error that cannot be shown": (
        source(
            "raise Odd",
            "class Odd(Exception):\n    def __str__(self):\n        raise ValueError",
        ),
        "Odd",
    ),
    "exits": (source("import sys; sys.exit(0)"), "sys.exit"),
    "exits at once": (source("import os; os._exit(0)"), "ended its own process"),
    "crashes": (source("import ctypes; ctypes.string_at(0)"), "SIGSEGV"),
    "wants a GPU": (source("raise RuntimeError('No CUDA GPUs are available')"), "CPU"),
    "imports what is missing": (source("return 1.0", "import no_such_library"), "no_such_library"),
    "exits when imported": (source("return 1.0", "raise SystemExit(0)"), "ended the program"),
    "fails when imported": (source("return 1.0", "1 / 0"), "ZeroDivisionError"),
    "is no Python": ("def loss(:\n", "no valid Python"),
    "has no such function": ("def other(teacher, student):\n    return 1.0\n", "other"),
    "is no function": ("loss = 3\n", "cannot be called"),
    "asks for more": ("def loss(teacher, student, model):\n    return 1.0\n", "'model'"),
    "returns several things": (source("return 1.0, 2.0"), "--output 0"),
    "returns a dictionary": (source("return {'amad': 1.0, 'log': 2.0}"), "--output amad"),
    "names arguments otherwise": ("def loss(a, b):\n    return 1.0\n", "--teacher-name a|b"),
    "writes to the pipe of the kit": (
        source(
            "import os; [os.write(fd, b'x' * 64) for fd in range(3, 20)]",
            "import os\n_write = os.write\ndef quiet(fd, data):\n    try:\n"
            "        _write(fd, data)\n    except OSError:\n        pass\nos.write = quiet",
        ),
        "process",
    ),
}


@pytest.mark.parametrize("port", UNUSABLE)
def test_port_that_cannot_be_used(port_file, port):
    text, said = UNUSABLE[port]
    result = run(port_file(text))
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.output.split())
    assert "UNUSABLE" in result.output
    assert "Traceback" not in result.output


WRONG = {
    "None": ("return None", "None"),
    "a string": ("return 'loss'", "str"),
    "a whole number": ("return 3", "floating"),
    "a complex number": ("return teacher.sum() * 1j", "floating"),
    "NaN": ("return float('nan')", "NaN"),
    "the wrong shape": ("return teacher.sum(axis=(2, 3))", "shape"),
    "one loss a sample": ("return teacher.sum(axis=(1, 2, 3))", "--reduction none"),
}


@pytest.mark.parametrize("answer", WRONG)
def test_port_that_answers_nonsense(port_file, answer):
    line, said = WRONG[answer]
    result = run(port_file(source(line)))
    assert result.exit_code == 1, result.output
    assert said in result.output
    assert "Traceback" not in result.output


def test_port_that_hangs(port_file):
    start = time.monotonic()
    result = run(port_file(source("while True: pass")), "--time-limit", "0.5")
    assert result.exit_code == 2
    assert "answer within 0.5 seconds" in " ".join(result.output.split())
    assert time.monotonic() - start < 30


def test_port_that_dies_later_is_wrong(port_file):
    text = spoilt(
        RIGHT_MSE,
        "    t, s =",
        "    if teacher.shape[0] > 1:\n        __import__('os')._exit(3)\n    t, s =",
    )
    result = run(port_file(text))
    assert result.exit_code == 1
    assert "exit code 3" in " ".join(result.output.split())
    assert "the port is gone" in result.output


def test_port_that_fails_on_some_inputs_is_wrong(port_file):
    text = spoilt(RIGHT_MSE, "    t, s =", "    assert teacher.shape[2] > 1\n    t, s =")
    result = run(port_file(text))
    assert result.exit_code == 1
    assert "edge/one-query" in result.output
    assert "AssertionError" in result.output


def test_rubbish_on_standard_output_leaves_json_alone(port_file):
    text = spoilt(
        RIGHT_MSE,
        "    t, s =",
        "    print('{rubbish' * 50)\n    __import__('os').system('echo ]')\n    t, s =",
    )
    result = run(port_file("print('at import')\n" + text), "--json")
    assert json.loads(result.stdout)["verdict"] == "right"
    assert result.exit_code == 0


def test_port_reads_no_input(port_file):
    result = run(port_file(source("return float(input())")))
    assert result.exit_code == 2
    assert "EOFError" in result.output


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.py:loss", "no file nowhere.py"),
        ("no_such_module:loss", "no module 'no_such_module'"),
        ("amad_core:no_such_loss", "no 'no_such_loss'"),
        ("amad_core:__version__", "cannot be called"),
        ("", "no module"),
    ],
)
def test_targets_that_name_nothing(target, said):
    result = run(target)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--variant", "kld"), "variant must be one of"),
        (("--temperature", "0"), "temperature must be"),
        (("--reduction", "batchmean"), "reduction must be one of"),
        (("--framework", "caffe"), "must be one of numpy, torch"),
        (("--name", "temperature"), "OURS=THEIRS"),
        (("--positional", "query"), "no argument of the loss"),
        (("--mask",), "takes no argument 'mask'"),
        (("--output", "amad"), "has no output 'amad'"),
    ],
)
def test_options_that_cannot_be(port_file, arguments, said):
    result = run(port_file(RIGHT_MSE), *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
