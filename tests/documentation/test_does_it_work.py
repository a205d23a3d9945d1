"""The page "Does it work?" shows what committed results say, and nothing where there are none."""

import json
from pathlib import Path

import pytest

pytest.importorskip("sacrebleu")

from amad_study.report.documentation import filled_page
from amad_study.report.picture_files import picture_files

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "does-it-work.md"
NOTHING = {"hypotheses": [], "sentences": {"rows": []}}
RESULTS = ROOT / "docs" / "assets" / "study-results.json"


def test_the_page_shows_the_committed_results() -> None:
    """Else: `amad study page docs/does-it-work.md --results docs/assets/study-results.json`."""
    text = PAGE.read_text(encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else None
    assert filled_page(text, results) == text
    assert ("No result is shown yet" in text) == (results is None)
    for name, picture in picture_files(results or NOTHING).items():
        assert (RESULTS.parent / name).read_text(encoding="utf-8") == picture, name
        assert f"(assets/{name})" in text


def test_a_figure_changed_by_hand_is_found() -> None:
    text = PAGE.read_text(encoding="utf-8")
    mark = "<!-- figures: answer -->\n"
    assert filled_page(text.replace(mark, f"{mark}AMAD wins.\n"), None) != text.replace(
        mark, f"{mark}AMAD wins.\n"
    )
