"""Layers: lists of maps, paired as they come, whose losses add up."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import FAILED, PASSED, CheckResult, skipped
from amad_core.conformance.judging.checks.values import designed_cases
from amad_core.conformance.judging.examinee import Examinee
from amad_core.conformance.judging.judgement import shown, specified
from amad_core.conformance.judging.tolerance import within

_MANY = 4
"""Layers that show which of them a port chooses: every second, the first, the last."""


def check_layers(examinee: Examinee) -> CheckResult:
    """Two layers, given as lists, must give the sum of the losses of each."""
    if not examinee.terms.layers:
        return skipped("the port takes one layer")
    case = examinee.fitting(designed_cases(examinee, masked=False)[0])
    single = examinee.judge(case)
    # The other way round in all but the batch, which a mean would not notice.
    turned = replace(case, teacher=case.teacher[..., ::-1], student=case.student[:, :, ::-1])
    both = _stacked("layers/two", [case, turned])
    answer = examinee.port.answer(both, examinee.dtype, False)
    if answer.value is None:
        said = "there is no loss" if answer.trouble is None else answer.trouble.message
        return _unless_chosen(examinee, case, CheckResult(FAILED, f"{both.name}: {said}", 1, 1))
    losses: dict[tuple[int, int], Any] = {
        (i, j): specified(replace(case, teacher=both.teacher[i], student=both.student[j])).value
        for i, j in itertools.product(range(2), repeat=2)
    }
    result = _compared(answer.value, losses, 2 * single.tolerance.value)
    if result.status == PASSED and not single.value_problem:
        return result
    return _unless_chosen(examinee, case, result)


def _unless_chosen(examinee: Examinee, case: Case, result: CheckResult) -> CheckResult:
    """The result, unless the port chooses among layers: then that."""
    chosen = _chosen(examinee, case)
    if not chosen:
        return result
    return CheckResult(FAILED, chosen, 1, 1, mistake="layers-chosen-inside")


def _stacked(name: str, layers: list[Case]) -> Case:
    """Maps of several layers come stacked along a first, fifth axis."""
    teacher, student = ([getattr(one, side) for one in layers] for side in ("teacher", "student"))
    return replace(layers[0], name=name, teacher=np.stack(teacher), student=np.stack(student))


def _compared(
    found: FloatArray, losses: Mapping[tuple[int, int], Any], allowed: FloatArray
) -> CheckResult:
    """Two layers against the sum of the losses of each; ``losses`` of teacher and student layer."""
    total = losses[0, 0] + losses[1, 1]
    if found.shape == total.shape and within(found, total, allowed):
        return CheckResult(PASSED, cases=1)
    others = (
        ("layers-averaged", total / 2),
        ("layers-left-out", losses[0, 0]),
        ("layers-left-out", losses[1, 1]),
        ("layers-paired-wrongly", losses[0, 1] + losses[1, 0]),
    )
    fits = (
        name
        for name, value in others
        if found.shape == value.shape and within(found, value, allowed)
    )
    detail = f"two layers give {shown(found)}, the sum of both losses is {shown(total)}"
    # No input is shown: that of a single layer is right.
    return CheckResult(FAILED, detail, 1, 1, mistake=next(fits, ""))


def _chosen(examinee: Examinee, case: Case) -> str:
    """Which of four layers change the loss, in words; empty where all do, or fewer than two."""
    # Equally many heads: what a port does to them within a layer is no matter here.
    heads = min(case.teacher.shape[1], case.student.shape[1])
    layers = [
        replace(
            case,
            teacher=np.roll(case.teacher[:, :heads], layer, axis=-1),
            student=np.roll(case.student[:, :heads], layer, axis=-1),
        )
        for layer in range(_MANY)
    ]
    whole = _stacked("layers/four", layers)
    before = _loss(examinee, whole)
    if before is None:
        return ""
    used: dict[str, list[int]] = {"teacher": [], "student": []}
    for side, layer in itertools.product(used, range(_MANY)):
        maps = getattr(whole, side).copy()
        maps[layer] = maps[layer, ..., ::-1, :]
        after = _loss(examinee, replace(whole, **{side: maps}))
        if after is None or not np.allclose(after, before, rtol=1e-5, atol=1e-9):
            used[side].append(layer)
    if not any(1 < len(counted) < _MANY for counted in used.values()):
        return ""
    words = [
        f"{side} layers {' and '.join(str(layer) for layer in counted)}"
        for side, counted in used.items()
    ]
    return f"of four layers on each side, counted from 0, only {' with '.join(words)} count"


def _loss(examinee: Examinee, case: Case) -> FloatArray | None:
    return examinee.port.answer(case, examinee.dtype, False).value
