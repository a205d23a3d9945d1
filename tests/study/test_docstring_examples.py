"""Every example in a docstring of the study runs and gives what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import amad_study

FOLDER = Path(amad_study.__path__[0])
MODULES = [
    ".".join(("amad_study", *path.relative_to(FOLDER).with_suffix("").parts))
    for path in sorted(FOLDER.rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


def test_the_way_in_is_shown() -> None:
    assert "amad_study.data.catalogue" in MODULES
