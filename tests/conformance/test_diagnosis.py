"""Diagnosis: planted mistakes are named, right ports are left alone, the unknown is admitted."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from amad_core import VARIANTS
from amad_core.conformance.diagnosis import diagnosis as diagnosis_module
from amad_core.conformance.diagnosis.diagnosis import Diagnosis
from amad_core.conformance.diagnosis.exhibit import Suspect
from amad_core.conformance.diagnosis.mistakes import mistake
from amad_core.conformance.diagnosis.mistakes.temperature import _temperature as temperature
from amad_core.conformance.diagnosis.pipeline import Mutation, after, observe, stages_with
from amad_core.conformance.diagnosis.search import all_suspects
from amad_core.conformance.inputs.borders import infinite_cases
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.judging.judgement import judge
from amad_core.conformance.ports.answer import Answer

TEMPERATURE = 0.7

HELLINGER: Mutation = {
    "terms": after(lambda problem, terms: problem.arrays.sqrt(terms**2 + 0.3) + terms**2)
}
"""Something that is no mistake anybody has made, and no combination of two."""


NOTHING_BUT_NAN = ("log-softmax-for-softmax", "log-target-without-flag")
"""What gives NaN for every input fits too much to be named."""


def planted(cases: Sequence[Case], *mutations: Mutation) -> list[Answer]:
    """What a port with these deviations answers; nothing where it crashes."""
    stages = stages_with(*mutations)
    answers = []
    for case in cases:
        try:
            answers.append(observe(case, stages))
        except (ValueError, IndexError):
            answers.append(Answer(None))
    return answers


def diagnose(cases: Sequence[Case], answers: Sequence[Answer]) -> Diagnosis:
    """The diagnosis of a port that gives these answers."""
    return diagnosis_module.diagnose(
        [judge(case, answer) for case, answer in zip(cases, answers, strict=True)]
    )


def names(diagnosis: Diagnosis) -> list[str]:
    return [explanation.name for explanation in diagnosis.explanations]


def way(name: str, label: str = "") -> Mutation:
    """One way to make a mistake: the first, or the one called ``label``."""
    forms = mistake(name).forms
    return next(form.mutation for form in forms if form.label == label or not label)


def in_float32(found: Answer) -> Answer:
    """As a port in float32 would answer: every number off by some roundings."""
    rng = np.random.default_rng(5)

    def rounded(array: np.ndarray | None) -> np.ndarray | None:
        if array is None:
            return None
        noise = 1 + 2e-7 * rng.uniform(-1, 1, size=np.shape(array))
        return np.asarray(np.float32(array * noise), dtype=np.float64)

    return replace(
        found,
        value=rounded(found.value),
        grad_student=rounded(found.grad_student),
        grad_teacher=rounded(found.grad_teacher),
        dtype="float32",
    )


def _sample(variant: str) -> list[Suspect]:
    """Every 40th way to make a mistake, of those that show, and not by NaN alone."""
    suspects = [
        suspect
        for suspect in all_suspects(variant)
        if "eps" not in suspect.mistake.name
        and suspect.mistake.name not in ("reduction-ignored", *NOTHING_BUT_NAN)
        and not suspect.form.label.startswith("1e-")
    ]
    return suspects[7 * sorted(VARIANTS).index(variant) :: 40]


@pytest.mark.thin(3)
@pytest.mark.parametrize(
    ("variant", "suspect"),
    [(variant, suspect) for variant in sorted(VARIANTS) for suspect in _sample(variant)],
    ids=lambda given: given if isinstance(given, str) else given.mistake.name,
)
def test_a_single_mistake_is_named(variant: str, suspect: Suspect) -> None:
    cases = discriminating_cases(variant, temperature=TEMPERATURE, seed=1)
    observed = [in_float32(found) for found in planted(cases, suspect.form.mutation)]
    diagnosis = diagnose(cases, observed)
    assert not diagnosis.agrees
    assert suspect.mistake.name in names(diagnosis)
    assert len(names(diagnosis)) <= 2


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@pytest.mark.parametrize("rounded", [False, True])
def test_a_right_port_is_left_alone(variant: str, rounded: bool) -> None:
    cases = discriminating_cases(variant, temperature=TEMPERATURE, seed=2)
    observed = planted(cases)
    diagnosis = diagnose(cases, [in_float32(found) for found in observed] if rounded else observed)
    assert diagnosis.agrees
    assert diagnosis.explanations == ()
    assert diagnosis.ratio is None
    assert diagnosis.summary == "All values and gradients are the specification's."


@pytest.mark.thin(4)
@pytest.mark.parametrize(
    ("variant", "first", "second"),
    [
        ("kl", "kl-reversed", "mean-over-heads"),
        ("kl", "weights-detached", "mask-ignored"),
        ("mse", "softmax-over-teacher-heads", "norms-detached"),
        ("mse", "weights-detached", "gradient-into-the-teacher"),
        ("token", "dot-of-raw-maps", "cross-entropy-for-kl"),
        ("js", "temperature-multiplied", "mask-after-normalisation"),
        ("projected", "projection-without-bias", "mean-over-rows"),
    ],
)
def test_a_pair_of_mistakes_is_named(variant: str, first: str, second: str) -> None:
    cases = discriminating_cases(variant, temperature=TEMPERATURE)
    diagnosis = diagnose(cases, planted(cases, way(first), way(second)))
    assert {first, second} in [set(name.split(" + ")) for name in names(diagnosis)]
    assert all(len(explanation.mistakes) == 2 for explanation in diagnosis.explanations)


def test_a_third_mistake_too_small_to_matter_hides_nothing() -> None:
    cases = discriminating_cases("kl", masks=False)
    eps = way("eps-in-the-logarithm", "on both maps, factor included, 1e-08")
    tenth = way("another-temperature", "temperature 0.1")
    diagnosis = diagnose(cases, planted(cases, tenth, way("mean-over-heads"), eps))
    expected = {"another-temperature", "mean-over-heads", "eps-in-the-logarithm"}
    assert set(diagnosis.explanations[0].name.split(" + ")) == expected


def test_what_explains_ordinary_inputs_only_says_for_which_it_fails() -> None:
    cases = discriminating_cases("kl", masks=False)
    by_row = way("normalised-by-row", "rows, after mixing maps as they come")
    diagnosis = diagnose(
        cases, planted(cases, way("dot-of-l1-maps"), by_row, way("mean-over-heads-and-rows"))
    )
    first = diagnosis.explanations[0]
    assert "dot-of-l1-maps" in first.name
    assert "mean-over-heads" in first.name
    assert "cropped" in first.except_for
    assert "all cases but cropped" in first.sentence


@pytest.mark.thin(7)
@pytest.mark.parametrize("eps", [1e-12, 1e-10, 3e-8, 1e-7, 2e-6, 4e-4, 1e-3])
@pytest.mark.parametrize("further", [(), ("mean-over-heads",)])
@pytest.mark.parametrize("label", ["on the mixture", "on both maps, as a floor"])
def test_a_floor_of_any_size_is_named_with_its_size(
    eps: float, further: tuple[str, ...], label: str
) -> None:
    cases = [*discriminating_cases("kl", masks=False), *infinite_cases(Terms(variant="kl"), 0)]
    (floor,) = [
        fitted_form
        for fitted_form in mistake("eps-in-the-logarithm").fitted_forms
        if fitted_form.label == label + ", {:.3g}"
    ]
    answers = planted(cases, *map(way, further), floor.mutation(eps))
    diagnosis = diagnose(cases, [in_float32(found) for found in answers])
    if diagnosis.agrees:  # rounding hides it, unless the exact loss is infinite
        assert not further
        assert eps < 1e-7
        return
    assert set(diagnosis.explanations[0].mistakes) == {*further, "eps-in-the-logarithm"}
    assert f", {eps:.1g}" in diagnosis.explanations[0].details[-1]


def test_keras_is_named_as_the_origin_of_its_floor() -> None:
    cases = discriminating_cases("kl", masks=False)
    (label,) = [one.label for one in mistake("eps-in-the-logarithm").forms if "keras" in one.label]
    diagnosis = diagnose(cases, planted(cases, way("eps-in-the-logarithm", label)))
    assert "1e-07: keras.losses.KLDivergence" in diagnosis.explanations[0].sentence


@pytest.mark.parametrize("count", [2, 8, 11])
@pytest.mark.parametrize("ending", ["", ", the teacher renormalised", ", both renormalised"])
def test_how_many_of_the_largest_cells_are_kept_is_told(count: int, ending: str) -> None:
    cases = discriminating_cases("kl", masks=False)
    label = f"{count} of the map{ending}"
    diagnosis = diagnose(cases, planted(cases, way("largest-cells-only", label)))
    assert diagnosis.explanations[0].details == (label,)


def test_nan_for_every_input_is_no_evidence_for_any_mistake() -> None:
    cases = discriminating_cases("kl", masks=False)
    diagnosis = diagnose(cases, planted(cases, way(NOTHING_BUT_NAN[0])))
    assert not diagnosis.agrees
    assert diagnosis.explanations == ()
    assert "No input gives a finite value" in " ".join(diagnosis.facts)


def test_a_temperature_is_fitted() -> None:
    cases = discriminating_cases("kl")
    diagnosis = diagnose(cases, planted(cases, temperature(0.083)))
    assert diagnosis.explanations[0].details == ("temperature 0.083",)


def test_a_ratio_is_given_as_a_formula_of_sizes() -> None:
    cases = discriminating_cases("kl")
    diagnosis = diagnose(cases, planted(cases, way("mean-over-elements")))
    assert "mean-over-elements" in names(diagnosis)
    assert diagnosis.ratio is not None
    assert diagnosis.ratio.formula == "1/(Ht Q K)"
    assert diagnosis.ratio.first == pytest.approx(1 / (5 * 4 * 7))


def test_cells_counted_for_rows_are_recognised_by_two_over_keys_plus_one() -> None:
    (causal,) = [case for case in discriminating_cases("token") if case.name == "mask/causal"]
    cases, observed = [], []
    # Causal maps of several sizes, cut from one; the port divides by cells, and means rows.
    for keys in (3, 5, 7):
        case = replace(
            causal,
            teacher=causal.teacher[:, :, :keys, :keys],
            student=causal.student[:, :, :keys, :keys],
            mask=causal.mask[:, :keys, :keys],
        )
        factor = 2 / (keys + 1)
        found = observe(case)
        cases.append(case)
        observed.append(
            Answer(found.value * factor, found.grad_student * factor, found.grad_teacher)
        )
    diagnosis = diagnose(cases, observed)
    assert diagnosis.ratio is not None
    assert diagnosis.ratio.formula == "2/(K+1)"
    assert "you divide by valid cells" in diagnosis.ratio.sentence


def test_a_mistake_and_a_plain_factor_are_told_together() -> None:
    cases = discriminating_cases("kl")
    weighted = {"reduced": after(lambda problem, loss: 0.37 * loss)}
    diagnosis = diagnose(cases, planted(cases, way("kl-reversed"), weighted))
    first = diagnosis.explanations[0]
    assert first.name == "kl-reversed"
    assert "0.37" in first.sentence


def test_a_plain_factor_alone_is_told() -> None:
    cases = discriminating_cases("mse")
    weighted = {"reduced": after(lambda problem, loss: 0.37 * loss)}
    diagnosis = diagnose(cases, planted(cases, weighted))
    assert diagnosis.ratio is not None
    assert diagnosis.ratio.formula == "0.37"
    assert "0.37" in diagnosis.summary


def test_values_alone_are_enough_for_what_values_show() -> None:
    cases = discriminating_cases("kl")
    observed = [Answer(found.value) for found in planted(cases, way("softmax-over-teacher-heads"))]
    diagnosis = diagnose(cases, observed)
    assert names(diagnosis) == ["softmax-over-teacher-heads"]
    assert diagnosis.explanations[0].gradients == 0


def test_cases_without_an_answer_are_left_out() -> None:
    cases = discriminating_cases("kl")
    observed = planted(cases, way("kl-reversed"))
    observed[2] = Answer(None)
    diagnosis = diagnose(cases, observed)
    assert names(diagnosis) == ["kl-reversed"]
    assert diagnosis.explanations[0].values == len(cases) - 1


def test_no_answer_at_all_is_said() -> None:
    cases = discriminating_cases("kl")[:3]
    diagnosis = diagnose(cases, [Answer(None)] * 3)
    assert not diagnosis.agrees
    assert "No value came" in diagnosis.facts[0]


def test_nothing_fits_is_said_with_what_is_known() -> None:
    cases = discriminating_cases("kl", masks=False)
    diagnosis = diagnose(cases, planted(cases, HELLINGER))
    assert not diagnosis.agrees
    assert diagnosis.explanations == ()
    assert diagnosis.ratio is None
    assert diagnosis.summary.startswith("No known mistake, and no pair of them")
    facts = " ".join(diagnosis.facts)
    assert "As it must be, the value does not change by permuting the student heads" in facts
    assert "times the specification's" in facts


def test_an_invariance_that_fails_is_found() -> None:
    cases = discriminating_cases("kl", masks=False)
    mutation = way("heads-paired-by-index", "i modulo Hs")
    diagnosis = diagnose(cases, planted(cases, HELLINGER, mutation))
    changed = [fact for fact in diagnosis.facts if fact.startswith("The value changes by")]
    assert "permuting the student heads" in changed[0]


def test_rounding_alone_is_told_from_mistakes() -> None:
    cases = discriminating_cases("kl")
    rng = np.random.default_rng(0)
    observed = []
    for found in planted(cases):
        noise = 1 + 4e-3 * rng.uniform(-1, 1, size=found.grad_student.shape)
        value = found.value * (1 + 2e-3 * rng.uniform(-1, 1))
        observed.append(Answer(value, found.grad_student * noise, found.grad_teacher))
    assert names(diagnose(cases, observed)) == ["low-precision-arithmetic"]


def test_designed_inputs_are_reproducible_and_exact_in_bfloat16() -> None:
    first, second = (
        discriminating_cases("projected", seed=4),
        discriminating_cases("projected", seed=4),
    )
    assert len({case.name for case in first}) == len(first)
    for case, again in zip(first, second, strict=True):
        for array, same in (
            (case.teacher, again.teacher),
            (case.student, again.student),
            (case.weight, again.weight),
            (case.bias, again.bias),
        ):
            np.testing.assert_array_equal(array, same)
            mantissa, _ = np.frexp(array)
            assert np.all(mantissa * 256 == np.round(mantissa * 256)), case.name


def test_no_mask_is_passed_where_the_port_takes_none() -> None:
    assert all(case.mask is None for case in discriminating_cases("kl", masks=False))


def test_wrong_arguments_are_refused() -> None:
    cases = discriminating_cases("kl")[:2]
    with pytest.raises(ValueError, match="0 judgements of none"):
        diagnose([], [])
    with pytest.raises(ValueError, match="one variant"):
        diagnose([cases[0], replace(cases[1], variant="mse")], [Answer(None)] * 2)
