"""Mistakes in the similarity of heads, the cosines inside eq. 2."""

from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import WHOLE_MAP, Form, Mistake, one
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    after,
    as_it_is,
    divided,
    l1_normalise,
    l2_norm,
    l2_normalise,
)


def both_units(stage: Stage) -> Mutation:
    """Teacher and student enter the similarity through ``stage``."""
    return {"teacher_unit": Replace(stage), "student_unit": Replace(stage)}


def both_mixed_in(stage: Stage) -> Mutation:
    """Teacher and student enter the divergence through ``stage``."""
    return {"target": Replace(stage), "mixed_in": Replace(stage)}


def rows_of(problem: Problem, heads: Array) -> Array:
    """Whole maps ``[B, H, n]`` as ``[B, H, Q, K]``."""
    shape = (heads.shape[0], heads.shape[1], problem.queries, problem.keys)
    return problem.arrays.reshape(heads, shape)


def row_units(problem: Problem, heads: Array, axis: int = -1) -> Array:
    """Every row (or column, ``axis=-2``) of whole maps divided by its own L2 norm."""
    maps = rows_of(problem, heads)
    units = divided(problem, maps, l2_norm(problem, maps, axis))
    return problem.arrays.reshape(units, tuple(heads.shape))


def _row_units_averaged(problem: Problem, heads: Array) -> Array:
    return row_units(problem, heads) / problem.queries**0.5


def _column_units(problem: Problem, heads: Array) -> Array:
    return row_units(problem, heads, -2)


def _unit_along(axis: Any) -> Stage:
    return lambda problem, heads: divided(problem, heads, l2_norm(problem, heads, axis))


def _variant_unit_along(axis: Any) -> Stage:
    def unit(problem: Problem, heads: Array) -> Array:
        if problem.variant == "mse":
            return divided(problem, heads, l2_norm(problem, heads, axis))
        return divided(problem, heads, problem.arrays.sum(heads, axis, True))

    return unit


def _all_axes(problem: Problem, heads: Array) -> Array:
    return _unit_along(tuple(range(heads.ndim)))(problem, heads)


def _variant_all_axes(problem: Problem, heads: Array) -> Array:
    return _variant_unit_along(tuple(range(heads.ndim)))(problem, heads)


def _sample_axes(problem: Problem, heads: Array) -> Array:
    return _unit_along(tuple(range(1, heads.ndim)))(problem, heads)


def _variant_sample_axes(problem: Problem, heads: Array) -> Array:
    return _variant_unit_along(tuple(range(1, heads.ndim)))(problem, heads)


def _over_squares(problem: Problem, heads: Array) -> Array:
    return divided(problem, heads, problem.arrays.sum(heads**2, -1, True))


def _centred(problem: Problem, heads: Array) -> Array:
    return l2_normalise(problem, heads - problem.arrays.sum(heads, -1, True) / heads.shape[-1])


def _squared_distances(problem: Problem, teacher: Array, student: Array) -> Array:
    difference = teacher[..., :, None, :] - student[..., None, :, :]
    return problem.arrays.sum(difference**2, -1)


def _distances(problem: Problem, teacher: Array, student: Array) -> Array:
    squares = _squared_distances(problem, teacher, student)
    some = problem.arrays.values(squares) > 0
    root = problem.arrays.sqrt(problem.arrays.where(some, squares, 1.0))
    return problem.arrays.where(some, root, 0.0)


def _negative(stage: Stage) -> Replace:
    return Replace(lambda problem, teacher, student: -stage(problem, teacher, student))


def _column(problem: Problem, norm: Array) -> Array:
    return norm


def _row(problem: Problem, norm: Array) -> Array:
    return problem.arrays.swapaxes(norm, -1, -2)


def _without_axis(problem: Problem, norm: Array) -> Array:
    return norm[..., 0]


def _over_norms(of_teacher: Stage, of_student: Stage) -> Mutation:
    """Products over both norms, each laid out so that it meets an axis; right: column and row."""

    def similarity(problem: Problem, teacher: Array, student: Array) -> Array:
        products = teacher @ problem.arrays.swapaxes(student, -1, -2)
        shape = tuple(products.shape)
        for norm in (
            of_teacher(problem, l2_norm(problem, teacher)),
            of_student(problem, l2_norm(problem, student)),
        ):
            if np.broadcast_shapes(tuple(norm.shape), shape) != shape:
                raise ValueError("such norms fit equal head counts only")
            products = divided(problem, products, norm)
        return products

    return {**both_units(as_it_is), "similarity": Replace(similarity)}


MISTAKES = (
    Mistake(
        name="dot-of-raw-maps",
        sentence="The similarity is the inner product of the maps as they come; the division by "
        "both L2 norms is missing.",
        symptom="1 to 5 % on random maps, 38 % on disjoint heads; worse with more query rows.",
        mend="Divide both heads by their L2 norms before the inner product.",
        evidence="The README formula of a public VLM distillation port.",
        forms=one(both_units(as_it_is)),
    ),
    Mistake(
        name="dot-of-l1-maps",
        sentence="The similarity is the inner product of L1-normalised maps instead of a cosine, "
        "so the weights are nearly uniform.",
        symptom="0.5 to 2 % on random maps, 14 to 17 % on designed ones; weights tend to 1/Hs for "
        "large maps.",
        mend="Normalise by the L2 norm for the similarity; L1 is for the divergence only.",
        evidence="VLM-Spatial-Reasoning; eq. 9 can be read this way, see the specification.",
        forms=one(both_units(l1_normalise)),
    ),
    Mistake(
        name="cosine-normalised-on-one-side",
        sentence="Only one of the two maps is divided by its L2 norm before the inner product.",
        symptom="A few per cent; scaling the other map changes the loss.",
        mend="Divide teacher and student heads by their L2 norms.",
        forms=(
            Form("teacher only", {"student_unit": Replace(as_it_is)}),
            Form("student only", {"teacher_unit": Replace(as_it_is)}),
        ),
    ),
    Mistake(
        name="norm-without-square-root",
        sentence="Heads are divided by their squared L2 norms before the inner product.",
        symptom="Similarities above 1; the loss changes when a map is scaled.",
        mend="Take the square root of the sum of squares.",
        forms=one(both_units(_over_squares)),
    ),
    Mistake(
        name="norm-over-the-heads",
        sentence="Norms are taken along the head axis (axis 1 of [B, H, Q, K]) instead of along "
        "the cells of a head.",
        symptom="Loss 3 to 17 times too large, gradients without relation to the right ones.",
        mend="Flatten every head and normalise along the last axis.",
        evidence="The default dim=1 of F.normalize; gabeur/mmt #1, facebookresearch/WMReward #11.",
        forms=(
            Form(
                "everywhere",
                {**both_units(_unit_along(-2)), **both_mixed_in(_variant_unit_along(-2))},
            ),
            Form("in the cosines", both_units(_unit_along(-2))),
            Form("in the divergence", both_mixed_in(_variant_unit_along(-2))),
        ),
    ),
    Mistake(
        name="norm-over-the-whole-tensor",
        sentence="One norm is taken over a whole tensor (no axis given) instead of one per head.",
        symptom="A sample's loss depends on its neighbours; similarities shrink towards 0 and "
        "weights become uniform.",
        mend="Give the axis of the norm: the cells of one head.",
        evidence="JaxGCRL #64.",
        forms=(
            Form("in the cosines", both_units(_all_axes)),
            Form("everywhere", {**both_units(_all_axes), **both_mixed_in(_variant_all_axes)}),
            Form("in the divergence", both_mixed_in(_variant_all_axes)),
            Form("per sample, in the cosines", both_units(_sample_axes)),
            Form(
                "per sample, everywhere",
                {**both_units(_sample_axes), **both_mixed_in(_variant_sample_axes)},
            ),
            Form("per sample, in the divergence", both_mixed_in(_variant_sample_axes)),
        ),
    ),
    Mistake(
        name="centred-cosine",
        sentence="The similarity is a Pearson correlation: the mean of each map is subtracted "
        "before the cosine.",
        symptom="Sharper weights than the right ones, negative similarities.",
        mend="Take the cosine of the maps themselves.",
        forms=one(both_units(_centred)),
    ),
    Mistake(
        name="cosine-of-rows",
        sentence="The cosine is computed row by row and averaged or summed, instead of once over "
        "the whole flattened map.",
        symptom="Small on smooth maps, large where rows differ in sharpness.",
        mend="Flatten [Q, K] to one vector a head before norms and inner products.",
        variants=WHOLE_MAP,
        forms=(
            Form("averaged over rows", both_units(_row_units_averaged)),
            Form("summed over rows", both_units(row_units)),
            Form("columns for rows", both_units(_column_units)),
        ),
    ),
    Mistake(
        name="distance-for-cosine",
        sentence="The weights come from Euclidean distances of the heads instead of cosines.",
        symptom="Weights of the wrong sharpness: minus the squared distance of unit vectors is "
        "twice the cosine, less a constant.",
        mend="softmax(cosine / temperature).",
        forms=(
            Form("minus the distance of unit maps", {"similarity": _negative(_distances)}),
            Form(
                "minus the squared distance of unit maps",
                {"similarity": _negative(_squared_distances)},
            ),
            Form(
                "minus the squared distance of raw maps",
                {**both_units(as_it_is), "similarity": _negative(_squared_distances)},
            ),
            Form(
                "minus the distance of raw maps",
                {**both_units(as_it_is), "similarity": _negative(_distances)},
            ),
            Form("plus the distance of unit maps", {"similarity": Replace(_distances)}),
        ),
    ),
    Mistake(
        name="squared-cosine",
        sentence="The similarity is squared before the softmax.",
        symptom="A few per cent; weights too even for similar heads.",
        mend="Use the cosine itself.",
        forms=one({"similarity": after(lambda problem, similarity: similarity**2)}),
    ),
    Mistake(
        name="norms-along-the-wrong-axis",
        sentence="The products of heads are divided by norms that lack a new axis, so that a "
        "teacher's norm meets a student head or a student's a teacher head.",
        symptom="Runs for equal head counts only, and is right there only while all norms are "
        "equal.",
        mend="products / teacher_norm[..., :, None] / student_norm[..., None, :].",
        evidence="jnp.linalg.norm drops the axis: products / norm(t) / norm(s) inside vmap.",
        forms=(
            Form("the teacher's", _over_norms(_row, _row)),
            Form("the student's", _over_norms(_column, _column)),
            Form("both", _over_norms(_row, _column)),
            Form(
                "both, in a whole batch",
                _over_norms(_without_axis, _without_axis),
                in_pairs=False,
            ),
        ),
    ),
)
