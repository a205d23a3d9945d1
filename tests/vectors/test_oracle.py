"""Two independent derivations agree: plain loops in decimals, and the specification."""

import numpy as np
import pytest

from amad_core import VARIANTS, alignment_weights, amad_loss_and_grad
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.vectors.make.cases import vector_cases
from amad_core.conformance.vectors.make.oracle import exact
from tests.support.agreement import assert_agrees, assert_gradient_agrees


@pytest.mark.thin(3)
@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("seed", [0, 7])
def test_specification_agrees_with_decimals(variant: str, seed: int) -> None:
    for vector in vector_cases(variant, seed):
        case, right = vector.case, exact(vector.case)
        value, gradient = amad_loss_and_grad(**case.arguments())
        assert_agrees(value, right.value, within=1e-13, size=1.0)
        exact_gradient = right.gradients["student"]
        infinite = np.isinf(exact_gradient)
        np.testing.assert_array_equal(np.isinf(gradient), infinite, err_msg=vector.id)
        assert_gradient_agrees(
            np.where(infinite, 0, gradient),
            np.where(infinite, 0, exact_gradient),
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
        assert_agrees(weights, exact(case).weights, within=1e-14)


def test_row_weights_sum_to_one() -> None:
    for vector in vector_cases("token", 0):
        weights = exact(vector.case).weights
        batch, heads, queries, _ = vector.case.teacher.shape
        assert weights.shape == (batch, queries, heads, vector.case.student.shape[1])
        assert_agrees(weights.sum(axis=-1), np.ones((batch, queries, heads)), within=1e-15)


def test_infinite_gradient_of_a_projection_is_refused() -> None:
    case = Case("x", np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)), "projected")
    dead = Case("x", case.teacher, case.student, "projected", weight=-np.eye(2), bias=np.zeros(2))
    with pytest.raises(ValueError, match="eps > 0"):
        exact(dead)
