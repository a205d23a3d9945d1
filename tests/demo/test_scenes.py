"""Scenes and questions, recomputed from scikit-learn's images without the demo's own logic."""

import re

import numpy as np
import pytest
from sklearn import datasets

from amad_demo.batches import LONGEST_QUESTION, collate, draw_questions
from amad_demo.questions import ask
from amad_demo.scenes import Scene, compose_scene, load_digits
from amad_demo.vocabulary import WORDS, decode, encode

BUNCH = datasets.load_digits()
PLACES = {"top": 0, "middle": 1, "bottom": 2, "left": 0, "centre": 1, "right": 2}


def placed_digits(scene: Scene) -> dict[tuple[int, int], int]:
    """Find out from pixel positions and scikit-learn's labels which digit stands where."""
    return {
        (top // 10, left // 10): int(BUNCH.target[number])
        for (top, left), number in zip(scene.corners, scene.numbers, strict=True)
    }


def expected_answer(text: str, digits: dict[tuple[int, int], int]) -> str:
    if match := re.fullmatch(r"is there any (\d) \?", text):
        return "yes" if int(match[1]) in digits.values() else "no"
    if match := re.fullmatch(r"which digit is alone in the (\w+) (row|column) \?", text):
        axis = ("row", "column").index(match[2])
        (alone,) = [digit for cell, digit in digits.items() if cell[axis] == PLACES[match[1]]]
        return str(alone)
    match = re.fullmatch(r"which digit is (\w+) (\w+) \?", text)
    assert match is not None, text
    return str(digits[PLACES[match[1]], PLACES[match[2]]])


def test_the_splits_share_no_image_and_leave_none_out() -> None:
    numbers = [set(load_digits(split).numbers) for split in ("train", "validation", "test")]
    assert sum(len(split) for split in numbers) == len(BUNCH.target) == len(set.union(*numbers))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_scenes_are_made_of_the_split_s_own_images(split: str) -> None:
    random, allowed = np.random.default_rng(3), set(load_digits(split).numbers)  # type: ignore[arg-type]
    for _ in range(50):
        scene = compose_scene(split, random)  # type: ignore[arg-type]
        assert set(scene.numbers) <= allowed
        assert len(set(scene.cells)) == len(set(scene.labels)) == len(scene.numbers)
        for (top, left), number in zip(scene.corners, scene.numbers, strict=True):
            region = scene.canvas[top : top + 8, left : left + 8]
            np.testing.assert_allclose(region * 16, BUNCH.images[number])


def test_every_answer_is_right() -> None:
    random = np.random.default_rng(11)
    kinds = set()
    for _ in range(500):
        scene = compose_scene("test", random)
        question = ask(scene, random)
        kinds.add(question.kind)
        assert question.answer == expected_answer(question.text, placed_digits(scene))
    assert kinds == {"position", "line", "presence"}


def test_a_question_mostly_has_no_right_answer_by_guessing() -> None:
    answers = draw_questions("test", 2000, 1).answer.numpy()
    digits = answers[answers <= encode("9")[0]]
    assert np.bincount(digits).max() / len(digits) < 0.15


def test_a_batch_masks_exactly_what_is_padding() -> None:
    random = np.random.default_rng(7)
    scenes = [compose_scene("test", random) for _ in range(40)]
    questions = [ask(scene, random) for scene in scenes]
    batch = collate(scenes, questions)
    for row, (scene, question) in enumerate(zip(scenes, questions, strict=True)):
        words = batch.question[row][batch.mask[row, :LONGEST_QUESTION]]
        assert " ".join(decode(int(word)) for word in words) == question.text
        regions = batch.regions[row][batch.mask[row, LONGEST_QUESTION:]]
        assert len(regions) == len(scene.numbers)
        np.testing.assert_allclose(
            regions.numpy() * 16, BUNCH.images[list(scene.numbers)].reshape(-1, 64)
        )
        assert decode(int(batch.answer[row])) == question.answer


def test_questions_can_be_drawn_again() -> None:
    first, second = draw_questions("train", 30, 5), draw_questions("train", 30, 5)
    assert first.regions.equal(second.regions)
    assert first.question.equal(second.question)
    assert not first.regions.equal(draw_questions("train", 30, 6).regions)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="split is 'tset', expected one of"):
        load_digits("tset")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'unicorn', which is none of the"):
        encode("which unicorn ?")
    assert len(set(WORDS)) == len(WORDS)
