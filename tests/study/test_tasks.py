"""Tasks by name: splits that share no image, seeds that reproduce, sizes that nest."""

import numpy as np
import pytest
from sklearn import datasets

from amad_study.data import TASKS, Sizes, Split, Task, load_task
from amad_study.data.chance import text_only_answers, with_pictures_of_others
from amad_study.data.digits.questions import STEPS
from amad_study.data.digits.scenes import load_digits
from amad_study.data.picture import Picture, patch_boxes

DIGITS = ("digit-questions", "digit-captions", "digit-translation")
SPLITS = ("train", "validation", "test")
SMALL = Sizes(train=30, validation=20, test=20)


def images(split: Split) -> set[bytes]:
    """The pixels inside all boxes."""
    return {crop.tobytes() for picture in split.pictures.values() for crop in picture.crops()}


@pytest.mark.parametrize("name", DIGITS)
def test_scenes_of_a_split_show_its_own_images_only(name: str) -> None:
    task = load_task(name, sizes=SMALL)
    for split in SPLITS:
        scans = datasets.load_digits().images[load_digits(split).numbers]
        own = {(scan / 16).astype(np.float32).tobytes() for scan in scans}
        assert images(getattr(task, split)) <= own
    assert not images(task.train) & images(task.test)
    assert not images(task.validation) & images(task.test)
    assert not images(task.train) & images(task.validation)


@pytest.mark.parametrize("name", DIGITS)
def test_every_digit_of_a_scene_is_in_a_box(name: str) -> None:
    split = load_task(name, sizes=SMALL).test
    for example in split.examples:
        picture = split.picture(example)
        covered = np.zeros_like(picture.pixels, dtype=bool)
        for top, left, bottom, right in picture.boxes:
            covered[top:bottom, left:right] = True
        assert not picture.pixels[~covered].any()
        assert picture.pixels.dtype == np.float32
        assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1
        np.testing.assert_allclose(picture.relative_boxes() * 30, picture.boxes, rtol=1e-6)


def same(one: Split, other: Split) -> bool:
    return one.examples == other.examples and all(
        np.array_equal(one.pictures[name].pixels, other.pictures[name].pixels)
        for name in one.pictures
    )


@pytest.mark.parametrize("name", [*DIGITS, "easy-vqa"])
def test_seeds_reproduce_and_less_is_the_first_of_more(name: str) -> None:
    task, again = load_task(name, seed=3, sizes=SMALL), load_task(name, seed=3, sizes=SMALL)
    assert all(same(getattr(task, split), getattr(again, split)) for split in SPLITS)
    larger = load_task(name, seed=3, sizes=Sizes(45, 20, 20)).train
    assert larger.examples[:30] == task.train.examples
    assert len(larger) == 45
    other = load_task(name, seed=4, sizes=SMALL)
    assert not any(same(getattr(task, split), getattr(other, split)) for split in SPLITS)


def test_kinds_have_their_shares() -> None:
    examples = load_task("digit-questions", sizes=Sizes(3000, 1, 1)).train.examples
    steps = np.bincount([example.steps for example in examples])
    assert all(example.steps == STEPS[example.kind] for example in examples)
    np.testing.assert_allclose(steps[1:] / 3000, 1 / 3, atol=0.03)
    yes_or_no = [example.target in ("yes", "no") for example in examples]
    assert np.mean(yes_or_no) == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("name", [*DIGITS, "easy-vqa"])
def test_the_right_texts_score_in_full(name: str) -> None:
    task: Task = load_task(name, sizes=SMALL)
    scores = task.score(task.test.examples, [one.target for one in task.test.examples])
    assert scores == pytest.approx(dict.fromkeys(scores, 100.0))
    assert task.main_score in scores
    for example in (*task.train.examples, *task.test.examples):
        assert {*example.source.split(), *example.target.split()} <= {*task.words}
        assert example.target in example.references


def test_text_only_answers_are_the_most_frequent_ones() -> None:
    task = load_task("digit-questions", sizes=Sizes(400, 1, 50))
    examples = task.train.examples
    for one, said in zip(
        task.test.examples, text_only_answers(examples, task.test.examples), strict=True
    ):
        asked = [other.target for other in examples if other.source == one.source]
        asked = asked or [other.target for other in examples if other.kind == one.kind]
        assert asked.count(said) == max(map(asked.count, asked))


def test_pictures_of_others_are_others() -> None:
    examples = load_task("digit-questions", sizes=SMALL).test.examples
    swapped = with_pictures_of_others(examples)
    assert all(one.picture != other.picture for one, other in zip(examples, swapped, strict=True))
    assert [one.source for one in swapped] == [one.source for one in examples]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": "digits"}, r"name is 'digits', expected one of digit-questions, "),
        ({"name": "easy-vqa", "folder": "x"}, "folder is 'x', but 'easy-vqa' reads no files"),
        ({"name": "vqa-v2"}, "folder is missing: 'vqa-v2' is read from its publisher's files"),
        ({"name": "digit-captions", "seed": -1}, "seed is -1, expected 0 or more"),
        (
            {"name": "easy-vqa", "sizes": Sizes(train=40_000)},
            "train asks for 40000 examples, but the files hold 34851",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused(arguments: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        load_task(**arguments)


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="validation is 0, expected at least 1 example"):
        Sizes(validation=0)


def test_standardised_pictures_have_their_ground_near_zero() -> None:
    pixels = np.full((8, 8, 3), 0.9, dtype=np.float32)
    pixels[2, 3] = (1.0, 0.0, 0.5)
    seen = Picture(pixels, patch_boxes(8, 4)).standardised().pixels
    np.testing.assert_allclose(seen.mean(axis=(0, 1)), 0, atol=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)
    assert np.abs(seen[0, 0]).max() < 0.3
    assert seen[2, 3, 0] > 0 > seen[2, 3, 2] > seen[2, 3, 1]
    plain = Picture(pixels[:2], patch_boxes(8, 4)).standardised().pixels
    np.testing.assert_allclose(plain, 0, atol=0.1)


def test_patches_fill_the_picture_in_reading_order() -> None:
    pixels = np.arange(6 * 6, dtype=np.float32).reshape(6, 6, 1)
    crops = Picture(pixels, patch_boxes(6, 2)).crops()
    assert crops.shape == (9, 2, 2, 1)
    assert crops[1, 0, 0, 0] == 2
    assert crops[3, 0, 0, 0] == 12
    assert sorted(crops.ravel()) == list(range(36))
    with pytest.raises(ValueError, match="patch is 4, expected a divisor of the image's size"):
        patch_boxes(6, 4)
    with pytest.raises(ValueError, match="boxes have 2 sizes"):
        Picture(pixels, np.array([[0, 0, 2, 2], [0, 0, 3, 2]])).crops()


def test_every_name_is_on_the_list() -> None:
    assert {*DIGITS, "easy-vqa", "vqa-v2", "coco-captions", "multi30k-de"} <= {*TASKS}
