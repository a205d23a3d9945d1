"""Students of a sentence encoder; a small BERT of drawn weights stands for the one pre-trained."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from amad_study.analysis.summary import summarise
from amad_study.command import study
from amad_study.models.heads import with_heads_in_order
from amad_study.protocol.condition import SEEDS, TUNING_SEEDS
from amad_study.protocol.stages import WEIGHTS
from amad_study.report.documentation import filled_page
from amad_study.report.page import as_html
from amad_study.report.picture_files import picture_files
from amad_study.runs import plan as runs
from amad_study.runs.records import DamagedRecordError, read_records, record_path
from amad_study.sentences import corpus, minilm, plan, running
from amad_study.sentences.bench import LONGEST, PAD, ROW, UNKNOWN, RememberedMaps, make_bench
from amad_study.sentences.bench import SentenceBench as Bench
from amad_study.sentences.cell import METHODS, SentenceCell
from amad_study.sentences.corpus import Corpus, corpus_of, installed_sentences, sentences_in
from amad_study.sentences.plan import (
    choose_sentence_weights,
    counted_cells,
    planned,
    tuning_cells,
)
from amad_study.sentences.running import run_sentence_cell
from amad_study.sentences.student import scores_of_embeddings
from amad_study.sentences.summary import summarise_sentences
from amad_torch import capture_attention
from tests.study.workers_here import Here

WORDS = ("the", "mean", "of", "all", "values", "rows", "is", "given", "rare")
SMALL = SentenceCell(
    "amad-kl", seed=1, heads=2, width=8, layers=2, steps=8, batch_size=8, weight=0.3
)


def texts(number: int, first: int) -> tuple[str, ...]:
    """Sentences of the words but the last, each other than the others."""
    places = [[(row // 8**digit) % 8 for digit in range(3)] for row in range(first, first + number)]
    return tuple(" ".join(["the", *(WORDS[place] for place in one)]) for one in places)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    numbers = {"[PAD]": 0, "[UNK]": 1, **{word: row + 2 for row, word in enumerate(WORDS)}}
    made = Tokenizer(WordLevel(numbers, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made


@pytest.fixture(scope="module")
def teacher() -> BertModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=20,
            hidden_size=24,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=24,
            initializer_range=0.3,
        )
        return BertModel(config, add_pooling_layer=False).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def bench(teacher: BertModel, tokenizer: Tokenizer) -> Bench:
    said = Corpus(texts(32, 0), texts(8, 32), ("the rare mean", *texts(7, 40)), "a corpus")
    return make_bench(said, teacher, tokenizer, layers=2)


def test_sentences_are_split_by_their_texts() -> None:
    found = {f"The value number {number} is given here." for number in range(40)}
    less = corpus_of(found, train=10, validation=5, test=5)
    more = corpus_of(found, train=30, validation=5, test=5)
    assert (less.test, less.validation, less.sha256) == (more.test, more.validation, more.sha256)
    assert less.train == more.train[:10]
    assert {*more.train, *more.validation, *more.test} == found
    assert corpus_of(found - {less.train[0]}, train=1, validation=1, test=1).sha256 != less.sha256
    with pytest.raises(ValueError, match="41 sentences together, but there are 40"):
        corpus_of(found, train=31, validation=5, test=5)


def test_plain_sentences_are_found_in_docstrings(monkeypatch: pytest.MonkeyPatch) -> None:
    source = '''
def one():
    """Return the mean of
    all the values. Too short here. Of `code` there is no plain word here.

    - The end is not a full stop here:
    """
    "This is no docstring, but a sentence of its own."
'''
    assert list(sentences_in(source)) == ["Return the mean of all the values."]
    monkeypatch.setattr(corpus, "LIBRARIES", ("numpy",))  # the others take seconds
    installed_sentences.cache_clear()
    found = installed_sentences()
    installed_sentences.cache_clear()
    assert len(found) > 1_000
    assert all(6 <= len(one.split()) <= 14 and one[-1] == "." for one in found)


def test_the_teacher_is_asked_as_it_is(
    bench: Bench, teacher: BertModel, tokenizer: Tokenizer
) -> None:
    ids = torch.tensor([tokenizer.encode(texts(1, 5)[0]).ids])
    assert ids.shape == (1, LONGEST)
    mask = (ids > 0).long()
    with capture_attention(teacher) as captured:
        states = teacher(input_ids=ids, attention_mask=mask).last_hidden_state
    assert list(bench.maps) == [list(captured)[1], list(captured)[3]]
    for path, maps in bench.maps.items():
        torch.testing.assert_close(maps[5:6], captured[path].maps)
    mean = states[0, :4].mean(dim=0)
    torch.testing.assert_close(bench.train["target"][5], mean / mean.norm())
    assert (bench.train["input_ids"][5, :4] > UNKNOWN).all()
    assert (bench.train["input_ids"][5, 4:] == PAD).all()
    assert bench.test["input_ids"][0, 1] == UNKNOWN  # no training sentence has the word
    assert bench.words == int(bench.train["input_ids"].max()) + 1
    assert ROW not in bench.test


def test_heads_come_in_an_order_of_the_seed(bench: Bench, teacher: BertModel) -> None:
    batch = {ROW: torch.tensor([3, 1])}
    seen = []
    for seed in range(4):
        found = RememberedMaps(bench, seed).read(batch).attention
        assert found is not None
        path = next(iter(bench.maps))
        order = [
            next(h for h in range(4) if torch.equal(found[path].maps[:, place], maps[:, h]))
            for maps in [bench.maps[path][[3, 1]]]
            for place in range(4)
        ]
        assert sorted(order) == [0, 1, 2, 3]
        seen.append(tuple(order))
    assert len(set(seen)) > 1
    moved = with_heads_in_order(teacher, 0)  # and outputs do not depend on it
    ids = torch.tensor([[2, 3, 4]])
    torch.testing.assert_close(moved(ids).last_hidden_state, teacher(ids).last_hidden_state)


def test_scores_say_what_they_say() -> None:
    teacher = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]), dim=1
    )
    assert scores_of_embeddings(teacher, teacher) == pytest.approx(
        {"cosine": 100, "recall at 1": 100, "same neighbour": 100}
    )
    swapped = teacher[[1, 0, 2, 3]]
    found = scores_of_embeddings(swapped, teacher)
    assert found["recall at 1"] == 50
    assert found["same neighbour"] == 100
    assert 99 < found["cosine"] < 100
    assert scores_of_embeddings(teacher[[2, 1, 0, 3]], teacher)["same neighbour"] == 0


def test_a_cell_is_its_own_double_and_attention_matters(bench: Bench) -> None:
    cell = replace(SMALL, steps=24)
    one, again = (run_sentence_cell(cell, bench) for _ in range(2))
    compared = ("scores", "curve", "parity", "heads", "loss")
    assert [one[name] for name in compared] == [again[name] for name in compared]
    plain = run_sentence_cell(replace(cell, method="ground-truth"), bench)
    assert plain["parity"] == 0 < one["parity"]
    assert plain["heads"]["before"] == one["heads"]["before"]
    assert plain["scores"] != one["scores"]
    first, last = plain["curve"][0][1], plain["curve"][-1][1]
    assert last > first
    assert [step for step, _ in one["curve"]] == [6, 12, 18, 24]
    assert list(one["heads"]["after"]) != []
    assert one["corpus"] == "a corpus"


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_with_one_head(bench: Bench, method: str) -> None:
    record = run_sentence_cell(replace(SMALL, method=method, heads=1), bench)
    assert set(record["scores"]) == {"cosine", "recall at 1", "same neighbour"}
    assert (
        json.loads(json.dumps(record))["cell"] == replace(SMALL, method=method, heads=1).as_json()
    )


def test_cells_are_known_by_their_keys() -> None:
    cell = SentenceCell("amad-kl", 100, 3, 0.1)
    assert SentenceCell.from_json(cell.as_json()) == cell
    assert replace(cell, seed=100, weight=1).key == replace(cell, weight=1.0).key
    assert len({replace(cell, heads=heads).key for heads in plan.HEADS}) == 4
    for wrong, said in (
        ({"heads": 5}, "expected a divisor of width = 96"),
        ({"method": "magic"}, "expected one of ground-truth"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"weight": -1.0}, "weight is -1.0"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(cell, **wrong)  # type: ignore[arg-type]


def record_of(cell: SentenceCell, score: float) -> dict[str, Any]:
    scores = {"cosine": score, "recall at 1": score - 10, "same neighbour": score - 20}
    return {
        "cell": cell.as_json(),
        "main score": "cosine",
        "corpus": "one",
        "curve": [[cell.steps // 2, score / 2], [cell.steps, score]],
        "scores": scores,
        "run": {"elapsed": 10.0},
    }


def write(folder: Path, cells: list[SentenceCell], score: Any) -> None:
    (folder / "sentences").mkdir(exist_ok=True, parents=True)
    for cell in cells:
        path = folder / "sentences" / f"{cell.key}.json"
        path.write_text(json.dumps(record_of(cell, score(cell))))


def test_weights_come_first_and_all_methods_have_the_same_tries(tmp_path: Path) -> None:
    tuning = tuning_cells()
    assert len({cell.key for cell in tuning}) == 4 * len(WEIGHTS) * len(TUNING_SEEDS)
    write(tmp_path, tuning[:-1], lambda cell: 50 + 10 * (cell.weight == 0.3))
    chosen = choose_sentence_weights(read_records(tmp_path, SentenceCell))
    assert chosen == dict.fromkeys(METHODS[1:-1], 0.3)
    write(tmp_path, tuning, lambda cell: 50.0)
    chosen = choose_sentence_weights(read_records(tmp_path, SentenceCell))
    assert chosen == dict.fromkeys(METHODS[1:], min(WEIGHTS))
    cells = counted_cells(chosen)
    assert len(cells) + len(tuning) == planned() == 5 * 4 * 12 + 48
    assert {cell.seed for cell in cells} == set(SEEDS)
    assert [cell.seed for cell in cells] == sorted(cell.seed for cell in cells)


def test_the_page_says_what_the_plan_does() -> None:
    page = (Path(__file__).parents[2] / "docs" / "study-protocol.md").read_text()
    told = " ".join(page.split())
    usual = SentenceCell("amad-kl", 0)
    assert "{}, {}, {} or {} heads share".format(*plan.HEADS) in told
    assert f"{usual.layers} layers and a width of {usual.width}" in told
    assert (
        f"{usual.train_sentences:,} sentences in {usual.steps} steps of {usual.batch_size}" in told
    )
    assert f"of students with {plan.TUNED_WITH} heads" in told
    assert f"of {usual.test_sentences:,} unseen sentences" in told
    assert (
        f"{len(tuning_cells())} students that choose, and {planned() - len(tuning_cells())}" in told
    )


def test_the_report_shows_every_seed(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    marked = "<!-- figures: sentences -->\n<!-- end of figures -->\n"
    nothing = summarise(tmp_path)
    write(tmp_path, tuning_cells(), lambda _: 50.0)
    tuned = {**nothing, "sentences": {**nothing["sentences"], **summarise_sentences(tmp_path)}}
    for before in (nothing, tuned):
        assert 'id="sentences"' not in as_html(before)
        assert "embedding" not in filled_page(marked, before)
        assert picture_files(before) == {}
    assert "240 of\n288 are missing" in as_html(tuned)
    weights = choose_sentence_weights(read_records(tmp_path, SentenceCell))
    cells = counted_cells(weights)
    write(tmp_path, cells, lambda cell: 60 + cell.heads + (cell.seed - 100) / 10)
    summary = json.loads(json.dumps(summarise(tmp_path)))
    assert summary["sentences"]["done"] == summary["sentences"]["planned"]
    (row,) = [
        one
        for one in summary["sentences"]["rows"]
        if (one["method"], one["heads"]) == ("amad-kl", 12)
    ]
    assert row["seeds"]["111"]["recall at 1"] == pytest.approx(63.1)
    assert row["means"]["cosine"] == pytest.approx(72.55)
    page = as_html(summary)
    assert "72.5 ± 0.4" in page or "72.6 ± 0.4" in page
    assert "63.1" in page
    assert "no attention term" in page
    assert "different collections" not in page
    for seed, score in ((100, 72.0), (111, 73.1)):
        assert f"<title>AMAD, KL, seed {seed}: {score:.1f}</title>" in page
    assert page.count('class="point c5"') == 3 * 4 * len(SEEDS)
    table = filled_page(marked, summary)
    assert table.count("| AMAD, KL |") == 4
    assert "| 12, AMAD, KL | 72.0 | 72.1 |" in table
    pictures = picture_files(summary)
    assert {f"assets/{name}" in table for name in pictures} == {True}
    assert [ElementTree.fromstring(one).get("width") for one in pictures.values()] == ["480"] * 3
    other = record_of(cells[0], 60.0) | {"corpus": "another"}
    (tmp_path / "sentences" / f"{cells[0].key}.json").write_text(json.dumps(other))
    changed = {**summary, "sentences": {**summary["sentences"], **summarise_sentences(tmp_path)}}
    assert "2 different collections" in as_html(changed)
    (tmp_path / "sentences" / f"{cells[0].key}.json").write_text("{}")
    with pytest.raises(DamagedRecordError, match="no record of a cell"):
        summarise_sentences(tmp_path)


def test_the_command_goes_on_where_it_stopped(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def quick(cell: SentenceCell, _: Bench) -> dict[str, Any]:
        ran.append(cell.key)
        return record_of(cell, 60.0)

    monkeypatch.setattr(runs, "Workers", Here)
    monkeypatch.setattr(running, "bench_for", lambda *_: bench)
    monkeypatch.setattr(running, "run_sentence_cell", quick)
    monkeypatch.setattr("amad_study.command.sentences.find_minilm", lambda _: tmp_path)
    monkeypatch.setattr("amad_study.command.sentences.write_report", lambda _: "")
    write(tmp_path, tuning_cells()[:5], lambda _: 50.0)
    done = CliRunner().invoke(study, ["sentences", "--folder", str(tmp_path), "--plan"])
    assert "288 students of MiniLM, 5 done" in done.output
    done = CliRunner().invoke(study, ["sentences", "--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert len(ran) == len(set(ran)) == planned() - 5
    found = read_records(tmp_path, SentenceCell)
    assert {one["cell"]["seed"] for one in found.values()} == {*SEEDS, *TUNING_SEEDS}
    teachers = [one["run"]["teacher"]["name"] for one in found.values() if len(one["run"]) > 1]
    assert teachers == ["MiniLM-L6"] * len(ran)
    merged = CliRunner().invoke(study, ["merge", str(tmp_path), "--into", str(tmp_path / "all")])
    assert f"{planned()} records copied" in merged.output
    assert read_records(tmp_path / "all", SentenceCell) == found
    assert read_records(tmp_path / "all") == {}


def test_one_student_again(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "Workers", Here)
    monkeypatch.setattr(running, "bench_for", lambda *_: bench)
    assert runs.run_plan([SMALL], tmp_path, work=running.WorkOnSentences()) == {}
    path = record_path(tmp_path, SMALL)
    record = json.loads(path.read_text())

    def again() -> tuple[int, str]:
        done = CliRunner().invoke(study, ["cell", str(path)])
        return done.exit_code, done.output

    assert again()[0] == 0
    path.write_text(json.dumps({**record, "corpus": "another", "parity": 0.1}))
    code, said = again()
    assert code == 1
    assert "Different: parity." in said
    assert "other sentences" in said


def test_another_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in minilm.CHECKSUMS:
        (tmp_path / name).write_text("other weights")
    with pytest.raises(minilm.OtherModelError, match="it is not the file of sentence-transf"):
        minilm.find_minilm(str(tmp_path))
    arguments = ["sentences", "--folder", str(tmp_path / "new"), "--minilm"]
    assert CliRunner().invoke(study, [*arguments, str(tmp_path)]).exit_code == 2
    assert CliRunner().invoke(study, [*arguments, str(tmp_path / "absent")]).exit_code == 2
    monkeypatch.setattr(minilm, "PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(FileNotFoundError, match="MiniLM is not installed"):
        minilm.find_minilm()


@pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None,
    reason="MiniLM's weights are not installed (the extra 'minilm')",
)
def test_minilm_finds_what_means_the_same_alike() -> None:
    found = minilm.load_minilm(minilm.find_minilm())
    said = ("Return the mean of the values.", "Compute the average.", "A dog sleeps in the sun.")
    embeddings = make_bench(Corpus(said, said, said, ""), *found, layers=3).test["target"]
    alike = embeddings @ embeddings.T
    assert alike[0, 1] > 0.5 > alike[0, 2]
