"""Published formats are read as they are, and what departs from them is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import easy_vqa as package
import numpy as np
import pytest

from amad_study.data import Sizes, Task, load_task
from amad_study.data.public.choosing import held_out
from tests.study.published_files import make_coco_captions, make_multi30k, make_vqa_v2

MAKERS: dict[str, Callable[[Path], None]] = {
    "vqa-v2": make_vqa_v2,
    "coco-captions": make_coco_captions,
    "multi30k-de": make_multi30k,
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in MAKERS}
    for name, make in MAKERS.items():
        make(made[name])
    return made


def pictures(task: Task) -> list[set[str]]:
    return [{one.picture for one in split.examples} for split in (task.train, task.validation)]


@pytest.mark.parametrize("name", MAKERS)
def test_one_line_loads_published_files(name: str, folders: dict[str, Path]) -> None:
    task = load_task(name, folder=folders[name])
    example = task.test.examples[0]
    assert task.test.picture(example).pixels.shape == (224, 224, 3)
    assert task.test.picture(example).crops().shape == (49, 32, 32, 3)
    assert not set.intersection(*pictures(task))
    right = task.score(task.test.examples, [one.references[0] for one in task.test.examples])
    assert task.main_score in right
    fewer = load_task(name, folder=str(folders[name]), sizes=Sizes(3, 2, 4))
    assert [len(split) for split in (fewer.train, fewer.validation, fewer.test)] == [3, 2, 4]
    assert fewer.train.examples == task.train.examples[:3]
    other = load_task(name, folder=folders[name], seed=1)
    assert {*other.train.examples} == {*task.train.examples}
    assert other.train.examples != task.train.examples


def test_vqa_v2_has_ten_answers_and_its_types(folders: dict[str, Path]) -> None:
    task = load_task("vqa-v2", folder=folders["vqa-v2"])
    assert len(task.train) + len(task.validation) == len(task.test) == 60
    for example in task.test.examples:
        asked = {"Is it blue?": ("yes", "yes/no"), "What color is it?": ("blue", "other")}
        assert (example.target, example.kind) == asked[example.source]
        assert example.references == (example.target,) * 7 + ("red",) * 3
        shade = task.test.picture(example).pixels[0, 0, 0] * 255
        assert abs(shade - int(example.picture)) < 4  # JPEG
    scores = task.score(task.test.examples, ["red"] * 60)
    assert scores == pytest.approx({"accuracy": 90, "accuracy: other": 90, "accuracy: yes/no": 90})
    assert all(held_out(name) for name in pictures(task)[1])
    assert not any(held_out(name) for name in pictures(task)[0])


def test_coco_trains_on_captions_and_tests_on_pictures(folders: dict[str, Path]) -> None:
    task = load_task("coco-captions", folder=folders["coco-captions"])
    assert len(task.train) + 5 * len(task.validation) == 150
    assert len(task.test) == 30
    for example in task.test.examples:
        assert example.references == tuple(
            f"Sentence {one} of {example.picture}." for one in range(5)
        )
    shown = {(one.picture, one.target) for one in task.train.examples}
    assert len(shown) == len(task.train)


def test_multi30k_keeps_lines_together(folders: dict[str, Path]) -> None:
    task = load_task("multi30k-de", folder=folders["multi30k-de"])
    for split, name in (
        (task.train, "train"),
        (task.validation, "val"),
        (task.test, "test_2016_flickr"),
    ):
        assert len(split) == 12
        for one in split.examples:
            number = one.picture.removeprefix(name).removesuffix(".jpg")
            assert one.source == f"A man\u2028with a dog {number}."
            assert one.target == f"Ein Mann mit Hund {number}."


def changed(path: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
ANNOTATIONS = "v2_mscoco_train2014_annotations.json"
CAPTIONS = "annotations/captions_val2017.json"
GERMAN = "data/task1/raw/val.de.gz"


@pytest.mark.parametrize(
    ("name", "file", "change", "error"),
    [
        ("vqa-v2", QUESTIONS, lambda c: c["questions"][3].pop("question"),
         r"train2014_questions.json: questions.3.question: Field required \(1 in all\)"),
        ("vqa-v2", QUESTIONS, lambda c: c["questions"][0].update(image_id="9"),
         "questions.0.image_id: Input should be a valid integer"),
        ("vqa-v2", QUESTIONS, lambda c: c["questions"].pop(),
         "question_id .* has no answers, or .*questions.json has no such question"),
        ("vqa-v2", ANNOTATIONS, lambda c: c["annotations"].pop(),
         "answers 59 of the 60 questions"),
        ("vqa-v2", ANNOTATIONS, lambda c: c["annotations"][5].update(image_id=999),
         "no such question about the same image"),
        ("vqa-v2", ANNOTATIONS, lambda c: c["annotations"][5].update(answers=[]),
         "has no answers"),
        ("coco-captions", CAPTIONS, lambda c: c.pop("images"), "images: Field required"),
        ("coco-captions", CAPTIONS, lambda c: c["images"].pop(0),
         "a caption is about image_id 1, which is not among its 29 images"),
    ],
)  # fmt: skip
def test_files_that_are_not_as_published_are_named(
    tmp_path: Path, name: str, file: str, change: Callable[[Any], None], error: str
) -> None:
    MAKERS[name](tmp_path)
    changed(tmp_path / file, change)
    with pytest.raises(ValueError, match=error):
        load_task(name, folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [("vqa-v2", ANNOTATIONS), ("coco-captions", CAPTIONS), ("multi30k-de", GERMAN)],
)
def test_files_that_are_missing_or_broken_are_named(tmp_path: Path, name: str, file: str) -> None:
    MAKERS[name](tmp_path)
    (tmp_path / file).write_bytes(b"{\xff")
    with pytest.raises(ValueError, match=Path(file).name.removesuffix(".gz")):
        load_task(name, folder=tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(FileNotFoundError, match=Path(file).name.removesuffix(".gz")):
        load_task(name, folder=tmp_path)


def test_lines_that_do_not_match_are_refused(tmp_path: Path) -> None:
    make_multi30k(tmp_path)
    raw = tmp_path / "data" / "task1" / "raw"
    (raw / "train.en").write_text("A dog.\n")  # the plain file goes before the compressed one
    with pytest.raises(ValueError, match="train has 1 lines in English, 12 in de and 12 pictures"):
        load_task("multi30k-de", folder=tmp_path)
    (raw / "train.en").write_text("A dog.\n" * 4 + "\n" + "A dog.\n" * 7)
    with pytest.raises(ValueError, match="line 5 of train is empty"):
        load_task("multi30k-de", folder=tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_pictures_that_are_missing_or_broken_are_named(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path)
    files = sorted(tmp_path.rglob("*.jpg"))
    files[-1].write_bytes(b"no image")
    task = load_task(name, folder=tmp_path)
    with pytest.raises(ValueError, match=f"{files[-1].name} cannot be read as an image"):
        [
            picture
            for split in (task.train, task.validation, task.test)
            for picture in split.pictures.values()
        ]
    files[-1].unlink()
    with pytest.raises(
        FileNotFoundError, match=f"1 of .* pictures are missing, .*{files[-1].name}"
    ):
        load_task(name, folder=tmp_path)


KINDS = ("colour", "shape", "yes or no")


def test_easy_vqa_is_the_package_s(folders: dict[str, Path]) -> None:
    task = load_task("easy-vqa")
    assert len(task.train) + len(task.validation) == len(package.get_train_questions()[0])
    assert len(task.test) == len(package.get_test_questions()[0])
    assert not set.intersection(*pictures(task))
    assert {one.target for one in task.train.examples} == set(package.get_answers())
    asked = zip(*package.get_test_questions(), strict=True)
    expected = {(str(picture), text, answer) for text, answer, picture in asked}
    for one in task.test.examples:
        assert (one.picture, one.source.replace(" ?", "?"), one.target) in expected
    picture = task.test.picture(task.test.examples[0])
    assert picture.crops().shape == (16, 16, 16, 3)
    assert np.ptp(picture.pixels) > 0.1
    seen = [next(one for one in task.test.examples if one.kind == kind) for kind in KINDS]
    right, wrong = [one.target for one in seen], ["", "", ""]
    assert task.main_score == "accuracy: colour or shape"
    assert task.score(seen, [right[0], "", ""])[task.main_score] == 50
    assert task.score(seen, ["", "", right[2]])[task.main_score] == 0
    assert task.score(seen[2:], wrong[2:])[task.main_score] == 0
