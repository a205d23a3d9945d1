"""What the tests of the demo share: the shipped teacher, loaded once."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("sklearn")

from amad_demo.model import VisualQuestionModel
from amad_demo.teacher import load_teacher


@pytest.fixture(scope="session")
def teacher() -> VisualQuestionModel:
    return load_teacher()[0]
