"""Verdicts, report and page from made-up records: the mistakes that a study can make, planted."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from amad_study.analysis.answer import worth_of_attention
from amad_study.analysis.beside_amad import beside_amad
from amad_study.analysis.conditions import rows_of
from amad_study.analysis.findings import find
from amad_study.analysis.on_the_way import on_the_way
from amad_study.analysis.outlook import whole_plan
from amad_study.analysis.statistics import correlation
from amad_study.analysis.summary import summarise
from amad_study.analysis.verdicts import verdict
from amad_study.command.reporting import write_report
from amad_study.protocol import hypotheses, stages
from amad_study.protocol.condition import SEEDS, TEACHERS, cells_of, condition, tuned_as
from amad_study.protocol.hypotheses import hypothesis
from amad_study.protocol.hypothesis import Comparison, Hypothesis, Judged
from amad_study.protocol.stages import choose_weights
from amad_study.protocol.tables import TABLES
from amad_study.report.documentation import filled_page
from amad_study.report.page import as_html
from amad_study.report.tables import beside_amad_table, way_tables
from amad_study.report.told_first import mean_map_told, sentences_told, worth_told
from amad_study.runs.cell import Cell
from amad_study.runs.records import read_records, record_path
from tests.study.synthetic import record, write_study

AMAD = condition("vl-t5", "digit-questions", "amad-kl")
LEVELS = {"amad-kl": 70.0, "one-to-one-kl": 60.0}


def level(cell: Cell) -> float:
    return LEVELS.get(cell.method, 50.0)


@pytest.fixture(scope="module", autouse=True)
def smaller_plan() -> Iterator[None]:
    """A part of the protocol that has every way of judging, and both kinds of tables."""
    some = tuple(hypothesis(name) for name in ("H1", "H2", "H3", "H4", "H12"))
    tables = (TABLES[0], next(one for one in TABLES if one.name == "pairing and divergence"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hypotheses, "HYPOTHESES", some)
        patch.setattr(stages, "ORDER", (*some, *tables))
        patch.setattr(stages, "LAST", ())
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, level)
    return folder


@pytest.fixture(scope="module")
def records(study: Path) -> dict[str, dict[str, Any]]:
    return read_records(study)


def of(name: str, records: dict[str, dict[str, Any]], *others: Hypothesis) -> tuple[Any, Any]:
    """Verdict and findings of a hypothesis."""
    asked = hypothesis(name)
    findings = find([asked, *others], records, choose_weights(records))
    mine = [one for one in findings if one.hypothesis == name]
    return verdict(asked, mine), mine


def scored(records: dict[str, Any], change: Callable[[Cell, float], float]) -> dict[str, Any]:
    """The records with other scores."""
    found = json.loads(json.dumps(records))
    for one in found.values():
        cell = Cell.from_json(one["cell"])
        one["scores"] = {key: change(cell, score) for key, score in one["scores"].items()}
    return dict(found)


def test_what_is_ahead_is_said_to_be_ahead(records: dict[str, Any]) -> None:
    """Swapped signs: AMAD is 10 points ahead in every pair, which no test can miss."""
    told, findings = of("H1", records)
    assert told.word == "supported"
    for one in findings:
        assert one.word == "ahead"
        assert one.paired.mean == pytest.approx(10, abs=3)
        assert one.paired.wins == len(SEEDS)
        first = {str(seed): level_of(records, one, seed) for seed in SEEDS}
        assert one.differences == pytest.approx(first)
    swapped = scored(records, lambda cell, score: 100 - score)
    told, findings = of("H1", swapped)
    assert told.word == "contradicted"
    assert {one.word for one in findings} == {"behind"}


def level_of(records: dict[str, Any], finding: Any, seed: int) -> float:
    asked = next(c for c in hypothesis("H1").comparisons if c.label == finding.label)
    cells = [
        next(c for c in cells_of(side, choose_weights(records)) if c.seed == seed)
        for side in (asked.first, asked.second)
    ]
    one, other = (records[cell.key]["scores"]["accuracy"] for cell in cells)
    return float(one - other)


def test_one_missing_cell_is_no_verdict(records: dict[str, Any]) -> None:
    comparison = hypothesis("H1").comparisons[0]
    gone = cells_of(comparison.first, choose_weights(records))[4]
    told, findings = of("H1", {key: one for key, one in records.items() if key != gone.key})
    assert told.word == "not complete"
    assert findings[0].word == "incomplete"
    assert findings[0].missing == (gone.seed,)
    assert findings[0].p_values == (1, 1)
    assert len(findings[0].differences) == len(SEEDS) - 1


def test_a_pair_with_two_teachers_does_not_count(records: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(records))
    comparison = hypothesis("H1").comparisons[0]
    one = cells_of(comparison.second, choose_weights(records))[2]
    changed[one.key]["run"]["teacher"]["sha256"] = "of another machine"
    told, findings = of("H1", changed)
    assert told.word == "not complete"
    assert findings[0].unpaired == (one.seed,)
    assert str(one.seed) not in findings[0].differences


def test_both_tests_have_to_agree(records: dict[str, Any]) -> None:
    """Eleven small wins and a large loss: the signs say yes, the mean says nothing."""
    comparison = replace(hypothesis("H1").comparisons[0])
    asked = replace(hypothesis("H1"), comparisons=(comparison,))
    second = {cell.key for cell in cells_of(comparison.second, choose_weights(records))}

    def change(cell: Cell, score: float) -> float:
        return 50.0 + (0.0 if cell.key in second else -20.0 if cell.seed == SEEDS[0] else 1.0)

    (finding,) = find([asked], scored(records, change), choose_weights(records))
    assert finding.adjusted_sign < 0.05 < finding.adjusted_t
    assert finding.word == "undecided"
    assert verdict(asked, [finding]).word == "undecided"


def test_one_is_enough_where_a_hypothesis_says_that_there_is_one(records: dict[str, Any]) -> None:
    asked = hypothesis("H1")
    place = asked.comparisons[0].first.family, asked.comparisons[0].first.task

    def change(cell: Cell, score: float) -> float:
        return 50.0 + 10 * (cell.method == "amad-kl" and (cell.family, cell.task) == place)

    findings = find([asked], scored(records, change), choose_weights(records))
    assert verdict(asked, findings).word == "mixed"
    there_is = replace(asked, one_suffices=True)
    assert verdict(there_is, findings).word == "supported"
    assert verdict(replace(there_is, expected=-1), findings).word == "undecided"
    against = verdict(replace(asked, expected=-1), findings)
    assert against.word == "in part contradicted"
    assert "intervals" not in against.explanation.partition("confidence intervals")[2]


def test_intervals_are_counted_where_no_word_is_said(records: dict[str, Any]) -> None:
    """Ten wins of twelve are too few signs for six comparisons, but make an interval."""
    asked = hypothesis("H1")
    ahead, behind = (one.label for one in asked.comparisons[:2])

    def change(cell: Cell, score: float) -> float:
        lead = {ahead: 5.0, behind: -5.0}.get(f"{cell.family}, {cell.task}", 0.0)
        sign = -1.0 if cell.seed in SEEDS[:2] else 1.0
        return 50.0 + (sign * lead if cell.method == "amad-kl" else 0.0)

    findings = find([asked], scored(records, change), choose_weights(records))
    told = verdict(asked, findings)
    assert told.word == "undecided"
    assert told.explanation.endswith(" Of 6 intervals 1 above zero, 1 below.")
    without = [one for one in findings if one.label not in (ahead, behind)]
    assert "intervals" not in verdict(asked, without).explanation.partition("to +0.0")[2]


def test_what_was_not_run_makes_no_verdict_easier(records: dict[str, Any]) -> None:
    """The family is the protocol's: comparisons without records are in it."""
    absent = Cell("blip", "easy-vqa", "amad-kl", seed=0)
    others = tuple(
        Comparison(f"{number}", absent, replace(absent, method="logits")) for number in range(400)
    )
    _, alone = of("H1", records)
    _, among = of("H1", records, Hypothesis("H99", "", others))
    assert alone[0].word == "ahead"
    assert among[0].adjusted_sign > alone[0].adjusted_sign
    assert among[0].word == "undecided"


def test_spreads_count_by_the_bound(records: dict[str, Any]) -> None:
    asked = Hypothesis("H4", "", hypothesis("H1").comparisons[:1], Judged.SPREAD, expected=-1)

    def words(share: float) -> tuple[str, str]:
        def change(cell: Cell, score: float) -> float:
            place = SEEDS.index(cell.seed) if cell.seed in SEEDS else 0
            return 50 + (share if cell.method == "amad-kl" else 1.0) * 3 * (place - 5.5)

        (finding,) = find([asked], scored(records, change), choose_weights(records))
        assert finding.spread is not None
        assert finding.spread[0] == pytest.approx(share)
        assert set(finding.sides["amad-kl"]) == {str(seed) for seed in SEEDS}
        return finding.word, verdict(asked, [finding]).word

    assert words(0.2) == ("behind", "supported")
    assert words(0.9) == ("undecided", "undecided")
    assert words(5.0) == ("ahead", "contradicted")


def test_a_correlation_is_over_all_tasks_and_counts_a_teacher_once(
    records: dict[str, Any],
) -> None:
    """Gains made to go with the likeness that the records tell of, and against it."""
    asked = hypothesis("H12")
    likeness = {key: one["heads"]["before"]["layer"]["teacher"] for key, one in records.items()}

    def words(sign: float) -> tuple[str, float]:
        def change(cell: Cell, score: float) -> float:
            gain = sign * 100 * likeness[cell.key] + 0.1 * (cell.seed % 5)
            return 50 + (gain if cell.method == "amad-kl" else 0)

        (finding,) = find([asked], scored(records, change), choose_weights(records))
        assert len(finding.differences) == len(SEEDS) * len(asked.comparisons)
        assert finding.correlation is not None
        of_teachers: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for place, difference in finding.differences.items():
            task, _, seed = place.rpartition(", ")
            point = finding.likeness[place], difference
            of_teachers.setdefault((task, int(seed) % TEACHERS), []).append(point)
        means = [[fmean(side) for side in zip(*one, strict=True)] for one in of_teachers.values()]
        assert len(means) == TEACHERS * len(asked.comparisons)
        assert finding.correlation == pytest.approx(correlation(*zip(*means, strict=True)))
        return verdict(asked, [finding]).word, finding.correlation[0]

    word, found = words(1)
    assert word == "supported"
    assert found > 0.9
    word, found = words(-1)
    assert word == "contradicted"
    assert found < -0.9


class Page(HTMLParser):
    """What a page loads, and whether its elements are closed."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        for name in ("src", "href"):
            if name in told:
                self.addresses.append(str(told[name]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Page:
    parser = Page()
    parser.feed(page)
    assert not parser.open
    return parser


def test_the_page_stands_alone_and_shows_every_seed(study: Path) -> None:
    write_report(study)
    page = (study / "report.html").read_text()
    parser = read(page)
    assert all(one.startswith(("#", "data:")) for one in parser.addresses)
    assert "url(" not in page
    assert "<script" not in page
    summary = json.loads((study / "results.json").read_text())
    (first,) = [one for one in summary["hypotheses"] if one["name"] == "H1"]
    chart = page[page.index('id="H1"') : page.index('id="H2"')]
    for finding in first["findings"]:
        for seed, difference in finding["differences"].items():
            assert f"<title>seed {seed}: {difference:+.1f}</title>" in page
    dots = [
        complex(float(x), float(y))
        for x, y in re.findall(r'<circle class="seed" cx="([\d.]+)" cy="([\d.]+)"', chart)
    ]
    assert len(dots) == len(SEEDS) * len(first["findings"])
    assert min(abs(one - other) for one, other in combinations(dots, 2)) > 3  # none hides another
    for seed, score in summary["scores"][0]["seeds"].items():
        assert f'<td class="num">{score:.1f}</td>' in page, seed
    assert "a &lt;processor&gt;" in page
    assert "The runs are not complete" not in page
    assert summary["cells"]["done"] == summary["cells"]["planned"]


def test_dots_lie_on_the_side_of_their_sign(study: Path) -> None:
    summary = summarise(study)
    page = as_html(json.loads(json.dumps(summary)))
    strip = page[page.index('id="H1"') : page.index('id="H2"')]
    zero = float(re.search(r'class="zero" x1="([\d.]+)"', strip)[1])  # type: ignore[index]
    dots = re.findall(r'<circle class="seed" cx="([\d.]+)".*?: ([+-][\d.]+)</title>', strip)
    assert len(dots) >= len(SEEDS)
    assert all((float(x) > zero) == (float(value) > 0) for x, value in dots)


def test_a_report_of_a_part_says_what_is_missing(study: Path, tmp_path: Path) -> None:
    records = read_records(study)
    weights = choose_weights(records)
    gone = {cell.key for cell in cells_of(hypothesis("H1").comparisons[0].first, weights)[:3]}
    (tmp_path / "cells").mkdir()
    for key, one in records.items():
        if key not in gone:
            record_path(tmp_path, Cell.from_json(one["cell"])).write_text(json.dumps(one))
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    read(page)
    assert "The runs are not complete" in page
    assert "9 of 12 seeds" in page
    assert "100, 101, 102" in page[page.index('id="open"') :]
    told = json.loads((tmp_path / "results.json").read_text())["answer"]
    assert told[0]["word"] == "not complete"


def test_seeds_without_a_teacher_are_said_and_count_neither_way(
    study: Path, tmp_path: Path
) -> None:
    """One of three teachers refused on one task, all on another; one student diverged."""
    (tmp_path / "cells").mkdir()
    translation, captions = ("digit-translation", "digit-captions")
    for key, one in read_records(study).items():
        cell = Cell.from_json(one["cell"])
        told: dict[str, Any] = one
        of_one = (cell.task, cell.teacher_seed) == (translation, 1)
        if cell.family == "vl-t5" and (of_one or cell.task == captions):
            told = {"cell": one["cell"], "refused": "does not look", "run": one["run"]}
        elif cell == replace(AMAD, seed=100, teacher_seed=1, weight=cell.weight):
            told = {name: one[name] for name in ("cell", "main score", "run", "parity", "seconds")}
            told |= {"diverged": "the loss is nan", "curve": one["curve"][:2]}
            told["heads"] = {"before": one["heads"]["before"]}
        (tmp_path / "cells" / f"{key}.json").write_text(json.dumps(told))
    write_report(tmp_path)
    summary = json.loads((tmp_path / "results.json").read_text())
    by_label = {one["label"]: one for one in summary["hypotheses"][0]["findings"]}
    some, none = (by_label[f"vl-t5, {task}"] for task in (translation, captions))
    assert len(some["differences"]) == 8
    assert some["refused"] == [seed for seed in SEEDS if seed % 3 == 1]
    assert some["word"] in ("ahead", "behind", "undecided")
    assert none["word"] == "no teacher"
    assert summary["hypotheses"][0]["word"] != "not complete"
    assert summary["cells"]["done"] == summary["cells"]["planned"]
    usual = by_label["vl-t5, digit-questions"]["differences"]
    assert usual["100"] == min(usual.values()) < -20
    assert [one["seeds"] for one in summary["diverged"]] == [[100]]
    page = (tmp_path / "report.html").read_text()
    read(page)
    assert "No student, as the gate refused its teacher" in page
    assert "4 without a teacher" in page
    filled = filled_page("<!-- figures: open -->\n<!-- end of figures -->", summary)
    assert "12 seeds without a teacher" in filled
    assert "1 seed diverged" in filled


def test_how_fast_and_how_alike() -> None:
    """By hand: two of three seeds come to the mark, half of the way from 20 to 80."""
    weights = {tuned_as(AMAD): 0.3}
    records: dict[str, Any] = {}
    for cell, curve in zip(cells_of(AMAD, weights)[:3], ([10, 60], [55, 60], [1, 2]), strict=True):
        one = record(cell, 50.0)
        one["run"]["teacher"]["gate"] |= {"score": 80.0, "blind": 20.0}
        one["curve"] = [(150, curve[0]), (300, curve[1]), (600, curve[1])]
        one["heads"]["after"] = {"layer": {"evenness": 0.5, "teacher": 0.3, "student": 0.6}}
        records[cell.key] = one
    (told,) = on_the_way(rows_of(cells_of(AMAD, weights), records))
    assert told["quarter"] == pytest.approx([22, 28.9309523], rel=1e-6)
    assert (told["mark"], told["reached"], told["steps"]) == (50, 2, 300)
    assert told["evenness"] == pytest.approx([0.8, 0.5])
    assert told["likeness"] == pytest.approx([0.4, 0.6])
    (table,) = way_tables([told])
    (row,) = table["rows"]
    assert [cell["text"] for cell in row["cells"]][:3] == [
        "22.0 ± 28.9",
        "40.7 ± 33.5",
        "0.80 → 0.50",
    ]
    assert row["cells"][-1] == {"text": "300", "note": "2 of 3 come there"}


def test_a_recipe_is_shown_with_its_settings(study: Path) -> None:
    settings = [
        {
            "family": "vl-t5",
            "task": "digit-questions",
            "method": f"{pairing}-kl",
            "weight": 0.3,
            "settings": "release 0.5",
            "mean": 61.5,
            "spread": 2.0,
            "seeds": {"200": 60.0},
            "planned": 16,
        }
        for pairing in ("amad", "mean-head")
    ]
    summary = json.loads(json.dumps(summarise(study)))
    assert summary["recipe"] is None
    judged = {**summary["hypotheses"][0], "name": "R", "word": "undecided"}
    summary["recipe"] = {**judged, "settings": settings}
    page = as_html(summary)
    read(page)
    shown = page[page.index('id="recipe"') : page.index('id="curves"')]
    assert "release 0.5" in shown
    assert "61.5 ± 2.0" in shown
    assert 'id="R"' in shown
    filled = filled_page("<!-- figures: recipe -->\n<!-- end of figures -->", summary)
    assert "| AMAD, KL | 0.3 | release 0.5 | 61.5 ± 2.0 (1 of 16 seeds) |" in filled
    assert "| **R** |" in filled
    assert "same settings on further seeds" not in page + filled
    summary["recipe again"] = {**judged, "name": "R2", "settings": settings}
    assert 'id="R2"' in as_html(summary)
    told = filled_page("<!-- figures: recipe -->\n<!-- end of figures -->", summary)
    assert told.index("| **R** |") < told.index("further seeds") < told.index("| **R2** |")


def test_what_attention_is_worth_is_told_of_what_was_run_whole() -> None:
    def row(
        method: str, mean: float, *, task: str = "digit-questions", planned: int = 2, **of: Any
    ) -> Any:
        one = {"family": "blip", "task": task, "method": method, "mean": mean, "settings": ""}
        return {**one, "seeds": {"100": mean, "101": mean}, "planned": planned, **of}

    pairings = ("one-to-one-kl", "mean-head-kl", "best-match-kl", "amad-kl")
    whole = [row("logits", 40.0), *(row(name, 60.0 + at) for at, name in enumerate(pairings))]
    others = [
        row("ground-truth", 90.0),
        row("amad-js", 99.0),
        row("amad-kl", 1.0, settings="6 heads"),
    ]
    of_part = [row(name, 50.0, task="easy-vqa", planned=3) for name in ("logits", *pairings)]
    (told,) = worth_of_attention([*whole, *others, *of_part])
    assert told == {
        "family": "blip", "task": "digit-questions", "least": 60.0, "most": 63.0, "without": 40.0
    }  # fmt: skip
    assert "alone: +20.0 to +23.0 (BLIP, questions)." in worth_told([told])
    assert worth_of_attention([*whole[1:], *others]) == []
    assert worth_told([]) == ""


def test_what_attention_is_worth_to_students_of_minilm_is_told_once_all_are_there() -> None:
    def row(method: str, cosine: float | None) -> dict[str, Any]:
        return {"method": method, "means": {"cosine": cosine}}

    rows = [row("ground-truth", 53.0), row("amad-kl", 50.0), row("mean-head-kl", 48.0)]
    told = sentences_told(rows)
    assert "a cosine of 53.0 to 53.0 with no attention term, and of 48.0 to 50.0 with one" in told
    assert sentences_told([*rows, row("best-match-kl", None)]) == ""
    assert sentences_told([]) == ""


def test_amad_is_set_beside_the_others_over_the_seeds_that_pair() -> None:
    """Seeds that do not pair, or the wrong way round, and the mean is another."""
    level = {"amad-kl": 60.0, "mean-head-kl": 64.0, "logits": 40.0}
    conditions = {method: condition("blip", "digit-questions", method) for method in level}
    weights = {tuned_as(one): 1.0 for one in conditions.values()}
    cells = {method: cells_of(one, weights) for method, one in conditions.items()}
    records = {
        cell.key: record(cell, level[method], noise=0.0)
        for method, of_method in cells.items()
        for cell in of_method
    }
    of_amad, of_mean = cells["amad-kl"], cells["mean-head-kl"]
    records[of_amad[1].key]["scores"]["accuracy"] = 62.0
    records[of_mean[0].key]["run"]["teacher"]["sha256"] = "of another"
    records[of_mean[0].key]["scores"]["accuracy"] = 0.0
    rows = rows_of([cell for one in cells.values() for cell in one], records)
    found = {one["method"]: one for one in beside_amad(rows, records, weights)}
    assert list(found) == ["logits", "mean-head-kl"]
    mean_map = found["mean-head-kl"]
    assert (mean_map["seeds"], mean_map["planned"]) == (len(SEEDS) - 1, len(SEEDS))
    assert mean_map["mean"] == pytest.approx(-4 + 2 / (len(SEEDS) - 1))
    assert mean_map["low"] < mean_map["mean"] < mean_map["high"] < 0
    table = beside_amad_table(list(found.values()))
    assert table["columns"] == ["teacher's answers", "mean map, KL"]
    (row,) = table["rows"]
    assert row["heading"] == "BLIP, questions"
    assert row["cells"][1] == {"text": "−3.8", "note": "−4.2 to −3.4; 11 of 12 seeds"}
    assert "tested: −3.8 points (−4.2 to −3.4)." in mean_map_told(list(found.values()))
    ahead = {**mean_map, "mean": 1.0, "low": -1.0, "high": 3.0}
    assert "−3.8 to +1.0 points, and of 2 intervals 1 below zero, none above" in mean_map_told(
        [mean_map, ahead]
    )


def test_a_report_of_nothing_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    write_report(tmp_path)
    page = (tmp_path / "report.html").read_text()
    read(page)
    assert "There is none yet" in page
    assert 'class="tag supported"' not in page
    summary = json.loads((tmp_path / "results.json").read_text())
    assert summary["cells"]["done"] == 0
    assert summary["cells"]["planned"] == sum(len(one.cells) for one in whole_plan({}))


def test_hostile_names_are_escaped(study: Path) -> None:
    summary = json.loads(json.dumps(summarise(study)))
    summary["answer"][0]["asked"] = "<b onload=x>"
    summary["hypotheses"][0]["findings"][0]["label"] = '"><script>x</script>'
    page = as_html(summary)
    assert "<script" not in page
    assert "<b onload" not in page
    read(page)


def test_what_json_has_no_number_for_is_left_out(study: Path, tmp_path: Path) -> None:
    """Scores that are the same for every seed: effects and a ratio of spreads without bound."""
    (tmp_path / "cells").mkdir()
    for key, one in scored(read_records(study), lambda cell, _: level(cell)).items():
        (tmp_path / "cells" / f"{key}.json").write_text(json.dumps(one))
    write_report(tmp_path)
    content = (tmp_path / "results.json").read_text()
    assert "Infinity" not in content
    assert "NaN" not in content
    (first,) = [one for one in json.loads(content)["hypotheses"] if one["name"] == "H1"]
    assert first["findings"][0]["paired"]["effect"] is None
    assert first["word"] == "supported"
    read((tmp_path / "report.html").read_text())


MARKED = (
    "before\n<!-- figures: answer -->\nold\n<!-- end of figures -->\nbetween\n"
    "<!-- figures: scores -->\n<!-- end of figures -->\nafter\n"
)


def test_figures_of_the_documentation_come_from_the_summary(study: Path) -> None:
    summary = json.loads(json.dumps(summarise(study)))
    page = filled_page(MARKED, summary)
    assert "old" not in page
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "**Supported.**" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| AMAD, KL |")]
    (shown,) = [
        one
        for one in summary["scores"]
        if (one["family"], one["task"], one["method"]) == ("vl-t5", "digit-questions", "amad-kl")
        and not one["settings"]
    ]
    assert f"| {shown['mean']:.1f} ± {shown['spread']:.1f} |" in row
    assert filled_page(page, summary) == page
    nothing = filled_page(page, None)
    assert "No result is shown yet" in nothing
    assert "Supported" not in nothing


def test_the_documentation_takes_no_quick_results(study: Path) -> None:
    with pytest.raises(ValueError, match="of the quick study"):
        filled_page(MARKED, {**summarise(study), "quick": True})
    with pytest.raises(ValueError, match="no mark"):
        filled_page("nothing", None)
    with pytest.raises(ValueError, match="'magic'"):
        filled_page(MARKED.replace("scores", "magic"), None)


def test_the_record_of_these_tests_is_like_a_real_one() -> None:
    cell = Cell("vl-t5", "digit-questions", "amad-kl", seed=1)
    assert set(record(cell, 50.0)) == {
        "cell", "main score", "scores", "curve", "parity", "heads", "loss", "seconds", "run",
    }  # fmt: skip
