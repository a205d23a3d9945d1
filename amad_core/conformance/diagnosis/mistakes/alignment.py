"""Mistakes in turning similarities into weights (eq. 2)."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import Form, Mistake, one
from amad_core.conformance.diagnosis.pipeline import (
    Problem,
    Replace,
    Wrap,
    after,
    softmax_over_students,
)


def _over_axis(axis: int) -> Replace:
    return Replace(lambda problem, logits: softmax_over_students(problem, logits, axis))


def _over_all_pairs(problem: Problem, logits: Array) -> Array:
    return softmax_over_students(problem, logits, (-2, -1))


def _one_hot(problem: Problem, logits: Array) -> Array:
    values = problem.arrays.values(logits)
    chosen = np.eye(values.shape[-1])[np.argmax(values, axis=-1)]
    return problem.arrays.constant(chosen)


def _straight_through(problem: Problem, logits: Array) -> Array:
    soft = softmax_over_students(problem, logits)
    return _one_hot(problem, logits) + soft - problem.arrays.stop_gradient(soft)


def _assigned(problem: Problem, logits: Array) -> Array:
    values = problem.arrays.values(logits)
    chosen = np.zeros(values.shape)
    for index in np.ndindex(values.shape[:-2]):
        if np.isfinite(values[index]).all():
            chosen[index][linear_sum_assignment(values[index], maximize=True)] = 1.0
    return problem.arrays.constant(chosen)


def _uniform(problem: Problem, logits: Array) -> Array:
    return logits * 0.0 + 1.0 / logits.shape[-1]


def _sigmoid(problem: Problem, logits: Array) -> Array:
    return 1.0 / (1.0 + problem.arrays.exp(-logits))


def _over_sum(problem: Problem, weights: Array) -> Array:
    return weights / problem.arrays.sum(weights, -1, True)


def _log_softmax(problem: Problem, logits: Array) -> Array:
    return problem.arrays.log(softmax_over_students(problem, logits))


def _products_of_cells(problem: Problem, teacher: Array, student: Array) -> Array:
    return teacher[..., :, None, :] * student[..., None, :, :]


def _mixed_by_cell(problem: Problem, weights: Array, student: Array) -> Array:
    return problem.arrays.sum(weights * student[..., None, :, :], -2)


MISTAKES = (
    Mistake(
        name="softmax-over-teacher-heads",
        sentence="The softmax of the weights runs over the teacher heads; it has to run over the "
        "student heads.",
        symptom="Rows of the weights do not sum to 1, columns do; nearly invisible when both "
        "models have equally many heads (0.3 % on random maps).",
        mend="Softmax along the last axis of the similarities [B, Ht, Hs].",
        evidence="Measured: value 0.91 to 1.01 of the right one, gradient norm 0.70.",
        forms=one({"weights": _over_axis(-2)}),
    ),
    Mistake(
        name="softmax-over-all-pairs",
        sentence="The softmax of the weights runs over all pairs of heads at once.",
        symptom="All weights of a sample together sum to 1; gradients are about Ht times too "
        "small.",
        mend="Do not flatten [Ht, Hs] before the softmax; softmax along the last axis.",
        evidence="Measured: value 1.08 to 1.75, gradient norm about 1/Ht.",
        forms=one({"weights": Replace(_over_all_pairs)}),
    ),
    Mistake(
        name="softmax-over-the-batch",
        sentence="The softmax of the weights runs over the first axis, the batch.",
        symptom="With one sample every weight is 1; a sample's loss depends on its neighbours.",
        mend="Name the axis: dim=-1. PyTorch's functional softmax without dim takes axis 0 of a "
        "3-d tensor and axis 1 of a 4-d one.",
        evidence="torch.nn.functional.softmax, implicit dim (deprecated, with a warning).",
        forms=one({"weights": _over_axis(0)}),
    ),
    Mistake(
        name="softmax-over-the-queries",
        sentence="The softmax of the weights runs over the query rows.",
        symptom="With one query every weight is 1; a row's weights depend on the other rows.",
        mend="Softmax over the student heads, the last axis of [B, Q, Ht, Hs].",
        evidence="torch.nn.functional.softmax without dim takes axis 1 of a 4-d tensor.",
        variants=("token",),
        forms=one({"weights": _over_axis(1)}),
    ),
    Mistake(
        name="softmax-missing",
        sentence="The similarities are used as weights as they are; the softmax is missing.",
        symptom="The mixture is too large, more so with many student heads.",
        mend="Softmax over the student heads, after division by the temperature.",
        evidence="Measured: value 0.47 to 3.4 of the right one.",
        forms=(
            Form("", {"weights": Replace(lambda problem, logits: logits)}),
            Form(
                "and without temperature",
                {"weights": Replace(lambda problem, logits: logits * problem.temperature)},
            ),
        ),
    ),
    Mistake(
        name="weights-divided-by-their-sum",
        sentence="The similarities are divided by their sum; the exponential of the softmax is "
        "missing.",
        symptom="2 to 4 % on random maps, 38 % on nearly disjoint heads.",
        mend="exp(c / temperature) first, then divide by the sum: a softmax.",
        evidence="Measured: value 0.96 to 1.02 on random maps, 0.62 on disjoint heads.",
        forms=one({"weights": Replace(_over_sum)}),
    ),
    Mistake(
        name="softmax-twice",
        sentence="The weights go through the softmax twice.",
        symptom="The weights are almost uniform.",
        mend="Remove one softmax; look for one in the function that computes the similarities.",
        evidence="The same slip on attention maps is frequent; see softmax-on-the-maps.",
        forms=one({"weights": after(softmax_over_students)}),
    ),
    Mistake(
        name="log-softmax-for-softmax",
        sentence="The weights are the logarithms of the softmax.",
        symptom="Negative weights; a huge loss in mse, else NaN in every case (as "
        "log-target-without-flag gives): the logarithm of a negative mixture.",
        mend="softmax instead of log_softmax.",
        same_as=("log-target-without-flag",),
        forms=one({"weights": Replace(_log_softmax)}),
    ),
    Mistake(
        name="sigmoid-for-softmax",
        sentence="The weights are sigmoids of the similarities, each on its own.",
        symptom="Weights of a head sum to more than 1 (about 0.5 to 0.7 a head).",
        mend="Softmax over the student heads.",
        forms=(
            Form("", {"weights": Replace(_sigmoid)}),
            Form(
                "divided by their sum",
                {
                    "weights": Replace(
                        lambda problem, logits: _over_sum(problem, _sigmoid(problem, logits))
                    )
                },
            ),
        ),
    ),
    Mistake(
        name="hard-alignment",
        sentence="Every teacher head is given its single best student head (argmax), no mixture.",
        symptom="20 to 30 % more loss; the gradient jumps where the best head changes.",
        mend="Use the softmax weights; lower the temperature if sharper ones are wanted.",
        evidence="Measured: value 1.22 to 1.34, cosine of the gradients 0.61 to 0.68.",
        forms=(
            Form("", {"weights": Replace(_one_hot)}),
            Form("straight-through gradient", {"weights": Replace(_straight_through)}),
        ),
    ),
    Mistake(
        name="one-to-one-assignment",
        sentence="Heads are matched one to one (Hungarian assignment) instead of softly.",
        symptom="Teacher heads beyond the number of student heads are compared with nothing.",
        mend="Softmax weights over all student heads.",
        forms=one({"weights": Replace(_assigned)}),
    ),
    Mistake(
        name="uniform-weights",
        sentence="Every student head has the same weight: each teacher head is compared with the "
        "mean student head.",
        symptom="2 to 3 % on random maps, gradients almost parallel; 56 % on disjoint heads.",
        mend="Compute the cosines from the maps themselves; check that they are not all near 0 or "
        "equal.",
        evidence="Measured. The limit of dot-of-l1-maps for large maps.",
        forms=one({"weights": Replace(_uniform)}),
    ),
    Mistake(
        name="similarity-sign-flipped",
        sentence="The least similar student heads get the largest weights: a distance is used as "
        "similarity, or the sign is wrong.",
        symptom="4 to 7 % on random maps; on disjoint heads the gradient points away.",
        mend="softmax(+cosine / temperature); with a distance, softmax(-distance).",
        evidence="keras.losses.CosineSimilarity returns minus the cosine. Measured: value 1.04 to "
        "1.07, disjoint heads 2.12.",
        forms=one({"logits": after(lambda problem, logits: -logits)}),
    ),
    Mistake(
        name="softmax-over-queries-of-the-weights",
        sentence="In the variant token, the weights of all rows are softmaxed together.",
        symptom="Weights of a row sum to about 1/Q; gradients too small.",
        mend="One softmax for every query row and teacher head, over student heads only.",
        variants=("token",),
        forms=(
            Form(
                "over rows and student heads",
                {
                    "weights": Wrap(
                        lambda inner, problem, logits: softmax_over_students(
                            problem, logits, (1, 3)
                        )
                    )
                },
            ),
        ),
    ),
    Mistake(
        name="weights-for-single-cells",
        sentence="Every single cell has weights of its own: the products of the unit maps are not "
        "summed over the map before the softmax.",
        symptom="Weights nearly uniform, as the products of single cells are small.",
        mend="Sum the products over the cells: one weight a pair of heads.",
        evidence="t[:, :, None] * s[:, None] without a sum over the last axis.",
        forms=one(
            {
                "similarity": Replace(_products_of_cells),
                "weights": _over_axis(-2),
                "mixture": Replace(_mixed_by_cell),
            }
        ),
    ),
)
