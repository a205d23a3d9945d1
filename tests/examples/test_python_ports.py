"""The port in ``examples/``, and the loss in ``keras.ops``, are right by the golden vectors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from amad_core.conformance.judging.checks.result import DECISION, PASSED
from amad_core.conformance.vectors.check import check_results

_SCRIPT = Path(__file__).with_name("answer_vectors.py")
_EXAMPLES = _SCRIPT.parents[2] / "examples"
_ROOT = _SCRIPT.parents[2]

# JAX compiles every shape of every variant anew: one masked case, zeros, and a floor are enough.
_FEW = ("mask/any-cells", "head-of-zeros")
_PORTS = {
    "jax_port on jax": ("jax_port", "jax", _FEW),
    "amad_keras on jax": ("amad_keras", "jax", _FEW[:1]),
    "amad_keras on torch": ("amad_keras", "torch", ()),
    "amad_keras on tensorflow": ("amad_keras", "tensorflow", ()),
}


@pytest.mark.thin(2)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.xdist_group("tensorflow"))
        if "tensorflow" in name
        else name
        for name in _PORTS
    ],
)
def test_ports_are_right(name: str, tmp_path: Path) -> None:
    module, framework, designs = _PORTS[name]
    results = tmp_path / "results.json"
    environment = os.environ | {
        "KERAS_BACKEND": framework,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, str(_SCRIPT), module, framework, str(results), *designs]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    reports = check_results(results)
    assert len(reports) == 5
    for report in reports:
        assert report.passed, str(report)
        statuses = {check.name: check.status for check in report.checks}
        assert statuses["mask"] == statuses["teacher"] == PASSED
        assert statuses["complete"] == (DECISION if designs else PASSED)
        if not designs:
            assert statuses["gradient"] == statuses["options"] == statuses["edges"] == PASSED


def test_the_port_is_under_60_lines() -> None:
    assert len((_EXAMPLES / "jax_port.py").read_text().splitlines()) < 60
