"""The loss once more, as a pipeline of replaceable stages with exact automatic gradients.

Undisturbed it equals ``amad_core.amad_loss_and_grad`` to rounding. A known mistake replaces or
wraps a stage or a few, and so gives the value *and* the gradient that a port with this mistake
gives, detached pieces and the teacher's gradient included.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from amad_core.attention.inputs import BoolArray, broadcast_mask
from amad_core.conformance.diagnosis.arrays import NUMPY, Array, AutogradArrays
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer


@dataclass(frozen=True)
class Problem:
    """What every stage may ask for.

    ``arrays`` is the library that computes; ``masked`` says that a mask was given, be it all true;
    ``by_row`` says that query rows are compared (eq. 12) instead of whole maps.
    """

    arrays: Any
    variant: str
    temperature: float
    reduction: str
    eps: float
    valid: BoolArray
    masked: bool
    by_row: bool
    batch: int
    teacher_heads: int
    student_heads: int
    queries: int
    keys: int
    weight: Array = None
    bias: Array = None

    @property
    def cells(self) -> int:
        """``n = Q * K``."""
        return self.queries * self.keys

    @property
    def valid_heads(self) -> BoolArray:
        """The mask in the layout of the heads: ``[B, 1, n]``, or ``[B, Q, 1, K]`` of rows."""
        if self.by_row:
            return self.valid[:, :, np.newaxis, :]
        return self.valid.reshape(len(self.valid), 1, -1)


def detached_teacher(
    problem: Problem, teacher: Array, student: Array
) -> tuple[Problem, Array, Array]:
    """The teacher never gets a gradient."""
    return problem, problem.arrays.stop_gradient(teacher), student


def masked(problem: Problem, maps: Array) -> Array:
    """Masked cells are 0 before anything else happens."""
    return problem.arrays.where(problem.valid[:, np.newaxis], maps, 0.0)


def as_heads(problem: Problem, maps: Array) -> Array:
    """One vector a head ``[B, H, n]``, or a row and head ``[B, Q, H, K]``."""
    if problem.by_row:
        return problem.arrays.moveaxis(maps, 2, 1)
    return problem.arrays.reshape(maps, (maps.shape[0], maps.shape[1], -1))


def as_it_is(problem: Problem, heads: Array) -> Array:
    """The teacher is never projected."""
    return heads


def projected(problem: Problem, student: Array) -> Array:
    """Eq. 10 in the variant ``projected``; else the student as it is."""
    if problem.weight is None:
        return student
    affine = l1_normalise(problem, student) @ problem.arrays.swapaxes(problem.weight, 0, 1)
    affine = affine + problem.bias
    return problem.arrays.where(problem.valid_heads & positive(problem, affine), affine, 0.0)


def positive(problem: Problem, array: Array) -> Any:
    """Where ``array > 0``, as plain booleans."""
    return problem.arrays.values(array) > 0


def divided(problem: Problem, heads: Array, norm: Array) -> Array:
    """``v / norm``; 0, and without gradient, where the norm is 0."""
    where = problem.arrays.where
    some = problem.arrays.values(norm) != 0
    return where(some, heads / where(some, norm, 1.0), 0.0)


def l2_norm(problem: Problem, heads: Array, axis: Any = -1) -> Array:
    """``|v|_2`` with the axis kept, differentiable at 0."""
    squares = problem.arrays.sum(heads**2, axis, True)
    some = problem.arrays.values(squares) != 0
    root = problem.arrays.sqrt(problem.arrays.where(some, squares, 1.0))
    return problem.arrays.where(some, root, 0.0)


def l2_normalise(problem: Problem, heads: Array) -> Array:
    """``v / |v|_2``."""
    return divided(problem, heads, l2_norm(problem, heads))


def l1_normalise(problem: Problem, heads: Array) -> Array:
    """``v / |v|_1`` for non-negative ``v``."""
    return divided(problem, heads, problem.arrays.sum(heads, -1, True))


def cosine_similarity(problem: Problem, teacher: Array, student: Array) -> Array:
    """``c_ij``, ``[..., Ht, Hs]``, of unit vectors."""
    return teacher @ problem.arrays.swapaxes(student, -1, -2)


def over_temperature(problem: Problem, similarity: Array) -> Array:
    """``c / τ``."""
    return similarity / problem.temperature


def softmax_over_students(problem: Problem, logits: Array, axis: Any = -1) -> Array:
    """Eq. 2, over student heads."""
    largest = problem.arrays.stop_gradient(problem.arrays.max(logits, axis, True))
    powers = problem.arrays.exp(logits - largest)
    return powers / problem.arrays.sum(powers, axis, True)


def variant_normalise(problem: Problem, heads: Array) -> Array:
    """How heads enter the divergence: L2 units in ``mse``, L1 units else."""
    return (l2_normalise if problem.variant == "mse" else l1_normalise)(problem, heads)


def aligned_maps(problem: Problem, weights: Array, student: Array) -> Array:
    """``m_i = Σ_j a_ij s_j``."""
    return weights @ student


def divergence_terms(problem: Problem, target: Array, mixture: Array) -> Array:
    """The divergence before its sum over cells."""
    if problem.variant == "mse":
        return (target - mixture) ** 2
    if problem.variant == "js":
        return js_terms(problem, target, mixture)
    return kl_terms(problem, target, mixture)


def floored(problem: Problem, mixture: Array) -> Array:
    """``max(m, eps)``."""
    keep = (problem.arrays.values(mixture) > problem.eps) | (problem.eps == 0)
    return problem.arrays.where(keep, mixture, problem.eps)


def kl_terms(problem: Problem, target: Array, mixture: Array) -> Array:
    """``p log(p / max(m, eps))``, ``0 log 0 = 0``."""
    where = problem.arrays.where
    some = positive(problem, target)
    ratio = where(some, target, 1.0) / where(some, floored(problem, mixture), 1.0)
    return where(some, target * problem.arrays.log(ratio), 0.0)


def js_terms(problem: Problem, target: Array, mixture: Array) -> Array:
    """``½ p log(p / h) + ½ m log(m / h)`` with ``h = (p + m) / 2``."""
    where, values = problem.arrays.where, problem.arrays.values
    half = (target + mixture) / 2
    low = floored(problem, half)
    some = (values(low) > 0) & ((values(mixture) > 0) | (problem.eps > 0))
    ratio = where(some, floored(problem, mixture), 1.0) / where(some, low, 1.0)
    from_mixture = mixture * problem.arrays.log(ratio)
    return (kl_terms(problem, target, half) + from_mixture) / 2


def sum_over_cells(problem: Problem, terms: Array) -> Array:
    """One divergence a head (and row)."""
    return problem.arrays.sum(terms, -1)


def sum_over_heads(problem: Problem, per_head: Array) -> Array:
    """Eq. 5: one loss a sample; in eq. 12 over the rows too."""
    return problem.arrays.sum(per_head, tuple(range(1, per_head.ndim)))


def reduce_batch(problem: Problem, losses: Array) -> Array:
    """The reduction asked for."""
    if problem.reduction == "none":
        return losses
    total = problem.arrays.sum(losses, 0)
    return total if problem.reduction == "sum" else total / losses.shape[0]


Stage = Callable[..., Any]


@dataclass(frozen=True)
class Stages:
    """The stages in the order they run; the defaults are the specification."""

    inputs: Stage = detached_teacher
    teacher_mask: Stage = masked
    student_mask: Stage = masked
    teacher_layout: Stage = as_heads
    student_layout: Stage = as_heads
    teacher_projection: Stage = as_it_is
    alignment_projection: Stage = projected
    mixture_projection: Stage = projected
    teacher_unit: Stage = l2_normalise
    student_unit: Stage = l2_normalise
    similarity: Stage = cosine_similarity
    logits: Stage = over_temperature
    weights: Stage = softmax_over_students
    target: Stage = variant_normalise
    mixed_in: Stage = variant_normalise
    mixture: Stage = aligned_maps
    terms: Stage = divergence_terms
    per_head: Stage = sum_over_cells
    per_sample: Stage = sum_over_heads
    reduced: Stage = reduce_batch


@dataclass(frozen=True)
class Replace:
    """Replaces a stage."""

    stage: Stage

    def wrap(self, inner: Stage) -> Stage:
        return self.stage


@dataclass(frozen=True)
class Wrap:
    """Wraps a stage: ``stage(inner, problem, ...)`` may do something before or after it."""

    stage: Callable[..., Any]

    def wrap(self, inner: Stage) -> Stage:
        return lambda problem, *arrays: self.stage(inner, problem, *arrays)


def after(change: Callable[[Problem, Array], Array]) -> Wrap:
    """Wraps a stage: ``change`` is applied to what it gives."""
    return Wrap(lambda inner, problem, *arrays: change(problem, inner(problem, *arrays)))


Mutation = Mapping[str, Replace | Wrap]
"""What differs from the specification: stage name to replacement or wrapping."""


class ConflictError(ValueError):
    """Two mutations replace the same stage, so no port can have both there."""


def stages_with(*mutations: Mutation) -> Stages:
    """The pipeline with all mutations: replacements first, wrappings around them in order."""
    changes: dict[str, list[Replace | Wrap]] = {}
    for mutation in mutations:
        for name, change in mutation.items():
            changes.setdefault(name, []).append(change)
    return replace(
        SPECIFICATION, **{name: _wrapped(name, *changed) for name, changed in changes.items()}
    )


@lru_cache(maxsize=1 << 16)
def _wrapped(name: str, *changes: Replace | Wrap) -> Stage:
    # Cached, so that the same change is the same function, by which Memory knows its results.
    replacements = [change for change in changes if isinstance(change, Replace)]
    if len(replacements) > 1:
        raise ConflictError(f"stage {name!r} is replaced {len(replacements)} times")
    stage: Stage = getattr(SPECIFICATION, name)
    for change in replacements + [change for change in changes if isinstance(change, Wrap)]:
        stage = change.wrap(stage)
    return stage


SPECIFICATION = Stages()


class Memory:
    """Results of stages on one case, to be reused by pipelines that share a beginning."""

    def __init__(self) -> None:
        self._results: dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = {}

    def __call__(self, stage: Stage, *arguments: Any) -> Any:
        key = (stage, *map(id, arguments))
        if key not in self._results:
            # The arguments are kept, too: an id is unique only as long as its object lives.
            self._results[key] = arguments, stage(*arguments)
        return self._results[key][1]


def _call(stage: Stage, *arguments: Any) -> Any:
    return stage(*arguments)


def run(
    stages: Stages, problem: Problem, teacher: Array, student: Array, call: Stage = _call
) -> Array:
    """The loss of one case, in whichever library ``problem.arrays`` computes."""
    problem, teacher, student = call(stages.inputs, problem, teacher, student)
    teacher = call(stages.teacher_layout, problem, call(stages.teacher_mask, problem, teacher))
    student = call(stages.student_layout, problem, call(stages.student_mask, problem, student))
    teacher = call(stages.teacher_projection, problem, teacher)
    aligned = call(stages.alignment_projection, problem, student)
    teacher_unit = call(stages.teacher_unit, problem, teacher)
    student_unit = call(stages.student_unit, problem, aligned)
    similarity = call(stages.similarity, problem, teacher_unit, student_unit)
    weights = call(stages.weights, problem, call(stages.logits, problem, similarity))
    mixed_in = call(stages.mixed_in, problem, call(stages.mixture_projection, problem, student))
    mixture = call(stages.mixture, problem, weights, mixed_in)
    terms = call(stages.terms, problem, call(stages.target, problem, teacher), mixture)
    # Cheap from here on, and of little use to another pipeline: nothing is kept.
    losses = stages.per_sample(problem, stages.per_head(problem, terms))
    return stages.reduced(problem, losses)


def problem_of(case: Case, arrays: Any) -> Problem:
    """The settings of a case, its constants handed to ``arrays``."""
    batch, teacher_heads, queries, keys = case.teacher.shape
    return Problem(
        arrays=arrays,
        variant=case.variant,
        temperature=case.temperature,
        reduction=case.reduction,
        eps=case.eps,
        valid=broadcast_mask(case.mask, case.teacher.shape),
        masked=case.mask is not None,
        by_row=case.variant == "token",
        batch=batch,
        teacher_heads=teacher_heads,
        student_heads=case.student.shape[1],
        queries=queries,
        keys=keys,
        weight=None if case.weight is None else arrays.constant(case.weight),
        bias=None if case.bias is None else arrays.constant(case.bias),
    )


def value_of(case: Case, stages: Stages = SPECIFICATION) -> Any:
    """The value alone, with plain NumPy: fast."""
    with np.errstate(all="ignore"):
        return np.asarray(run(stages, problem_of(case, NUMPY), case.teacher, case.student))


def observe(case: Case, stages: Stages = SPECIFICATION) -> Answer:
    """The value, and its gradients with respect to student and teacher."""
    from autograd import make_vjp

    problem = problem_of(case, _autograd_arrays())

    def loss(teacher: Array, student: Array) -> Array:
        return run(stages, problem, teacher, student)

    with np.errstate(all="ignore"):
        pull_back, value = make_vjp(loss, argnum=(0, 1))(case.teacher, case.student)
        grad_teacher, grad_student = pull_back(np.ones_like(np.asarray(value)))
    return Answer(np.asarray(value), grad_student, grad_teacher)


@lru_cache(maxsize=1)
def _autograd_arrays() -> AutogradArrays:
    return AutogradArrays()
