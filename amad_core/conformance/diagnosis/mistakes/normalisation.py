"""Mistakes in how maps are normalised for the mixture and the divergence."""

from typing import Any

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import Form, Mistake, one
from amad_core.conformance.diagnosis.mistakes.similarity import both_mixed_in
from amad_core.conformance.diagnosis.pipeline import (
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
    as_it_is,
    divided,
    l1_normalise,
    l2_normalise,
    softmax_over_students,
    variant_normalise,
)


def _exchanged(problem: Problem, heads: Array) -> Array:
    return (l1_normalise if problem.variant == "mse" else l2_normalise)(problem, heads)


def _over_largest(problem: Problem, heads: Array) -> Array:
    return divided(problem, heads, problem.arrays.max(heads, -1, True))


def _softmax_first(which: str, whole: bool = False, tempered: bool = False) -> Wrap:
    """Softmax along the keys (or the whole map) of the maps as they come."""

    def inputs(inner: Stage, problem: Problem, teacher: Array, student: Array) -> Any:
        def again(maps: Array) -> Array:
            scale = problem.temperature if tempered else 1.0
            return softmax_over_students(problem, maps / scale, (-2, -1) if whole else -1)

        problem, teacher, student = inner(problem, teacher, student)
        return (
            problem,
            teacher if which == "student" else again(teacher),
            student if which == "teacher" else again(student),
        )

    return Wrap(inputs)


def _softmax_of(problem: Problem, heads: Array) -> Array:
    return softmax_over_students(problem, heads)


def rows_renormalised(problem: Problem, maps: Array) -> Array:
    """Every query row of maps ``[B, H, Q, K]`` divided by its sum."""
    return divided(problem, maps, problem.arrays.sum(maps, -1, True))


MISTAKES = (
    Mistake(
        name="normalisation-missing",
        sentence="The divergence is computed on the maps as they come; the normalisation of the "
        "whole map is missing.",
        symptom="kl and js exactly Q times too large on softmax maps; mse 2 to 5 times.",
        mend="Divide every flattened head by its L1 norm (mse: L2 norm) before mixing.",
        evidence="Measured.",
        forms=one(both_mixed_in(as_it_is)),
    ),
    Mistake(
        name="normalised-on-one-side",
        sentence="Only one of teacher and student is normalised before the divergence.",
        symptom="Scaling the other map changes the loss; kl can be negative.",
        mend="Normalise both.",
        forms=(
            Form(
                "teacher only",
                {"mixed_in": Replace(as_it_is)},
                variants=("mse", "kl", "js", "token"),
            ),
            Form("student only", {"target": Replace(as_it_is)}),
        ),
    ),
    Mistake(
        name="l1-and-l2-exchanged",
        sentence="The wrong norm: L2 for the probabilities of kl, js and token, or L1 in mse.",
        symptom="mse 7 to 14 % of the right value; kl 3 to 4 times, and it can be negative.",
        mend="mse: L2 norms. kl, js, token, projected: L1 norms (sums).",
        evidence="Measured.",
        forms=(
            Form("both maps", both_mixed_in(_exchanged)),
            Form("student only", {"mixed_in": Replace(_exchanged)}),
            Form("teacher only", {"target": Replace(_exchanged)}),
        ),
    ),
    Mistake(
        name="mixture-renormalised",
        sentence="The mixture of unit maps is normalised again.",
        symptom="10 to 37 % off; the residual no longer punishes heads that cancel.",
        mend="Leave the mixture as it is: its norm is at most 1, and that counts.",
        evidence="Measured: 1.10 to 1.37.",
        variants=("mse",),
        forms=one({"mixture": after(variant_normalise)}),
    ),
    Mistake(
        name="mixed-raw-then-normalised",
        sentence="The student's maps are mixed as they come and only the mixture is normalised.",
        symptom="No effect while all heads have the same mass; off as soon as norms differ "
        "(mse: always).",
        mend="Normalise every student head before mixing.",
        evidence="kd-sink mixes raw maps.",
        forms=one({"mixed_in": Replace(as_it_is), "mixture": after(variant_normalise)}),
    ),
    Mistake(
        name="softmax-on-the-maps",
        sentence="The attention maps, probabilities already, go through a softmax again.",
        symptom="Loss 2 to 5 % of the right value, gradients 1 to 5 %: all maps look uniform.",
        mend="Feed post-softmax maps and take the softmax out, or feed the raw scores to it.",
        evidence="Align-to-Distill criterion; a ViT port fixed it as 'softmax-of-softmax'.",
        forms=(
            Form("both maps", {"inputs": _softmax_first("both")}),
            Form("student", {"inputs": _softmax_first("student")}),
            Form("teacher", {"inputs": _softmax_first("teacher")}),
            Form("both maps, over the whole map", {"inputs": _softmax_first("both", True)}),
            Form("both maps, with temperature", {"inputs": _softmax_first("both", tempered=True)}),
        ),
    ),
    Mistake(
        name="softmax-on-the-mixture",
        sentence="The mixture goes through a (log-)softmax before the divergence, as logits do.",
        symptom="The mixture looks uniform; its gradient nearly vanishes.",
        mend="Take the logarithm of the mixture itself: it is a distribution already.",
        evidence="kl_div(log_softmax(student), softmax(teacher)) is the idiom for logits.",
        forms=(
            Form(
                "mixture and teacher", {"mixture": after(_softmax_of), "target": after(_softmax_of)}
            ),
            Form("mixture only", {"mixture": after(_softmax_of)}),
        ),
    ),
    Mistake(
        name="rows-renormalised",
        sentence="Every query row is divided by its sum before anything else.",
        symptom="No effect on unmasked softmax maps; off where masks or cropping took mass out "
        "of rows.",
        mend="Nothing is renormalised by hand: mask, then one norm for the whole map.",
        evidence="See the mask order in the specification.",
        variants=("mse", "kl", "js", "projected"),
        forms=one(
            {"teacher_mask": after(rows_renormalised), "student_mask": after(rows_renormalised)}
        ),
    ),
    Mistake(
        name="divided-by-the-largest",
        sentence="Heads are divided by their largest cell instead of by a norm.",
        symptom="The loss is far too large, and follows the sharpest cell.",
        mend="Divide by the L1 norm (mse: the L2 norm).",
        forms=one(both_mixed_in(_over_largest)),
    ),
)
