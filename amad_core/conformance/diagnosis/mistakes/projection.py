"""Mistakes in the learned projection (eq. 10), for the variant 'projected'."""

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import MASKS, Form, Mistake, one
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    as_it_is,
    divided,
    l1_normalise,
    l2_normalise,
    positive,
)

_ONLY = ("projected",)


def _both(stage: Stage) -> Mutation:
    return {"alignment_projection": Replace(stage), "mixture_projection": Replace(stage)}


def _affine(problem: Problem, unit: Array, transposed: bool = False, bias: bool = True) -> Array:
    weight = problem.weight
    affine = unit @ (weight if transposed else problem.arrays.swapaxes(weight, 0, 1))
    return affine + problem.bias if bias else affine


def _kept(problem: Problem, heads: Array) -> Array:
    return problem.arrays.where(problem.valid_heads, heads, 0.0)


def _relu(problem: Problem, affine: Array) -> Array:
    return problem.arrays.where(positive(problem, affine), affine, 0.0)


def _projection(
    unit: Stage = l1_normalise,
    activation: Stage = _relu,
    transposed: bool = False,
    bias: bool = True,
) -> Stage:
    """Eq. 10 with pieces of it exchanged."""

    def projected(problem: Problem, student: Array) -> Array:
        affine = _affine(problem, unit(problem, student), transposed, bias)
        return _kept(problem, activation(problem, affine))

    return projected


def _relu_before_bias(problem: Problem, student: Array) -> Array:
    rectified = _relu(problem, _affine(problem, l1_normalise(problem, student), bias=False))
    return _kept(problem, rectified + problem.bias)


def _unmasked(problem: Problem, student: Array) -> Array:
    return _relu(problem, _affine(problem, l1_normalise(problem, student)))


def _gelu(problem: Problem, affine: Array) -> Array:
    inner = 0.7978845608028654 * (affine + 0.044715 * affine**3)
    return 0.5 * affine * (1.0 + problem.arrays.tanh(inner))


def _leaky(problem: Problem, affine: Array) -> Array:
    return problem.arrays.where(positive(problem, affine), affine, 0.01 * affine)


def _sigmoid(problem: Problem, affine: Array) -> Array:
    return 1.0 / (1.0 + problem.arrays.exp(-affine))


def _softplus(problem: Problem, affine: Array) -> Array:
    return problem.arrays.log(1.0 + problem.arrays.exp(affine))


def _exponential(problem: Problem, affine: Array) -> Array:
    return problem.arrays.exp(affine)


def _unit_rows(problem: Problem, student: Array) -> Array:
    shape = (student.shape[0], student.shape[1], problem.queries, problem.keys)
    rows = problem.arrays.reshape(student, shape)
    units = divided(problem, rows, problem.arrays.sum(rows, -1, True))
    return problem.arrays.reshape(units, tuple(student.shape))


MISTAKES = (
    Mistake(
        name="projection-missing",
        sentence="The student is not projected at all: this is the variant kl.",
        symptom="Weight and bias get no gradient.",
        mend="s~ = ReLU(W s/|s|_1 + b), then align s~.",
        variants=_ONLY,
        forms=one(_both(as_it_is)),
    ),
    Mistake(
        name="projection-without-relu",
        sentence="The ReLU after the projection is missing.",
        symptom="Negative cells; about twice the value, NaN from the logarithm.",
        mend="Rectify after adding the bias.",
        evidence="Measured: 2.1 with a floor of 1e-8.",
        variants=_ONLY,
        forms=one(_both(_projection(activation=as_it_is))),
    ),
    Mistake(
        name="projection-without-bias",
        sentence="The bias of the projection is missing.",
        symptom="13 % too large; the bias gets no gradient.",
        mend="Add b before the ReLU.",
        evidence="Measured.",
        variants=_ONLY,
        forms=one(_both(_projection(bias=False))),
    ),
    Mistake(
        name="projection-weight-transposed",
        sentence="The weight of the projection is transposed.",
        symptom="5 % in the value, gradient cosine 0.03.",
        mend="W s: rows of W give cells, s @ W.T for row vectors (Keras kernels are W.T).",
        evidence="Measured.",
        variants=_ONLY,
        forms=one(_both(_projection(transposed=True))),
    ),
    Mistake(
        name="projection-relu-before-bias",
        sentence="The bias is added after the ReLU.",
        symptom="0.64 of the value; cells below 0 are possible again.",
        mend="ReLU(W s + b).",
        evidence="Measured.",
        variants=_ONLY,
        forms=one(_both(_relu_before_bias)),
    ),
    Mistake(
        name="projection-of-the-teacher-too",
        sentence="The teacher is projected as well.",
        symptom="0.59 of the value: the target moves with W.",
        mend="Project the student only.",
        evidence="Measured.",
        variants=_ONLY,
        forms=one({"teacher_projection": Replace(_projection())}),
    ),
    Mistake(
        name="projection-in-the-alignment-only",
        sentence="The projected heads are used for the weights only; the mixture is of unprojected "
        "ones.",
        symptom="0.67 of the value.",
        mend="s~ stands for s everywhere (eq. 11).",
        evidence="Measured.",
        variants=_ONLY,
        forms=one({"mixture_projection": Replace(as_it_is)}),
    ),
    Mistake(
        name="projection-in-the-mixture-only",
        sentence="The projected heads are used in the mixture only; the weights come from "
        "unprojected ones.",
        symptom="0.3 % in the value.",
        mend="s~ stands for s everywhere (eq. 11).",
        evidence="Measured.",
        variants=_ONLY,
        forms=one({"alignment_projection": Replace(as_it_is)}),
    ),
    Mistake(
        name="projection-not-normalised",
        sentence="The projected heads are mixed without an L1 normalisation of their own.",
        symptom="0.67 of the value; it can be negative.",
        mend="Divide s~ by its sum before mixing.",
        evidence="Measured.",
        variants=_ONLY,
        forms=one({"mixed_in": Replace(as_it_is)}),
    ),
    Mistake(
        name="projection-of-maps-not-normalised",
        sentence="The projection is applied to maps with another normalisation (raw, row-wise or "
        "L2) instead of L1.",
        symptom="11 % too large: the bias weighs too little.",
        mend="Divide the flattened map by its sum, then project.",
        evidence="Measured.",
        variants=_ONLY,
        forms=(
            Form("raw", _both(_projection(unit=as_it_is))),
            Form("L2", _both(_projection(unit=l2_normalise))),
            Form("by row", _both(_projection(unit=_unit_rows))),
        ),
    ),
    Mistake(
        name="projection-with-another-activation",
        sentence="Another activation stands for the ReLU.",
        symptom="Cells that should be 0 are not.",
        mend="ReLU is max(x, 0): use it as it is.",
        variants=_ONLY,
        forms=(
            Form("GELU", _both(_projection(activation=_gelu))),
            Form("leaky ReLU", _both(_projection(activation=_leaky))),
            Form("sigmoid", _both(_projection(activation=_sigmoid))),
            Form("softplus", _both(_projection(activation=_softplus))),
            Form("exponential (softmax)", _both(_projection(activation=_exponential))),
            Form(
                "absolute value",
                _both(_projection(activation=lambda problem, affine: problem.arrays.abs(affine))),
            ),
        ),
    ),
    Mistake(
        name="projection-fills-masked-cells",
        sentence="After the projection masked cells hold mass again.",
        symptom="Only with a mask: the bias reaches cells that do not count.",
        mend="Set masked cells to 0 after the projection too.",
        variants=_ONLY,
        forms=one(_both(_unmasked)),
        found_by=MASKS,
    ),
)
