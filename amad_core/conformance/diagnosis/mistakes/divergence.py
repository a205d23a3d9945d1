"""Mistakes in the divergence between a teacher head and its mixture."""

import math
from dataclasses import replace
from typing import Any

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.granularity import DIVERGENCE_OF_PAIRS
from amad_core.conformance.diagnosis.mistakes.mistake import (
    KL,
    PROBABILITIES,
    Form,
    Mistake,
    one,
)
from amad_core.conformance.diagnosis.pipeline import (
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
    aligned_maps,
    floored,
    js_terms,
    kl_terms,
    l2_normalise,
    positive,
)


def _log(problem: Problem, values: Array) -> Array:
    """The logarithm, 0 where the value is 0: for products that are 0 there."""
    return problem.arrays.log(problem.arrays.where(positive(problem, values), values, 1.0))


def _reversed_kl(problem: Problem, target: Array, mixture: Array) -> Array:
    return kl_terms(problem, mixture, target)


def _jeffreys(problem: Problem, target: Array, mixture: Array) -> Array:
    return kl_terms(problem, target, mixture) + kl_terms(problem, mixture, target)


def _half_jeffreys(problem: Problem, target: Array, mixture: Array) -> Array:
    return _jeffreys(problem, target, mixture) / 2


def _probabilities_as_log(problem: Problem, target: Array, mixture: Array) -> Array:
    return target * (_log(problem, target) - mixture)


def _swapped_probabilities(problem: Problem, target: Array, mixture: Array) -> Array:
    return mixture * (_log(problem, mixture) - target)


def _log_target(problem: Problem, target: Array, mixture: Array) -> Array:
    return problem.arrays.exp(target) * (target - problem.arrays.log(mixture))


def _log_of_target(problem: Problem, target: Array, mixture: Array) -> Array:
    logarithm = problem.arrays.log(target)
    return logarithm * (problem.arrays.log(logarithm) - problem.arrays.log(mixture))


def _cross_entropy(problem: Problem, target: Array, mixture: Array) -> Array:
    some = positive(problem, target)
    logarithm = problem.arrays.log(problem.arrays.where(some, floored(problem, mixture), 1.0))
    return problem.arrays.where(some, -target * logarithm, 0.0)


def _kl_to_middle(problem: Problem, target: Array, mixture: Array) -> Array:
    return kl_terms(problem, target, (target + mixture) / 2)


def _kl_from_mixture_to_middle(problem: Problem, target: Array, mixture: Array) -> Array:
    return kl_terms(problem, mixture, (target + mixture) / 2)


def _halved(stage: Stage) -> Replace:
    return Replace(lambda problem, target, mixture: stage(problem, target, mixture) / 2)


def _js_of_sum(problem: Problem, target: Array, mixture: Array) -> Array:
    both = target + mixture
    return (kl_terms(problem, target, both) + kl_terms(problem, mixture, both)) / 2


def _logs_mixed(inner: Stage, problem: Problem, weights: Array, student: Array) -> Array:
    return inner(problem, weights, problem.arrays.log(student))


def _kl_to_logarithm(problem: Problem, target: Array, logarithm: Array) -> Array:
    some = positive(problem, target)
    difference = _log(problem, target) - problem.arrays.where(some, logarithm, 0.0)
    return problem.arrays.where(some, target * difference, 0.0)


def _squares(problem: Problem, target: Array, mixture: Array) -> Array:
    return (target - mixture) ** 2


def _root(problem: Problem, squares: Array) -> Array:
    some = positive(problem, squares)
    root = problem.arrays.sqrt(problem.arrays.where(some, squares, 1.0))
    return problem.arrays.where(some, root, 0.0)


def _as_variant(variant: str) -> Wrap:
    """The loss of another variant."""

    def inputs(inner: Stage, problem: Problem, teacher: Array, student: Array) -> Any:
        problem, teacher, student = inner(problem, teacher, student)
        return replace(problem, variant=variant), teacher, student

    return Wrap(inputs)


def _one_less_cosine(problem: Problem, target: Array, mixture: Array) -> Array:
    product = l2_normalise(problem, target) * l2_normalise(problem, mixture)
    return 1.0 / target.shape[-1] - product


def _minus_cosine(problem: Problem, target: Array, mixture: Array) -> Array:
    return -l2_normalise(problem, target) * l2_normalise(problem, mixture)


def _absolute(problem: Problem, terms: Array) -> Array:
    return problem.arrays.abs(terms)


def _without_negative(problem: Problem, terms: Array) -> Array:
    return problem.arrays.where(positive(problem, terms), terms, 0.0)


MISTAKES = (
    Mistake(
        name="kl-reversed",
        sentence="The KL divergence is reversed: KL(mixture || teacher) instead of KL(teacher || "
        "mixture).",
        symptom="1.2 to 1.9 times the value; infinite or NaN where the teacher has zeros.",
        mend="Sum teacher * log(teacher / mixture).",
        evidence="Liger-Kernel #194, TRL #3043 and #2202 for the same confusion.",
        variants=KL,
        forms=one({"terms": Replace(_reversed_kl)}),
    ),
    Mistake(
        name="kl-div-given-probabilities",
        sentence="kl_div is given the mixture itself where it expects its logarithm (or a wrong "
        "order or flag of arguments along with it).",
        symptom="Negative values, tiny gradients.",
        mend="kl_div(mixture.log(), teacher, log_target=False).",
        evidence="pytorch #5282, #7337, #57459; Pytorch-MiniLM #2.",
        variants=KL,
        forms=(
            Form("mixture as its logarithm", {"terms": Replace(_probabilities_as_log)}),
            Form("and arguments swapped", {"terms": Replace(_swapped_probabilities)}),
            Form("log_target set for probabilities", {"terms": Replace(_log_target)}),
        ),
    ),
    Mistake(
        name="log-target-without-flag",
        sentence="kl_div is given the teacher's logarithm without log_target=True.",
        symptom="NaN in every case, as log-softmax-for-softmax gives: the logarithm of a negative "
        "number.",
        mend="Pass probabilities as target, or set log_target=True.",
        evidence="pytorch #43348.",
        variants=KL,
        same_as=("log-softmax-for-softmax",),
        forms=one({"terms": Replace(_log_of_target)}),
    ),
    Mistake(
        name="logarithm-to-another-base",
        sentence="The logarithm is to base 2 (or 10) instead of the natural one.",
        symptom="Exactly 1.4427 (0.4343) times the value and the gradient.",
        mend="Use the natural logarithm.",
        variants=PROBABILITIES,
        forms=(
            Form("base 2", {"terms": after(lambda problem, terms: terms / math.log(2))}),
            Form("base 10", {"terms": after(lambda problem, terms: terms / math.log(10))}),
        ),
    ),
    Mistake(
        name="cross-entropy-for-kl",
        sentence="The cross-entropy is computed: the teacher's entropy is not taken off.",
        symptom="1.4 to 6 times the value with the right gradient; never 0.",
        mend="Add sum(teacher * log(teacher)).",
        evidence="Measured.",
        variants=KL,
        forms=one({"terms": Replace(_cross_entropy)}),
    ),
    Mistake(
        name="jensen-shannon-for-kl",
        sentence="The Jensen-Shannon divergence is computed instead of KL.",
        symptom="2 to 22 % of the value; bounded by log 2 a head.",
        mend="Use KL(teacher || mixture), or ask for the variant js.",
        evidence="kd-sink does so on purpose, and says so.",
        variants=KL,
        forms=one({"terms": Replace(js_terms)}),
    ),
    Mistake(
        name="kl-for-jensen-shannon",
        sentence="KL is computed instead of the Jensen-Shannon divergence.",
        symptom="Several times the value; unbounded.",
        mend="Compare both with their mean: js = (KL(t || h) + KL(m || h)) / 2.",
        variants=("js",),
        forms=one({"terms": Replace(kl_terms)}),
    ),
    Mistake(
        name="squared-distance-for-divergence",
        sentence="The squared distance is computed instead of the divergence.",
        symptom="Values one or two orders too small on L1-normalised maps.",
        mend="Use the divergence of this variant.",
        variants=PROBABILITIES,
        forms=(
            Form("of L1-normalised maps", {"terms": Replace(_squares)}),
            Form("of L2-normalised maps: the variant mse", {"inputs": _as_variant("mse")}),
        ),
    ),
    Mistake(
        name="divergence-for-squared-distance",
        sentence="A divergence of distributions is computed where mse asks for a squared distance.",
        symptom="Unbounded values (kl), or far too small ones (js).",
        mend="Squared distance of L2-normalised maps.",
        variants=("mse",),
        forms=(
            Form("kl", {"inputs": _as_variant("kl")}),
            Form("js", {"inputs": _as_variant("js")}),
        ),
    ),
    Mistake(
        name="half-of-jensen-shannon",
        sentence="Only one half of the Jensen-Shannon sum is computed.",
        symptom="About half the value; not symmetric.",
        mend="Add KL(mixture || middle) / 2 to KL(teacher || middle) / 2.",
        variants=("js",),
        forms=(
            Form("teacher's half", {"terms": _halved(_kl_to_middle)}),
            Form("mixture's half", {"terms": _halved(_kl_from_mixture_to_middle)}),
            Form("teacher's, not halved", {"terms": Replace(_kl_to_middle)}),
            Form("mixture's, not halved", {"terms": Replace(_kl_from_mixture_to_middle)}),
        ),
    ),
    Mistake(
        name="middle-not-halved",
        sentence="The middle of the Jensen-Shannon divergence is the sum of both maps, not half "
        "of it.",
        symptom="log 2 a head too small: values are negative; gradients are right.",
        mend="middle = (teacher + mixture) / 2.",
        variants=("js",),
        forms=one({"terms": Replace(_js_of_sum)}),
    ),
    Mistake(
        name="jensen-shannon-distance",
        sentence="The square root of the Jensen-Shannon divergence is computed.",
        symptom="Too large where small; the gradient grows without bound near 0.",
        mend="No square root. scipy's jensenshannon returns the distance: square it.",
        evidence="scipy.spatial.distance.jensenshannon.",
        variants=("js",),
        forms=one({"per_head": after(_root)}),
    ),
    Mistake(
        name="jeffreys-divergence",
        sentence="KL is taken in both directions and added (or averaged).",
        symptom="Twice the value or more; infinite where the teacher has zeros.",
        mend="One direction: KL(teacher || mixture).",
        variants=PROBABILITIES,
        forms=(
            Form("added", {"terms": Replace(_jeffreys)}),
            Form("averaged", {"terms": Replace(_half_jeffreys)}),
        ),
    ),
    Mistake(
        name="mixture-of-logarithms",
        sentence="The logarithms of the student heads are mixed instead of the heads.",
        symptom="Always too large; infinite as soon as one student head has a zero. With KL this "
        "is the weighted mean of the divergences to the single heads.",
        mend="Mix the probabilities, then take the logarithm.",
        evidence="Jensen's inequality.",
        variants=KL,
        same_as=("divergence-of-pairs",),
        forms=(
            Form("", DIVERGENCE_OF_PAIRS),
            Form(
                "with NaN gradients at zeros",
                {"mixture": Wrap(_logs_mixed), "terms": Replace(_kl_to_logarithm)},
                in_pairs=False,
            ),
        ),
    ),
    Mistake(
        name="norm-not-squared",
        sentence="The norm of the residual is taken and not squared.",
        symptom="0.97 to 1.56 times the value, half the gradient.",
        mend="Sum of squares, without square root.",
        evidence="Measured.",
        variants=("mse",),
        forms=(
            Form("per head", {"per_head": after(_root)}),
            Form("per sample", {"per_sample": after(_root)}),
            Form("of the whole batch", {"reduced": after(_root)}),
        ),
    ),
    Mistake(
        name="absolute-for-squared",
        sentence="Absolute differences are summed instead of squares.",
        symptom="Several times the value; gradients of constant size.",
        mend="Square the differences.",
        variants=("mse",),
        forms=one(
            {
                "terms": Replace(
                    lambda problem, target, mixture: problem.arrays.abs(target - mixture)
                )
            }
        ),
    ),
    Mistake(
        name="cosine-distance-for-squared",
        sentence="The cosine of teacher head and mixture is taken for a loss.",
        symptom="The length of the mixture does not count: about a third of the value, or a value "
        "below 0.",
        mend="Squared distance of the L2-normalised teacher head to the mixture.",
        evidence="keras.losses.CosineSimilarity returns minus the cosine.",
        variants=("mse",),
        forms=(
            Form("one minus the cosine", {"terms": Replace(_one_less_cosine)}),
            Form("minus the cosine", {"terms": Replace(_minus_cosine)}),
        ),
    ),
    Mistake(
        name="terms-without-sign",
        sentence="Negative terms of the divergence are made positive or cut off before the sum.",
        symptom="Too large: single terms of KL may be negative, only the sum may not.",
        mend="Sum the terms as they are.",
        variants=KL,
        forms=(
            Form("absolute values", {"terms": after(_absolute)}),
            Form("negative ones cut off", {"terms": after(_without_negative)}),
        ),
    ),
    Mistake(
        name="mixture-without-weights",
        sentence="The student heads are summed, not mixed with the weights.",
        symptom="The mixture has Hs times the mass; kl turns negative.",
        mend="m_i = sum_j a_ij s_j.",
        forms=one(
            {
                "mixture": Wrap(
                    lambda inner, problem, weights, student: aligned_maps(
                        problem, weights * 0.0 + 1.0, student
                    )
                )
            }
        ),
    ),
)
