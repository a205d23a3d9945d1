"""A package that needs what is not installed says which extra brings it."""

import subprocess
import sys

import pytest

HIDE = "import sys; sys.modules[{!r}] = None; import {}"


@pytest.mark.parametrize(
    ("package", "missing", "extra"),
    [
        ("amad_torch", "torch", "torch"),
        ("amad_torch.peers", "torch", "torch"),
        ("amad_tensorflow", "tensorflow", "tensorflow"),
        ("amad_tensorflow", "keras", "tensorflow"),
        ("amad_study.data", "pydantic", "study"),
        ("amad_study.data.scores", "pydantic", "study"),
    ],
)
def test_the_error_names_the_extra(package: str, missing: str, extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HIDE.format(missing, package)], capture_output=True, text=True
    )
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {package.partition('.')[0]} needs the extra '{extra}'")
    assert said.endswith(f"in a clone of AMAD: pip install -e '.[{extra}]'")
    assert missing in said.partition("(")[2].partition(")")[0]
