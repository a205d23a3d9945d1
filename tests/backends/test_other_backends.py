"""The tests of Keras that name no backend, on PyTorch and on JAX, in a process for each."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("tests/distillation/test_keras_backends.py", "tests/capture/test_keras_families.py")
LAYOUTS = ("tests/capture/test_keras_layouts.py", "tests/capture/test_keras_doubts.py")
FURTHER = {"torch": ("tests/distillation/test_keras_learned.py", *LAYOUTS), "jax": LAYOUTS}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras_on_another_backend(backend: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip(backend)
    pytest.importorskip("keras")
    options = ["--whole"] if request.config.getoption("whole") else []
    files = (*FILES, *FURTHER[backend], f"tests/backends/{backend}_cases.py")
    command = [sys.executable, "-m", "tests.backends.on_another", *options, *files]
    variables = {"KERAS_BACKEND": backend}
    if backend == "jax":
        variables["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # it compiles every model anew
    environment = os.environ | variables
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 18
    assert "skipped" not in done.stdout
