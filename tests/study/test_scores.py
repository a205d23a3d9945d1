"""Scores against values by hand, and against their definitions written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_study.data.example import Example
from amad_study.data.scores.answers import exact_match, score_answers, score_vqa, vqa_accuracy
from amad_study.data.scores.bleu import bleu, bleu_signature
from amad_study.data.scores.facts import fact_scores
from amad_study.data.scores.texts import ambiguous_word_accuracy
from amad_study.data.scores.vqa_text import normal_prediction


@pytest.mark.parametrize(
    ("same", "accuracy"),
    # Of ten choices of nine people, by hand: 2 who agree make 2 * 1/3 + 8 * 2/3 of ten.
    [(0, 0), (1, 30), (2, 60), (3, 90), (4, 100), (10, 100)],
)
def test_the_accuracy_of_vqa_counts_who_agrees(same: int, accuracy: float) -> None:
    answers = ["cat"] * same + [f"dog {number}" for number in range(10 - same)]
    assert vqa_accuracy(["cat"], [answers])[0] == pytest.approx(accuracy)


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=10), st.sampled_from("abcd"))
def test_the_accuracy_of_vqa_is_its_definition(answers: list[str], said: str) -> None:
    subsets = [answers[:left_out] + answers[left_out + 1 :] for left_out in range(len(answers))]
    expected = np.mean([min(subset.count(said) / 3, 1) for subset in subsets])
    if said != "a":  # an article
        assert vqa_accuracy([said], [answers])[0] == pytest.approx(100 * expected)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The two dogs.", "2 dogs"),
        ("1,000", "1000"),
        ("3.5 m", "3.5 m"),
        ("isnt it", "isn't it"),
        ("couldnt've", "couldn't've"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("none", "0"),
        ("An apple\n", "apple"),
        ("well", "well"),
        ("somebody'd", "somebodyd"),  # as the official list has it
    ],
)
def test_answers_are_brought_to_one_form(text: str, normal: str) -> None:
    assert normal_prediction(text) == normal


def test_what_people_said_loses_its_marks_only_where_they_differ() -> None:
    assert vqa_accuracy(["ping pong"], [["ping-pong"] * 9 + ["tennis"]])[0] == pytest.approx(100)
    assert vqa_accuracy(["ping pong"], [["ping-pong"] * 10])[0] == 0


def test_exact_match_looks_past_blanks_and_case_only() -> None:
    said = ["Yes", " no ", "7", "seven", ""]
    right = [["yes"], ["no"], ["7", "seven"], ["7"], ["no"]]
    assert exact_match(said, right).tolist() == [100, 100, 100, 0, 0]


def test_scores_by_kind_are_those_of_the_kind() -> None:
    examples = [
        Example("p", "?", answer, (answer,) * 10, kind, steps)
        for answer, kind, steps in [("1", "a", 1), ("2", "a", 2), ("3", "b", 1), ("4", "", 0)]
    ]
    expected = {
        "accuracy": 75.0,
        "accuracy: a": 50.0,
        "accuracy: b": 100.0,
        "accuracy: 1 step": 100.0,
        "accuracy: 2 steps": 0.0,
    }
    assert score_answers(examples, ["1", "x", "3", "4"]) == expected
    assert score_vqa(examples, ["1", "x", "3", "4"]) == expected


def test_bleu_is_papineni_s_formula() -> None:
    said, right = "the cat sat on the mat now", "the cat sat on the big mat"
    # By hand: 6 of 7 words, 4 of 6 pairs, 3 of 5 triples, 2 of 4 quadruples; lengths are equal.
    expected = 100 * (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert bleu([said], [[right]]) == pytest.approx(expected)
    short = "the cat sat on the"
    assert bleu([short], [[right]]) == pytest.approx(100 * math.exp(1 - 7 / 5))


def test_references_may_be_of_any_number() -> None:
    said = ["a b c d e", "f g h i j"]
    alone = bleu(said, [["a b c d e"], ["f g h x y"]])
    assert bleu(said, [["a b c d e"], ["f g h x y", "f g h i j"]]) == pytest.approx(100)
    assert bleu(said, [["a b c d e", "k l m n o p q"], ["f g h x y"]]) == pytest.approx(alone)
    assert alone < 99
    short, long = ["a b c d", "f g h i j"], "a b c d e f g h i j k"
    once = bleu(short, [[long], ["f g h i j"]])
    assert bleu(short, [[long], ["f g h i j", "f g h i j"]]) == pytest.approx(once)
    assert "nrefs:2|" in bleu_signature(2)
    assert "tok:13a" in bleu_signature()


PLACE, SIDE, NUMBER = ("place", "7", "top left"), ("under", "3", "7"), ("count", "four")
OTHER = ("above", "7", "3")


@pytest.mark.parametrize(
    ("stated", "precision", "recall", "complete"),
    [
        ([PLACE, SIDE], 100, 100, 100),
        ([SIDE, PLACE], 100, 100, 100),
        ([PLACE], 100, 50, 0),
        ([PLACE, OTHER], 100, 50, 0),  # true, but not what the reference says
        ([PLACE, NUMBER], 50, 50, 0),  # false
        ([PLACE, None], 50, 50, 0),
        ([PLACE, PLACE], 50, 50, 0),
        ([PLACE, SIDE, SIDE], 200 / 3, 100, 0),
        ([], 0, 0, 0),
    ],
)
def test_facts_by_hand(stated: list, precision: float, recall: float, complete: float) -> None:
    scores = fact_scores([stated], [{PLACE, SIDE}], [{PLACE, SIDE, OTHER}])
    assert (scores.precision, scores.recall) == pytest.approx((precision, recall))
    assert scores.complete == complete
    both = precision + recall
    assert scores.f1 == pytest.approx(2 * precision * recall / both if both else 0)


def test_a_word_counts_at_its_place_only() -> None:
    from amad_study.data import Ambiguity

    slots = (Ambiguity(1, ("b", "x")), Ambiguity(3, ("d", "y")))
    example = Example("p", "", "a b c d", ("a b c d",), ambiguities=slots)
    said = ["a b c d", "a x c d", "b c d", "a b", ""]
    by_one = [ambiguous_word_accuracy([one], [example]) for one in said]
    assert by_one == [100, 50, 0, 50, 0]
    assert ambiguous_word_accuracy(said, [example] * 5) == 40


@pytest.mark.parametrize("score", [exact_match, vqa_accuracy, bleu])
def test_scores_refuse_what_they_cannot_score(score) -> None:
    with pytest.raises(ValueError, match="predictions holds 1 texts for 2 examples"):
        score(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="predictions is empty"):
        score([], [])
    with pytest.raises(ValueError, match="predictions is one text"):
        score("ab", [["a"], ["b"]])


def test_examples_without_an_answer_are_refused() -> None:
    with pytest.raises(ValueError, match=r"answers\[1\] is empty"):
        vqa_accuracy(["a", "b"], [["a"], []])
    with pytest.raises(ValueError, match=r"references\[0\] is empty"):
        bleu(["a"], [[]])
    with pytest.raises(ValueError, match="an example without facts"):
        fact_scores([[]], [set()], [set()])
    with pytest.raises(ValueError, match="holds none with a word that its source leaves open"):
        ambiguous_word_accuracy(["a"], [Example("p", "", "a", ("a",))])
