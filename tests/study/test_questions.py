"""Every answer is right, and nothing but the scene tells it."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_study.data.digits.questions import STEPS, WORDS, Question, ask
from amad_study.data.digits.scenes import Scene, compose_scene
from tests.study.seen_scene import PLACES, Seen, look_at, some_scene

SIDE = r"(left of|right of|above|under)"
PLACE = rf"({'|'.join(PLACES)})"


def answer_by_looking(text: str, seen: Seen) -> tuple[str, int]:
    """The answer, and the number of operations that it took."""
    if match := re.fullmatch(rf"which digit is {PLACE} \?", text):
        return str(seen.place(match[1])), 1
    if match := re.fullmatch(r"is there any (\d) \?", text):
        return ("yes" if int(match[1]) in seen.at.values() else "no"), 1
    if match := re.fullmatch(rf"which digit is {SIDE} the (\d) \?", text):
        return str(seen.next_to(int(match[2]), match[1])), 2
    if match := re.fullmatch(rf"is the digit {PLACE} (even|odd) \?", text):
        return yes_if(match[2], seen.place(match[1])), 2
    if match := re.fullmatch(rf"which digit is {SIDE} the digit {SIDE} the (\d) \?", text):
        first = seen.next_to(int(match[3]), match[2])
        assert first is not None
        return str(seen.next_to(first, match[1])), 3
    match = re.fullmatch(rf"is the digit {SIDE} the (\d) (even|odd) \?", text)
    assert match is not None, text
    digit = seen.next_to(int(match[2]), match[1])
    assert digit is not None
    return yes_if(match[3], digit), 3


def yes_if(parity: str, digit: int) -> str:
    return "yes" if parity == ("odd" if digit in (1, 3, 5, 7, 9) else "even") else "no"


def questions(kind: str, seed: int) -> Iterator[tuple[Scene, Question]]:
    random = np.random.default_rng(seed)
    while True:
        scene = compose_scene("test", random)
        question = ask(scene, kind, random)
        if question is not None:
            yield scene, question


@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", STEPS)
def test_every_answer_is_right_and_takes_its_steps(kind: str, seed: int) -> None:
    scene, question = next(questions(kind, seed))
    assert question.kind == kind
    assert (question.answer, STEPS[kind]) == answer_by_looking(question.text, look_at(scene))
    assert {*question.text.split(), question.answer} <= {*WORDS}


@given(seed=st.integers(0, 2**32))
def test_no_question_leads_back_to_the_digit_it_names(seed: int) -> None:
    _, question = next(questions("neighbour of a neighbour", seed))
    assert question.answer not in question.text.split()


CHANCE = {
    "place": 1 / 10,
    "presence": 1 / 2,
    "neighbour": 1 / 9,  # a digit has no other of its kind beside it
    "parity": 1 / 2,
    "neighbour of a neighbour": 1 / 9,
    "parity of a neighbour": 1 / 2,
}


@pytest.mark.parametrize("kind", STEPS)
def test_the_words_of_a_question_do_not_tell_its_answer(kind: str) -> None:
    """An oracle that knows the digit's parity and every other word finds no more than chance."""
    drawn = [question for _, question in islice(questions(kind, 5), 4000)]
    fitted: dict[str, Counter[str]] = {}
    for question in drawn[:2500]:
        fitted.setdefault(clue(question), Counter())[question.answer] += 1
    right = [
        fitted[clue(one)].most_common(1)[0][0] == one.answer
        for one in drawn[2500:]
        if clue(one) in fitted
    ]
    chance = CHANCE[kind]
    spread = (chance * (1 - chance) / len(right)) ** 0.5
    assert np.mean(right) < chance + 3.5 * spread


def clue(question: Question) -> str:
    """What is named, and what is asked of it; the side left out, so that few clues are many."""
    words = [word for word in question.text.split() if word in WORDS and len(word) > 2]
    named = [word for word in question.text.split() if word.isdigit()]
    if question.kind == "parity of a neighbour":
        return f"{int(named[0]) % 2} {words[-1]}"
    return f"{named} {words if question.kind in ('place', 'parity') else ''}"


def test_digits_are_answered_evenly_and_yes_as_often_as_no() -> None:
    for kind in STEPS:
        answers = Counter(one.answer for _, one in islice(questions(kind, 9), 1500))
        expected = 1500 / len(answers)
        assert len(answers) == (2 if CHANCE[kind] == 1 / 2 else 10)
        chi_square = sum((count - expected) ** 2 / expected for count in answers.values())
        assert chi_square < (10.8 if len(answers) == 2 else 27.9), kind  # one in a thousand


def test_an_unknown_kind_is_refused() -> None:
    scene, random = some_scene(0)
    with pytest.raises(ValueError, match=r"kind is 'colour', expected one of .*'neighbour'"):
        ask(scene, "colour", random)
