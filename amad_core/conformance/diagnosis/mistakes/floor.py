"""Mistakes with small numbers that are added for safety, or are floors."""

from collections.abc import Callable
from typing import Any

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import (
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

_SIZES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
_OFTEN = (1e-8, 1e-6, 1e-3)


def _t_log(problem: Problem, target: Array, ratio_to: Array, added: float = 0.0) -> Array:
    some = positive(problem, target)
    where, log = problem.arrays.where, problem.arrays.log
    safe = where(some, target, 1.0) + added
    return where(some, target * (log(safe) - log(where(some, ratio_to, 1.0))), 0.0)


def _in_log(eps: float) -> Mutation:
    def terms(problem: Problem, target: Array, mixture: Array) -> Array:
        return _t_log(problem, target, mixture + eps)

    return {"terms": Replace(terms)}


def _both_logs(eps: float) -> Mutation:
    def terms(problem: Problem, target: Array, mixture: Array) -> Array:
        return _t_log(problem, target, mixture + eps, eps)

    return {"terms": Replace(terms)}


def _both_terms(eps: float) -> Mutation:
    def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
        return inner(problem, target + eps, mixture + eps)

    return {"terms": Wrap(terms)}


def _at_least(problem: Problem, values: Array, eps: float) -> Array:
    return problem.arrays.where(problem.arrays.values(values) > eps, values, eps)


def _clamped(eps: float) -> Mutation:
    def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
        return inner(problem, target, _at_least(problem, mixture, eps))

    return {"terms": Wrap(terms)}


def _both_clamped(eps: float) -> Mutation:
    def terms(inner: Stage, problem: Problem, target: Array, mixture: Array) -> Array:
        return inner(problem, _at_least(problem, target, eps), _at_least(problem, mixture, eps))

    return {"terms": Wrap(terms)}


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


def _renormalised(eps: float) -> Mutation:
    def normalised(problem: Problem, heads: Array) -> Array:
        if problem.variant == "mse":
            return l2_normalise(problem, heads + eps)
        return (heads + eps) / problem.arrays.sum(heads + eps, -1, True)

    return both_mixed_in(normalised)


def _added_to_unit(eps: float) -> Mutation:
    def unit(problem: Problem, heads: Array) -> Array:
        units = heads + eps
        return units / problem.arrays.sum(units, -1, True)

    return {"target": after(unit), "mixed_in": after(unit)}


def _added_to_maps(eps: float) -> Mutation:
    def inputs(inner: Stage, problem: Problem, teacher: Array, student: Array) -> Any:
        problem, teacher, student = inner(problem, teacher, student)
        return problem, teacher + eps, student + eps

    return {"inputs": Wrap(inputs)}


def _sizes(
    label: str, mutation: Callable[[float], Mutation], variants: tuple[str, ...]
) -> tuple[Form, ...]:
    return tuple(
        Form(f"{label}, {eps:g}", mutation(eps), variants, in_pairs=eps in _OFTEN) for eps in _SIZES
    )


def _fit(
    label: str, mutation: Callable[[float], Mutation], variants: tuple[str, ...]
) -> FittedForm:
    return FittedForm(label + ", {:.3g}", mutation, 1e-13, 1.0, variants)


_ANY = ("mse", "kl", "js", "token", "projected")
_LOG = (
    ("on the mixture", _in_log, KL),
    ("on both maps inside the logarithm", _both_logs, KL),
    ("on both maps, factor included", _both_terms, PROBABILITIES),
    ("on the mixture, as a floor", _clamped, PROBABILITIES),
    ("on both maps, as a floor", _both_clamped, PROBABILITIES),
)
_NORM: tuple[tuple[str, Callable[[float], Mutation], tuple[str, ...]], ...] = (
    ("added to the norms of the cosines", lambda eps: both_units(_added_norm(eps)), _ANY),
    (
        "added to the norms of the divergence",
        lambda eps: both_mixed_in(_variant_added_norm(eps)),
        _ANY,
    ),
    (
        "added to all norms",
        lambda eps: {**both_units(_added_norm(eps)), **both_mixed_in(_variant_added_norm(eps))},
        _ANY,
    ),
    ("under the root in the cosines", lambda eps: both_units(_norm_of_sum(eps)), _ANY),
)
_RENORMALISED: tuple[tuple[str, Callable[[float], Mutation], tuple[str, ...]], ...] = (
    ("added to the maps", _renormalised, _ANY),
    ("added to the normalised maps", _added_to_unit, PROBABILITIES),
)

MISTAKES = (
    Mistake(
        name="eps-in-the-logarithm",
        sentence="A small number is added to (or is a floor of) the maps inside the logarithm, "
        "large enough to be seen.",
        symptom="Absolute numbers do not fit maps that sum to 1 over n cells: 1e-8 moves the "
        "loss by 0.04 % at n = 128^2 and 2 % at 1024^2.",
        mend="Use the smallest positive number of the dtype as floor, or none.",
        evidence="Measured; seen as 1e-8 and 1e-10 in public ports, 1e-7 in Keras.",
        variants=PROBABILITIES,
        forms=tuple(form for row in _LOG for form in _sizes(*row)),
        fitted_forms=tuple(_fit(*row) for row in _LOG),
    ),
    Mistake(
        name="eps-in-the-norms",
        sentence="A small number is added to the norms, large enough to be seen.",
        symptom="Heads of small norm shrink; 0.1 moves the loss by 8 to 13 %.",
        mend="Guard only against a norm of 0, or use the dtype's smallest positive number.",
        evidence="Measured.",
        forms=tuple(form for row in _NORM for form in _sizes(*row)),
        fitted_forms=tuple(_fit(*row) for row in _NORM),
    ),
    Mistake(
        name="renormalised-after-eps",
        sentence="A small number is added to every cell and the maps are normalised anew.",
        symptom="All maps move towards uniform; zeros are lost, masked cells come back.",
        mend="Leave zeros alone; treat 0 log 0 as 0.",
        forms=tuple(form for row in _RENORMALISED for form in _sizes(*row)),
        fitted_forms=tuple(_fit(*row) for row in _RENORMALISED),
    ),
    Mistake(
        name="eps-added-to-the-maps",
        sentence="A small number is added to every cell of both maps at the start.",
        symptom="Cosines rise, maps move towards uniform.",
        mend="Leave the maps alone.",
        forms=_sizes("everywhere", _added_to_maps, _ANY),
        fitted_forms=(_fit("everywhere", _added_to_maps, _ANY),),
    ),
)
