"""Vectors exported once, and results of a right port to start from."""

from pathlib import Path

import pytest

from amad_core.conformance.vectors.files import Golden, shipped_vectors
from tests.support.exported_vectors import exported_directory


@pytest.fixture(scope="session")
def exported() -> Path:
    """What ``amad vectors export`` writes by default."""
    return exported_directory()


@pytest.fixture(scope="session")
def golden_kl() -> Golden:
    """The vectors of ``kl``."""
    return shipped_vectors("kl")
