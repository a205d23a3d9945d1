"""What the tests of the command share: a folder with a teacher and reviews, made once."""

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("datasets")
pytest.importorskip("accelerate")
pytest.importorskip("pydantic")

from tests.support.small_texts import save_reviews, save_teacher


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    save_teacher(folder / "teacher")
    save_reviews(folder / "reviews.csv", 32, seed=0)
    save_reviews(folder / "held.csv", 8, seed=1)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where the command runs."""
    folder = Path(shutil.copytree(made, tmp_path / "here"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))  # put back afterwards, as the command changes it
    return folder


def settings(**changes: Any) -> dict[str, Any]:
    """Settings of a short run; a dotted key changes an entry, `None` takes it out."""
    given: dict[str, Any] = {
        "output_dir": "run",
        "task": "text-classification",
        "teacher": {"name": "teacher"},
        "student": {
            "name": "teacher",
            "new_weights": True,
            "config": {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32},
        },
        "data": {
            "files": {"train": "reviews.csv", "validation": "held.csv"},
            "arguments": {"cache_dir": "cache"},
            "evaluation": "validation",
            "text": "review",
            "label": "verdict",
        },
        "distiller": {"temperature": 0.5},
        "training": {
            "learning_rate": 3e-3,
            "max_steps": 6,
            "per_device_train_batch_size": 8,
            "logging_steps": 1,
            "save_steps": 2,
        },
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        section = given
        for step in path:
            section = section[step]
        section.pop(last, None)
        if value is not None:
            section[last] = value
    return given
