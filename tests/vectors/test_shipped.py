"""The vectors that ship: what their maker makes, whole, and read without the maker."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amad_core import VARIANTS
from amad_core.conformance.vectors import documents, files
from amad_core.conformance.vectors.documents import FileError
from amad_core.conformance.vectors.files import shipped_text, shipped_vectors
from amad_core.conformance.vectors.make.cases import vector_cases
from amad_core.conformance.vectors.make.documents import case_document, vectors_text

KIT = Path(documents.__file__).parents[1]
EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 8
"""A sample of the cases is made anew; ``python -m amad_core.conformance.vectors.make --check`` and
the thorough profile make all of them."""


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_cases_are_those_that_the_maker_makes(variant: str) -> None:
    shipped = json.loads(shipped_text(variant))["cases"]
    made = vector_cases(variant, seed=0)
    assert [case["id"] for case in shipped] == [vector.id for vector in made]
    for index in range(list(VARIANTS).index(variant), len(made), EVERY):
        again = json.loads(json.dumps(case_document(made[index])))
        assert shipped[index] == again, f"{made[index].id}: run 'make vectors' if this is meant"


def test_a_whole_file_is_made_to_the_byte() -> None:
    assert shipped_text("mse") == vectors_text("mse", seed=0)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_the_checksum_is_that_of_the_cases(variant: str) -> None:
    document = json.loads(shipped_text(variant))
    assert shipped_vectors(variant).checksum == files.checksum(document["cases"])


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "another", "gone"])
def test_a_damaged_installation_is_told(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(str(documents.DATA), tmp_path / "data")
    monkeypatch.setattr(files, "DATA", data)
    path = data / "mse.json.gz"
    content = path.read_bytes()
    match damage:
        case "flipped":
            path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
        case "cut":
            path.write_bytes(content[:-100])
        case "empty":
            path.write_bytes(b"")
        case "another":
            shutil.copy(data / "kl.json.gz", path)
        case "gone":
            path.unlink()
    with pytest.raises(FileError, match="install amad again") as caught:
        shipped_vectors("mse")
    assert caught.value.path == path
    assert shipped_vectors("kl").variant == "kl"


def test_only_the_export_of_another_seed_names_the_maker() -> None:
    make = re.compile(r"vectors(\.| import )make\b")
    naming = {
        path.name
        for path in KIT.rglob("*.py")
        if path.parent.name != "make" and make.search(path.read_text())
    }
    assert naming == {"export.py"}


def test_export_and_check_run_without_the_maker(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from amad_core.conformance.vectors.check import check_results\n"
        "from amad_core.conformance.vectors.export import export_vectors\n"
        "export_vectors(Path(sys.argv[1], 'vectors'))\n"
        "Path(sys.argv[1], 'r.json').write_text('''{'format': 'amad-results/1', 'port': 'p',\n"
        "  'results': {'kl-rect-1': {'value': 1}}}'''.replace(chr(39), chr(34)))\n"
        "assert not check_results(Path(sys.argv[1], 'r.json'))[0].passed\n"
        "sys.exit(', '.join(name for name in sys.modules if '.vectors.make' in name) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
