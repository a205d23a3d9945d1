"""The specification of every peer against its paper's formula in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core.peers import distillation_loss
from tests.peers.peer_cases import NAMES, PeerCase, peer_cases, seeded_case
from tests.peers.peer_oracles import oracle
from tests.support.agreement import assert_agrees


def assert_is_the_papers(case: PeerCase) -> None:
    found = distillation_loss(**case.arguments(), reduction="none")
    wanted = oracle(case.name, case.teacher, case.student, case.mask, case.options)
    if case.name.startswith("best_match"):  # any of the best assignments is right
        wanted = [min(values, key=lambda x, y=y: abs(x - y) if x != y else 0)
                  for values, y in zip(wanted, found, strict=True)]  # fmt: skip
    assert_agrees(found, wanted, within=1e-12)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_value_is_the_papers(name: str, data: st.DataObject) -> None:
    assert_is_the_papers(data.draw(peer_cases(name)))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_value_is_the_papers_on_dense_input(name: str, masked: bool) -> None:
    assert_is_the_papers(seeded_case(name, masked=masked))


@pytest.mark.parametrize("name", NAMES)
def test_reductions_are_over_the_batch(name: str) -> None:
    arguments = seeded_case(name, masked=True).arguments()
    each = distillation_loss(**arguments, reduction="none")
    assert each.shape == (3,)
    assert each[1] == 0.0  # nothing of that sample counts
    assert_agrees(distillation_loss(**arguments, reduction="sum"), each.sum(), within=1e-15)
    assert_agrees(distillation_loss(**arguments), each.mean(), within=1e-15)


def test_one_to_one_by_hand() -> None:
    teacher = np.array([[[[1.0, 0.0]], [[0.5, 0.5]]]])
    student = np.array([[[[0.5, 0.5]]]])
    # One pair, two cells off by 1/2; the second teacher head is dropped. A certain row against a
    # fair one is one bit.
    assert distillation_loss(name="one_to_one_mse", teacher=teacher, student=student) == 0.25
    value = distillation_loss(name="one_to_one_kl", teacher=teacher, student=student)
    assert_agrees(value, np.log(2), within=1e-15)
    # The assignment pairs the student with the head that it equals.
    assert distillation_loss(name="best_match_mse", teacher=teacher, student=student) == 0.0
    # The mean of both teacher heads is (3/4, 1/4): off by 1/4 in both cells.
    assert distillation_loss(name="mean_head_mse", teacher=teacher, student=student) == 0.0625


@pytest.mark.parametrize("heads", [(9, 3), (12, 8), (7, 2), (5, 5), (4, 1)])
def test_squeezing_reaches_any_smaller_number_of_heads(heads: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    teacher, student = (generator.dirichlet(np.ones(4), (2, number, 3)) for number in heads)
    values = generator.standard_normal((2, heads[0], 4, 5))
    arguments = {"teacher": teacher, "student": student, "options": {"teacher_values": values}}
    assert_is_the_papers(PeerCase(name="squeezing_heads", mask=None, **arguments))


def test_merging_share_is_the_least_of_its_square() -> None:
    from amad_core.peers.head_merging import merging_share

    generator = np.random.default_rng(1)
    first, second = (generator.dirichlet(np.ones(4), (1, 1, 3)) for _ in range(2))
    x1, x2 = generator.standard_normal((2, 1, 1, 4, 5))

    def left_over(share: float) -> float:
        merged = share * first + (1 - share) * second
        return float(np.sum((first @ x1 + second @ x2 - merged @ (x1 + x2)) ** 2))

    share = merging_share(first, second, x1, x2).item()
    assert 0 < share < 1  # not clamped
    assert left_over(share) < min(left_over(share - 1e-4), left_over(share + 1e-4))


@pytest.mark.parametrize(("x1", "x2", "wanted"), [(3, -1, 1.0), (-1, 3, 0.0), (1, -1, 0.5)])
def test_merging_share_stays_a_share(x1: float, x2: float, wanted: float) -> None:
    """By hand, with one value a key: a = x1/(x1 + x2), 3/2 and -1/2 clamped, 1/2 for 1/0."""
    teacher = np.array([[[[0.9, 0.1]], [[0.2, 0.8]]]])
    values = np.array([x1, x2], float).reshape(1, 2, 1, 1) * np.array([[1.0], [0.0]])
    merged = wanted * teacher[:, :1] + (1 - wanted) * teacher[:, 1:]
    arguments = {"name": "squeezing_heads", "teacher": teacher, "student": merged}
    assert_agrees(distillation_loss(**arguments, teacher_values=values), 0.0, within=1e-15)


def test_relation_of_equal_heads_is_minilms() -> None:
    case = seeded_case("minilm_value_relation", masked=True)
    again = distillation_loss(
        name="minilmv2_relation",
        teacher=case.teacher,
        student=case.student,
        mask=case.mask,
        relation_heads=case.teacher.shape[1],
    )
    assert_agrees(distillation_loss(**case.arguments()), again, within=1e-14)


def test_tinybert_prediction_differs_by_entropy_classes_and_temperature() -> None:
    case = seeded_case("logits_kl", masked=False)
    teacher, student = case.teacher[:, 0], case.student[:, 0]
    tau, classes = 3.0, teacher.shape[1]

    def log_softmax(z: np.ndarray) -> np.ndarray:
        return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

    p = np.exp(log_softmax(teacher / tau))
    tinybert = np.mean(-p * log_softmax(student / tau))
    entropy = -np.sum(p * log_softmax(teacher / tau), axis=-1).mean()
    ours = distillation_loss(name="logits_kl", teacher=teacher, student=student, temperature=tau)
    assert_agrees(ours / tau**2 + entropy, tinybert * classes, within=1e-14)
