"""Mistakes with small numbers that are added for safety, or are floors."""

from collections.abc import Callable
from typing import Any

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import (
    ALL,
    KL,
    PROBABILITIES,
    FittedForm,
    Form,
    Mistake,
)
from amad_core.conformance.diagnosis.mistakes.similarity import both_mixed_in, both_units
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
    l2_norm,
    l2_normalise,
    positive,
)

_SIZES = (1e-8, 1e-7, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
_OFTEN = (1e-7, 1e-3)
_SMALLEST, _LARGEST = 1e-13, 1.0
"""Where a number is sought; what is smaller, nobody can tell from rounding."""

_KERAS = ((1e-7, "keras.losses.KLDivergence clips both sides at keras.backend.epsilon()"),)

Raised = Callable[[Problem, Array, float], Array]
"""A small number on an array: added to it, or as its floor."""


def _added(problem: Problem, values: Array, eps: float) -> Array:
    return values + eps


def _floor(problem: Problem, values: Array, eps: float) -> Array:
    return problem.arrays.where(problem.arrays.values(values) > eps, values, eps)


def _in_logarithms(raised: Raised, teacher: bool) -> Callable[[float], Mutation]:
    """Only the arguments of the logarithms, the mixture's or both."""

    def mutation(eps: float) -> Mutation:
        def terms(problem: Problem, target: Array, mixture: Array) -> Array:
            where, log = problem.arrays.where, problem.arrays.log
            some = positive(problem, target)
            own = where(some, target, 1.0)
            own = raised(problem, own, eps) if teacher else own
            other = where(some, raised(problem, mixture, eps), 1.0)
            return where(some, target * (log(own) - log(other)), 0.0)

        return {"terms": Replace(terms)}

    return mutation


def _in_terms(raised: Raised, teacher: bool) -> Callable[[float], Mutation]:
    """The mixture as it enters the divergence, or teacher and mixture."""

    def mutation(eps: float) -> Mutation:
        def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
            target = raised(problem, target, eps) if teacher else target
            return inner(problem, target, raised(problem, mixture, eps))

        return {"terms": Wrap(terms)}

    return mutation


def _on_units(raised: Raised, teacher: bool, again: bool) -> Callable[[float], Mutation]:
    """The normalised maps before they are mixed; normalised ``again`` or not."""

    def mutation(eps: float) -> Mutation:
        def unit(problem: Problem, heads: Array) -> Array:
            heads = raised(problem, heads, eps)
            return heads / problem.arrays.sum(heads, -1, True) if again else heads

        return {"mixed_in": after(unit), **({"target": after(unit)} if teacher else {})}

    return mutation


def _on_maps(raised: Raised) -> Callable[[float], Mutation]:
    """The maps as they enter the normalisation of the divergence."""

    def mutation(eps: float) -> Mutation:
        def normalised(problem: Problem, heads: Array) -> Array:
            heads = raised(problem, heads, eps)
            if problem.variant == "mse":
                return l2_normalise(problem, heads)
            return heads / problem.arrays.sum(heads, -1, True)

        return both_mixed_in(normalised)

    return mutation


def _mixture_again(raised: Raised) -> Callable[[float], Mutation]:
    """Teacher and mixture, both normalised again."""

    def mutation(eps: float) -> Mutation:
        def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
            both = [raised(problem, heads, eps) for heads in (target, mixture)]
            return inner(problem, *(heads / problem.arrays.sum(heads, -1, True) for heads in both))

        return {"terms": Wrap(terms)}

    return mutation


def _at_the_start(raised: Raised, teacher: bool) -> Callable[[float], Mutation]:
    def mutation(eps: float) -> Mutation:
        def inputs(inner: Stage, problem: Problem, teacher_maps: Array, student: Array) -> Any:
            problem, teacher_maps, student = inner(problem, teacher_maps, student)
            if teacher:
                teacher_maps = raised(problem, teacher_maps, eps)
            return problem, teacher_maps, raised(problem, student, eps)

        return {"inputs": Wrap(inputs)}

    return mutation


def _added_norm(eps: float) -> Stage:
    return lambda problem, heads: heads / (l2_norm(problem, heads) + eps)


def _norm_of_sum(eps: float) -> Stage:
    return lambda problem, heads: (
        heads / problem.arrays.sqrt(problem.arrays.sum(heads**2, -1, True) + eps)
    )


def _variant_added_norm(eps: float) -> Stage:
    def normalised(problem: Problem, heads: Array) -> Array:
        if problem.variant == "mse":
            return _added_norm(eps)(problem, heads)
        return heads / (problem.arrays.sum(heads, -1, True) + eps)

    return normalised


def _fitted(
    label: str,
    mutation: Callable[[float], Mutation],
    variants: tuple[str, ...],
    origins: tuple[tuple[float, str], ...] = (),
) -> FittedForm:
    return FittedForm(label + ", {:.3g}", mutation, _SMALLEST, _LARGEST, variants, origins=origins)


def _sizes(fitted_forms: tuple[FittedForm, ...]) -> tuple[Form, ...]:
    """The usual sizes, to be found without fitting anything."""
    return tuple(one.form(eps, in_pairs=eps in _OFTEN) for one in fitted_forms for eps in _SIZES)


_LOG = (
    _fitted("on the mixture", _in_logarithms(_added, False), KL),
    _fitted("on both maps inside the logarithm", _in_logarithms(_added, True), KL),
    _fitted("on both maps, factor included", _in_terms(_added, True), PROBABILITIES),
    _fitted("on the mixture, as a floor", _in_terms(_floor, False), PROBABILITIES),
    _fitted("on both maps, as a floor", _in_terms(_floor, True), PROBABILITIES, _KERAS),
)
_LESS_OFTEN = (
    _fitted("on both maps inside the logarithm, as a floor", _in_logarithms(_floor, True), KL),
    _fitted("on the student's normalised maps", _on_units(_added, False, False), PROBABILITIES),
    _fitted(
        "on the student's normalised maps, as a floor",
        _on_units(_floor, False, False),
        PROBABILITIES,
    ),
    _fitted("on both normalised maps", _on_units(_added, True, False), PROBABILITIES),
    _fitted("on both normalised maps, as a floor", _on_units(_floor, True, False), PROBABILITIES),
)
_NORM = (
    _fitted("added to the norms of the cosines", lambda eps: both_units(_added_norm(eps)), ALL),
    _fitted(
        "added to the norms of the divergence",
        lambda eps: both_mixed_in(_variant_added_norm(eps)),
        ALL,
    ),
    _fitted(
        "added to all norms",
        lambda eps: {**both_units(_added_norm(eps)), **both_mixed_in(_variant_added_norm(eps))},
        ALL,
    ),
    _fitted("under the root in the cosines", lambda eps: both_units(_norm_of_sum(eps)), ALL),
)
_AGAIN = (
    _fitted("added to the maps", _on_maps(_added), ALL),
    _fitted("added to the normalised maps", _on_units(_added, True, True), PROBABILITIES),
)
_AGAIN_LESS_OFTEN = (
    _fitted("floor of the maps", _on_maps(_floor), ALL),
    _fitted("floor of the normalised maps", _on_units(_floor, True, True), PROBABILITIES),
    _fitted("added to teacher and mixture", _mixture_again(_added), PROBABILITIES),
    _fitted("floor of teacher and mixture", _mixture_again(_floor), PROBABILITIES),
    _fitted(
        "added to the student's normalised maps", _on_units(_added, False, True), PROBABILITIES
    ),
    _fitted(
        "floor of the student's normalised maps", _on_units(_floor, False, True), PROBABILITIES
    ),
)
_START = (_fitted("everywhere", _at_the_start(_added, True), ALL),)
_START_LESS_OFTEN = (
    _fitted("everywhere, as a floor", _at_the_start(_floor, True), ALL),
    _fitted("student only", _at_the_start(_added, False), ALL),
    _fitted("student only, as a floor", _at_the_start(_floor, False), ALL),
)

MISTAKES = (
    Mistake(
        name="eps-in-the-logarithm",
        sentence="A small number is added to the maps inside the logarithm, or is their floor.",
        symptom="Absolute numbers do not fit maps that sum to 1 over n cells: 1e-8 moves the "
        "loss by 0.04 % at n = 128^2 and 2 % at 1024^2.",
        mend="Use the smallest positive number of the dtype as floor, or none.",
        evidence="Measured; seen as 1e-8 and 1e-10 in public ports, 1e-7 in Keras.",
        variants=PROBABILITIES,
        forms=_sizes(_LOG),
        fitted_forms=(*_LOG, *_LESS_OFTEN),
    ),
    Mistake(
        name="eps-in-the-norms",
        sentence="A small number is added to the norms.",
        symptom="Heads of small norm shrink; 0.1 moves the loss by 8 to 13 %.",
        mend="Guard only against a norm of 0, or use the dtype's smallest positive number.",
        evidence="Measured.",
        forms=_sizes(_NORM),
        fitted_forms=_NORM,
    ),
    Mistake(
        name="renormalised-after-eps",
        sentence="A small number is added to every cell, or is its floor, and the maps are "
        "normalised anew.",
        symptom="All maps move towards uniform; zeros are lost, masked cells come back.",
        mend="Leave zeros alone; treat 0 log 0 as 0.",
        forms=_sizes(_AGAIN),
        fitted_forms=(*_AGAIN, *_AGAIN_LESS_OFTEN),
    ),
    Mistake(
        name="eps-added-to-the-maps",
        sentence="A small number is added to every cell of the maps at the start, or is its floor.",
        symptom="Cosines rise, maps move towards uniform.",
        mend="Leave the maps alone.",
        forms=_sizes(_START),
        fitted_forms=(*_START, *_START_LESS_OFTEN),
    ),
)
