"""The page on mutation testing speaks of code that is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mutation-testing.md").read_text()
FOLDERS = {
    "The specification": "amad_core",
    "The PyTorch adapter": "adapters/amad_torch",
    "The TensorFlow adapter": "adapters/amad_tensorflow",
}


def survivors() -> list[tuple[str, str, str]]:
    """Folder, module and the code that a surviving mutant changes, of every row that quotes any."""
    found = []
    for section in PAGE.split("### ")[1:]:
        folder = FOLDERS[section.splitlines()[0]]
        for module, mutant in re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE):
            if quoted := re.match(r"`([^`]+)`", mutant):
                found.append((folder, module, quoted.group(1)))
    return found


@pytest.mark.parametrize(("folder", "module", "code"), survivors())
def test_the_code_that_a_survivor_changes_is_there(folder: str, module: str, code: str) -> None:
    assert any(code in file.read_text() for file in (ROOT / folder).glob(f"*/{module}.py"))


def test_every_package_has_its_survivors() -> None:
    assert {folder for folder, _, _ in survivors()} == set(FOLDERS.values())
