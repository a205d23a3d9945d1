"""The kernels without a GPU: what they compute in Triton's interpreter, and that they compile.

Each file runs in a process of its own: Triton looks at its environment when it is imported, and
does not load where TensorFlow is loaded (both bring an LLVM).
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.beside import TRITON

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*/test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kernels(file: Path, request: pytest.FixtureRequest) -> None:
    if not (find_spec("triton") or TRITON.exists()):
        pytest.skip(f"needs Triton, which `make test` puts into {TRITON}")
    path = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")]), str(TRITON)]
    apart = {"PYTHONPATH": os.pathsep.join(path), "TRITON_APART": "1"}
    if file.parent.name == "interpreted":
        apart["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    if request.config.getoption("whole"):
        command.append("--whole")
    done = subprocess.run(command, env=os.environ | apart, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
