"""A report never contradicts itself, nor the judgements it is made from, whatever the port does."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from amad_core.conformance.diagnosis.exhibit import Suspect
from amad_core.conformance.diagnosis.explanation import explained
from amad_core.conformance.diagnosis.mistakes import mistake
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Replace,
    Wrap,
    after,
    observe,
    stages_with,
)
from amad_core.conformance.diagnosis.search import all_suspects, possible_orders
from amad_core.conformance.inputs.borders import edge_cases, infinite_cases
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.checks.result import FAILED, CheckResult
from amad_core.conformance.judging.judgement import Judgement, judge
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.reports.explanation import Findings

UNKNOWN: Mutation = {"per_head": after(lambda problem, losses: losses**1.3 + 0.02)}
SQUARED: Mutation = {"reduced": after(lambda problem, loss: loss**2)}
LEAK: Mutation = {"inputs": Replace(lambda problem, teacher, student: (problem, teacher, student))}
NAN: Mutation = {"reduced": after(lambda problem, loss: loss * float("nan"))}


def _nan_at_some(inner, problem, terms):
    return inner(problem, terms) * (float("nan") if problem.keys == 7 else 1.0)


NAN_AT_SOME: Mutation = {"per_head": Wrap(_nan_at_some)}
"""On a few inputs, for no reason that the catalogue has."""

BY_HAND: dict[str, tuple[Mutation, ...]] = {
    "right": (),
    "unknown": (UNKNOWN,),
    "squared": (SQUARED,),
    "leak": (LEAK,),
    "unknown and leak": (UNKNOWN, LEAK),
    "squared, leak, mean over heads": (SQUARED, LEAK, mistake("mean-over-heads").forms[0].mutation),
    "NaN": (NAN,),
    "NaN at some": (NAN_AT_SOME,),
    "NaN at some and unknown": (NAN_AT_SOME, UNKNOWN),
    "NaN at zeros and unknown": (mistake("zero-times-log-of-zero").forms[0].mutation, UNKNOWN),
    "NaN at some and mean over heads": (
        NAN_AT_SOME,
        mistake("mean-over-heads").forms[0].mutation,
    ),
    "a little off": ({"reduced": after(lambda problem, loss: loss * (1 + 4e-6))},),
    "a little off, another way": ({"per_head": after(lambda problem, losses: losses**1.000004)},),
}


def inputs(variant: str) -> list[Case]:
    terms = Terms(variant=variant)
    return [
        *discriminating_cases(variant),
        *edge_cases(terms, 0),
        *(infinite_cases(terms, 0) if variant in ("kl", "token") else []),
    ]


def judged(variant: str, mutations: Sequence[Mutation], dtype: str = "float64") -> list[Judgement]:
    stages = stages_with(*mutations)
    found = []
    for case in inputs(variant):
        try:
            answer = observe(case, stages)
        except (ValueError, IndexError):
            answer = Answer(None)
        found.append(judge(case, answer, dtype))
    return found


def findings(judgements: Sequence[Judgement]) -> Findings:
    leaks = any(one.leak for one in judgements)
    return explained(judgements, [CheckResult(FAILED, name="teacher")] if leaks else [])


def contradictions(judgements: Sequence[Judgement], told: Findings) -> Iterator[str]:
    """Sentences that are false of the judgements, or of each other."""
    answered = {one.case.name: one for one in judgements if one.answer.value is not None}
    answered = {k: v for k, v in answered.items() if np.isfinite(v.expected.value).all()}
    values = {name for name, one in answered.items() if one.value_problem}
    gradients = {
        name
        for name, one in answered.items()
        if one.answer.grad_student is not None and one.gradient_problem
    }
    facts = " ".join(told.facts)
    if re.search(r"values of all \d+ inputs .* are the specification's", facts) and values:
        yield "all values agree, but some are wrong"
    if "All gradients that came for them are" in facts and gradients:
        yield "all gradients agree, but some are wrong"
    for start, wrong in (("Values agree for ", False), ("Values differ for ", True)):
        for name in _names(told.facts, start):
            if (name in values) is not wrong:
                yield f"{start}{name}"
    for fact in told.facts:
        if re.search(r" 1 to .* times| to 1 times", fact):
            yield fact
    kept = set(_names(told.facts, "As it must be, the value does not change by "))
    if kept & set(_names(told.facts, "The value changes by ")):
        yield "an invariance holds and fails"
    is_wrong = bool(values or gradients)
    if is_wrong and not told.explanations and "unexplained" not in facts:
        yield "nothing is known, and that is not said"
    if told.partial != ("unexplained" in facts):
        yield "partial, and not said, or the other way round"
    finite = [one for one in answered.values() if np.isfinite(one.answer.value).all()]
    if answered and not finite and told.explanations:
        yield "nothing but NaN, and yet a name"
    if not is_wrong and not any(one.leak for one in judgements) and told.explanations:
        yield "nothing is wrong, and yet a name"


def _names(facts: Sequence[str], start: str) -> list[str]:
    for fact in facts:
        if fact.startswith(start):
            listed = fact.removeprefix(start).removesuffix("; it must not.").removesuffix(".")
            return re.sub(r" and \d+ more", "", listed).split(", ")
    return []


@pytest.mark.thin(5)
@pytest.mark.parametrize("variant", ["kl", "mse"])
@pytest.mark.parametrize("name", BY_HAND)
def test_ports_planted_by_hand(variant: str, name: str) -> None:
    if variant == "mse" and "and" in name:
        pytest.skip("what is planted together is planted in kl")
    judgements = judged(variant, BY_HAND[name])
    told = findings(judgements)
    assert list(contradictions(judgements, told)) == []
    if "unknown" in name or "squared" in name or name.endswith("NaN at some"):
        assert told.partial
        assert told.points[-len(told.facts) :] == told.facts


def _sample(variant: str) -> list[tuple[Suspect, ...]]:
    rng = np.random.default_rng([3, len(variant)])
    suspects = [one for one in all_suspects(variant) if one.form.in_pairs]
    singles: list[tuple[Suspect, ...]] = [(one,) for one in suspects[:: len(suspects) // 5]]
    pairs: list[tuple[Suspect, ...]] = []
    while len(pairs) < 2:
        first, second = (suspects[i] for i in rng.choice(len(suspects), 2, replace=False))
        pairs += list(possible_orders(first, second))[:1]
    return singles + pairs


@pytest.mark.parametrize("variant", ["kl", "token"])
def test_ports_planted_by_the_catalogue(variant: str) -> None:
    for suspects in _sample(variant):
        judgements = judged(variant, [suspect.form.mutation for suspect in suspects])
        told = findings(judgements)
        planted = [(suspect.mistake.name, suspect.form.label) for suspect in suspects]
        assert list(contradictions(judgements, told)) == [], planted


MIXING = {
    "weights-averaged-over-the-batch": True,
    "softmax-over-the-batch": True,
    "batch-flattened-into-features": True,
    "norm-over-the-whole-tensor": True,
    "divided-by-real-tokens": True,
    "mean-over-heads": False,
    "sum-and-mean-over-the-batch-exchanged": False,
    "divided-by-the-batch-twice": False,
    "kl-reversed": False,
}


@pytest.mark.thin(5)
@pytest.mark.parametrize("name", MIXING)
def test_samples_that_depend_on_each_other_are_told(name: str) -> None:
    mutation = mistake(name).forms[0].mutation
    told = findings(judged("kl", [UNKNOWN, mutation]))
    mixed = [fact for fact in told.facts if fact.startswith("The loss of a sample changes when")]
    assert bool(mixed) is MIXING[name]
