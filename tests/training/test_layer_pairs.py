"""Layer maps: who teaches whom where the depths differ."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core.training.layers import LAYER_MAPS, LayerPair, layer_pairs

DEPTH = st.integers(1, 40)


@given(student=DEPTH, factor=st.integers(1, 6))
def test_uniform_takes_every_nth_layer_of_a_multiple(student: int, factor: int) -> None:
    """TinyBERT's ``g(m) = m N / M``, layers counted from 1."""
    pairs = layer_pairs("uniform", teacher_layers=student * factor, student_layers=student)
    assert pairs == [(factor * layer - 1, layer - 1) for layer in range(1, student + 1)]


@given(teacher=DEPTH, student=DEPTH)
def test_uniform_keeps_order_and_ends_with_the_last_layers(teacher: int, student: int) -> None:
    pairs = layer_pairs(teacher_layers=teacher, student_layers=student)
    assert [pair.student for pair in pairs] == list(range(student))
    assert pairs[-1] == (teacher - 1, student - 1)
    steps = np.diff([pair.teacher for pair in pairs])
    evenly = {teacher // student, -(-teacher // student)}
    assert set(steps.tolist()) <= evenly
    if student >= teacher:
        assert {pair.teacher for pair in pairs} == set(range(teacher))


@given(teacher=DEPTH, student=DEPTH)
def test_first_and_last_are_mirror_images(teacher: int, student: int) -> None:
    depths = {"teacher_layers": teacher, "student_layers": student}
    shared = min(teacher, student)
    assert layer_pairs("first", **depths) == [(layer, layer) for layer in range(shared)]
    mirrored = [
        (teacher - 1 - pair[0], student - 1 - pair[1]) for pair in layer_pairs("last", **depths)
    ]
    assert mirrored[::-1] == layer_pairs("first", **depths)


@given(depth=DEPTH, name=st.sampled_from(LAYER_MAPS))
def test_equal_depths_are_layer_by_layer(depth: int, name: str) -> None:
    pairs = layer_pairs(name, teacher_layers=depth, student_layers=depth)
    assert pairs == [(layer, layer) for layer in range(depth)]


def test_twelve_layers_to_five_by_hand() -> None:
    """⌈12/5⌉, ⌈24/5⌉, ⌈36/5⌉, ⌈48/5⌉, 12, less 1."""
    pairs = layer_pairs("uniform", teacher_layers=12, student_layers=5)
    assert [pair.teacher for pair in pairs] == [2, 4, 7, 9, 11]


def test_explicit_pairs_keep_their_order_and_count_from_the_end() -> None:
    pairs = layer_pairs([(-1, -1), [0, 1], (np.int64(2), 1)], teacher_layers=4, student_layers=3)
    assert pairs == [LayerPair(teacher=3, student=2), (0, 1), (2, 1)]
    assert all(type(layer) is int for pair in pairs for layer in pair)


@pytest.mark.parametrize(
    ("layers", "kind", "message"),
    [
        ("middle", ValueError, "layers must be one of 'uniform', 'last', 'first'; got 'middle'"),
        (3, TypeError, "layers must be one of .* or a list of pairs.*got 3"),
        ({0: 1}, TypeError, "layers must be one of"),
        ([], ValueError, "layers must hold at least one pair"),
        ([1, 2], TypeError, r"layers\[0\] must be \(teacher layer, student layer\); got 1"),
        ([(0, 0), (1, 2, 3)], TypeError, r"layers\[1\] must be"),
        (["01"], TypeError, r"layers\[0\] must be"),
        ([(0, 0), (0, True)], TypeError, r"the student layer of layers\[1\] must be an integer"),
        ([(0.0, 0)], TypeError, r"the teacher layer of layers\[0\] must be an integer; got 0.0"),
        ([(4, 0)], ValueError, r"the teacher layer of layers\[0\] must be from -4 to 3; got 4"),
        ([(0, 2)], ValueError, r"the student layer of layers\[0\] must be from -2 to 1; got 2"),
        ([(-5, 0)], ValueError, "from -4 to 3; got -5"),
        ([(3, 1), (-1, -1)], ValueError, r"layers\[1\] .*teacher layer 3 with student layer 1 a s"),
    ],
)
def test_what_is_no_layer_map_is_refused(layers: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        layer_pairs(layers, teacher_layers=4, student_layers=2)


@pytest.mark.parametrize(
    ("depth", "kind", "message"),
    [
        (0, ValueError, "student_layers must be at least 1; got 0"),
        (True, TypeError, "student_layers must be an integer; got True"),
        (2.0, TypeError, "student_layers must be an integer; got 2.0"),
    ],
)
def test_depths_are_whole_numbers(depth: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        layer_pairs(teacher_layers=4, student_layers=depth)
