"""Fixtures of the kit's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def port_file(tmp_path: Path) -> Callable[[str], str]:
    """Writes a port and gives its target, ``"…/port.py:loss"``."""

    def write(source: str) -> str:
        path = tmp_path / "port.py"
        path.write_text(source)
        return f"{path}:loss"

    return write
