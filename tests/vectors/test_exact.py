"""Two independent derivations agree: plain loops in decimals, and the specification."""

import numpy as np
import pytest

from amad_core import VARIANTS, alignment_weights, amad_loss_and_grad
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.vectors.cases import vector_cases
from amad_core.conformance.vectors.exact import expected
from tests.support.agreement import assert_agrees, assert_gradient_agrees


def _specified(case: Case) -> tuple[np.ndarray, np.ndarray]:
    return amad_loss_and_grad(
        teacher=case.teacher,
        student=case.student,
        variant=case.variant,
        temperature=case.temperature,
        reduction=case.reduction,
        mask=case.mask,
        eps=case.eps,
        weight=case.weight,
        bias=case.bias,
    )


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("seed", [0, 7])
def test_specification_agrees_with_decimals(variant: str, seed: int) -> None:
    for vector in vector_cases(variant, seed):
        case, right = vector.case, expected(vector.case)
        value, gradient = _specified(case)
        assert_agrees(value, right.value, within=1e-13, size=1.0)
        infinite = np.isinf(right.grad_student)
        np.testing.assert_array_equal(np.isinf(gradient), infinite, err_msg=vector.id)
        assert_gradient_agrees(
            np.where(infinite, 0, gradient),
            np.where(infinite, 0, right.grad_student),
            student=case.student,
            mask=case.mask,
            within=1e-12,
        )


def test_weights_agree_with_decimals() -> None:
    for vector in vector_cases("kl", 0):
        case = vector.case
        weights = alignment_weights(
            teacher=case.teacher,
            student=case.student,
            temperature=case.temperature,
            mask=case.mask,
        )
        assert_agrees(weights, expected(case).weights, within=1e-14)


def test_row_weights_sum_to_one() -> None:
    for vector in vector_cases("token", 0):
        weights = expected(vector.case).weights
        batch, heads, queries, _ = vector.case.teacher.shape
        assert weights.shape == (batch, queries, heads, vector.case.student.shape[1])
        assert_agrees(weights.sum(axis=-1), np.ones((batch, queries, heads)), within=1e-15)


def test_infinite_gradient_of_a_projection_is_refused() -> None:
    case = Case("x", np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)), "projected")
    dead = Case("x", case.teacher, case.student, "projected", weight=-np.eye(2), bias=np.zeros(2))
    with pytest.raises(ValueError, match="eps > 0"):
        expected(dead)
