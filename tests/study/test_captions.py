"""Captions state what is there, and are read back to the same facts."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_study.data import Fact, Sizes, load_task
from amad_study.data.digits.captions import WORDS, describe, read_caption, say, true_facts
from tests.study.seen_scene import NUMBERS, PLACES, Seen, look_at, some_scene

SIDES = ("left of", "right of", "above", "under")
SAYABLE: list[Fact] = [
    *(("count", number) for number in NUMBERS[3:7]),
    *(("place", str(digit), place) for digit in range(10) for place in PLACES),
    *((side, str(a), str(b)) for side in SIDES for a, b in permutations(range(10), 2)),
]


def holds(fact: Fact, seen: Seen) -> bool:
    relation, *arguments = fact
    if relation == "count":
        return NUMBERS.index(arguments[0]) == len(seen.at)
    if relation == "place":
        down, right = divmod(PLACES.index(arguments[1]), 3)
        return seen.at.get((right, down)) == int(arguments[0])
    there, here = map(int, arguments)
    return here in seen.at.values() and seen.next_to(here, relation) == there


def test_the_parser_inverts_the_grammar() -> None:
    for fact in SAYABLE:
        assert read_caption(say(fact)) == [fact]
        assert {*say(fact).split()} <= {*WORDS}
    said = " ".join(map(say, SAYABLE))
    assert read_caption(said) == SAYABLE


@given(seed=st.integers(0, 2**32))
def test_a_caption_states_facts_and_introduces_every_digit_once(seed: int) -> None:
    scene, _ = some_scene(seed)
    seen, caption = look_at(scene), describe(scene)
    facts = read_caption(caption)
    assert all(fact is not None and holds(fact, seen) for fact in facts)
    assert sorted(fact[1] for fact in facts[1:] if fact) == sorted(map(str, seen.at.values()))
    assert caption == " ".join(say(fact) for fact in facts if fact)


@given(seed=st.integers(0, 2**32))
def test_what_is_listed_as_true_is_all_that_is(seed: int) -> None:
    scene, _ = some_scene(seed)
    assert true_facts(scene) == {fact for fact in SAYABLE if holds(fact, look_at(scene))}


@pytest.mark.parametrize(
    "sentence",
    ["two digits", "seven digits", "7 is top", "7 is left of", "7 left of 3", "12 is top left"],
)
def test_what_the_grammar_does_not_know_is_no_fact(sentence: str) -> None:
    assert read_caption(f"four digits . {sentence} . 3 is top left") == [
        ("count", "four"), None, ("place", "3", "top left"),
    ]  # fmt: skip


def test_the_reference_scores_in_full_and_a_wrong_place_costs_its_fact() -> None:
    task = load_task("digit-captions", sizes=Sizes(1, 1, 40))
    examples = task.test.examples
    right = [example.target for example in examples]
    perfect = task.score(examples, right)
    assert perfect == pytest.approx(dict.fromkeys(perfect, 100.0))
    assert task.main_score in perfect
    shorter = [caption.partition(" . ")[2] for caption in right]  # the number of digits left out
    scores = task.score(examples, shorter)
    sentences = sum(caption.count(" .") for caption in right)
    assert scores["fact precision"] == 100.0
    assert scores["fact recall"] == pytest.approx(100 * (1 - 40 / sentences))
    assert scores["complete captions"] == 0.0
