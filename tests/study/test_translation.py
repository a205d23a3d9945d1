"""Translations are right, and what the source leaves open only the scene decides."""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_study.data import Sizes, load_task
from amad_study.data.chance import text_only_translations
from amad_study.data.digits.scenes import Scene, compose_scene
from amad_study.data.digits.translation import KINDS, WORDS, Sentence, compose_sentence
from tests.study.seen_scene import Seen, look_at, some_scene

NAMES = ["nul", "eko", "duo", "tri", "kar", "pen", "sis", "sep", "ok", "nen"]
SIDES = {"lasi": "left of", "resu": "right of", "supa": "above", "malo": "under"}
CALLED = {"bira": (0, 5), "tomu": (1, 6), "kelo": (2, 7), "vani": (3, 8), "guso": (4, 9)}
OPEN = {"beside": ("lasi", "resu"), "facing": ("supa", "malo")}


def clauses(text: str, joint: str) -> list[str]:
    assert text.endswith(" .")
    return text.removesuffix(" .").split(f" {joint} ")


def from_english(clause: str) -> list[tuple[str, ...]]:
    """What may stand at each place of the second language."""
    side = "(left of|right of|above|under)"
    postposition = {english: word for word, english in SIDES.items()}
    if match := re.fullmatch(r"the (\d) is (beside|facing) the (\d)", clause):
        return [(NAMES[int(match[3])],), OPEN[match[2]], (NAMES[int(match[1])],), ("es",)]
    match = re.fullmatch(rf"the one {side} the (\d) is {side} the (\d)", clause)
    assert match is not None, clause
    return [
        (NAMES[int(match[4])],), (postposition[match[3]],),
        (NAMES[int(match[2])],), (postposition[match[1]],), tuple(CALLED), ("es",),
    ]  # fmt: skip


def holds(clause: str, seen: Seen) -> bool:
    words = clause.split()
    assert words[-1] == "es"
    digit = {name: number for number, name in enumerate(NAMES)}
    there = seen.next_to(digit[words[0]], SIDES[words[1]])
    if len(words) == 4:
        return there == digit[words[2]]
    return there == seen.next_to(digit[words[2]], SIDES[words[3]]) and there in CALLED[words[4]]


def sentences(kind: str, seed: int) -> Iterator[tuple[Scene, Sentence]]:
    random = np.random.default_rng(seed)
    while True:
        scene = compose_scene("test", random)
        sentence = compose_sentence(scene, kind, random)
        if sentence is not None:
            yield scene, sentence


@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", KINDS)
def test_a_translation_is_true_and_the_other_choices_are_false(kind: str, seed: int) -> None:
    scene, sentence = next(sentences(kind, seed))
    seen, words = look_at(scene), sentence.target.split()
    assert {*sentence.source.split(), *words} <= {*WORDS}
    assert all(holds(clause, seen) for clause in clauses(sentence.target, "ke"))
    for slot in sentence.ambiguities:
        assert words[slot.place] in slot.choices
        for other in {*slot.choices} - {words[slot.place]}:
            changed = [*words[: slot.place], other, *words[slot.place + 1 :]]
            assert not all(holds(one, seen) for one in clauses(" ".join(changed), "ke"))


@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("kind", KINDS)
def test_the_source_leaves_open_what_is_said_to_be_open_and_nothing_else(
    kind: str, seed: int
) -> None:
    _, sentence = next(sentences(kind, seed))
    allowed: list[tuple[str, ...]] = []
    for clause in clauses(sentence.source, "and"):
        allowed += [*([("ke",)] if allowed else []), *from_english(clause)]
    allowed.append((".",))
    assert all(word in may for word, may in zip(sentence.target.split(), allowed, strict=True))
    several = {place: {*may} for place, may in enumerate(allowed) if len(may) > 1}
    assert several == {slot.place: {*slot.choices} for slot in sentence.ambiguities}


@given(seed=st.integers(0, 2**32))
def test_no_digit_is_named_twice(seed: int) -> None:
    _, sentence = next(sentences("side and noun", seed))
    named = re.findall(r"\d", sentence.source)
    assert len(named) == len(set(named))


def clue(sentence: Sentence, choices: tuple[str, ...]) -> str:
    """What the source says that might tell an open word."""
    if len(choices) == 2:
        return " ".join(re.findall("left|right|above|under|beside|facing|and", sentence.source))
    named = re.findall(r"\d", sentence.source)
    return " ".join(sorted(str(int(digit) % 5) for digit in named))  # nouns of which one is named


@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_that_reads_but_does_not_look_is_at_chance(kind: str) -> None:
    count = 2000 if kind == "side and noun" else 4000
    fitted: dict[tuple[str, tuple[str, ...]], Counter[str]] = {}
    right: dict[int, list[bool]] = {}
    for number, (_, sentence) in enumerate(islice(sentences(kind, 3), count)):
        for slot in sentence.ambiguities:
            seen = fitted.setdefault((clue(sentence, slot.choices), slot.choices), Counter())
            word = sentence.target.split()[slot.place]
            if number < 0.6 * count:
                seen[word] += 1
            elif seen:
                right.setdefault(len(slot.choices), []).append(word == seen.most_common(1)[0][0])
    assert set(right) == {"side": {2}, "noun": {5}, "side and noun": {2, 5}}[kind]
    for choices, hits in right.items():
        spread = (1 / choices * (1 - 1 / choices) / len(hits)) ** 0.5
        assert abs(np.mean(hits) - 1 / choices) < 3.5 * spread


def test_text_alone_translates_all_but_the_open_words() -> None:
    task = load_task("digit-translation", sizes=Sizes(1500, 1, 600))
    guessed = text_only_translations(task.train.examples, task.test.examples)
    for example, translation in zip(task.test.examples, guessed, strict=True):
        places = {slot.place for slot in example.ambiguities}
        words = zip(translation.split(), example.target.split(), strict=True)
        assert all(one == other for place, (one, other) in enumerate(words) if place not in places)
    scores = task.score(task.test.examples, guessed)
    assert scores["ambiguous words"] == pytest.approx(35, abs=5)  # half are 1 in 2, half 1 in 5
    perfect = task.score(task.test.examples, [one.target for one in task.test.examples])
    assert perfect == pytest.approx({"BLEU": 100.0, "ambiguous words": 100.0})


def test_an_unknown_kind_is_refused() -> None:
    scene, random = some_scene(0)
    with pytest.raises(ValueError, match=r"kind is 'verb', expected one of .*'noun'"):
        compose_sentence(scene, "verb", random)
