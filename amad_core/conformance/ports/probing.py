"""What is found out about a port by calling it: its dtype, its mask, its layers."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from amad_core.attention.loss import amad_loss
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.token_masks import of_tokens, telling_case
from amad_core.conformance.ports.answer import Answer, PortError
from amad_core.conformance.ports.mask_forms import PLAIN, MaskForm, forms_to_try, parsed
from amad_core.conformance.ports.port import LocalPort

_COPIES = (1, 2, 3, 4, 6)
"""Teacher layers to one of the student: what ports that choose by themselves may look for."""

CLOSE = 1e-3
"""Agreement that shows how a port wants to be called; mistakes are larger, rounding is smaller."""

_EXACT = 1e-12
"""Agreement that only float64 gives."""


class Called(NamedTuple):
    """A port as it can be called, and what it answers to the plainest case."""

    port: LocalPort
    case: Case
    answer: Answer

    @property
    def error(self) -> float:
        """How far the loss is from the specification's, relatively; infinite without a loss."""
        return _error(self.answer, self.case)


def called(port: LocalPort, plainest: Case) -> Called:
    """The port in its widest dtype, with the form of its mask and copies of its layers.

    Raises:
        PortError: it fails on the plainest case, whichever way it is called.
    """
    troubles = []
    for index, _ in enumerate(port.description.dtypes[:2]):
        dtypes = port.description.dtypes[index:]
        fitted = _with_layers(_described(port, dtypes=dtypes), plainest)
        case = _askable(plainest, fitted)
        answer = fitted.answer(case, dtypes[0], gradients=False)
        if answer.trouble is not None and fitted.description.token_masks:
            # Without a mask it makes one of all tokens, which wants square maps as any other.
            fitted = _described(fitted, square_maps=True)
            case = _askable(plainest, fitted)
            answer = fitted.answer(case, dtypes[0], gradients=False)
        if answer.trouble is None or answer.trouble.kind == "output":
            return Called(fitted, case, answer)
        if answer.trouble.kind == "signature":
            raise answer.trouble
        troubles.append(answer.trouble)
    said = f"the port fails on the plainest input: {troubles[0].message}"
    raise PortError("call", said, troubles[0].hint) from troubles[0].__cause__


def runs_on_batches(port: LocalPort, plainest: Case) -> bool:
    """Whether it gives any loss of two samples whose maps have unlike sizes."""
    case = telling_case(plainest, masked=False)
    return port.answer(case, port.description.dtypes[0], gradients=False).value is not None


def in_its_precision(one: Called) -> LocalPort:
    """A port that rounds whatever it gets to float32 is judged in float32, whatever it returns."""
    port, case, answer = one
    dtypes = port.description.dtypes
    if dtypes[0] != "float64" or answer.dtype != "float64" or not _EXACT < one.error < CLOSE:
        return port
    found, hardly, visibly = (
        np.asarray(port.answer(_nudged(case, by), "float64", gradients=False).value, dtype=float)
        for by in (0.0, 2.0**-32, 2.0**-8)
    )
    if np.array_equal(found, hardly) and not np.array_equal(found, visibly):
        return _described(port, "it computes in float32 whatever it is given", dtypes=dtypes[1:])
    return port


def _askable(case: Case, port: LocalPort) -> Case:
    return of_tokens(case, 0) if port.description.square_maps else case


def _with_layers(port: LocalPort, probe: Case) -> LocalPort:
    """With as many teacher layers as it takes for the student's maps to matter."""
    if not port.fitted.call_style.layers:
        return _with_mask_form(port, probe)
    tried = []
    for copies in _COPIES:
        fitted = replace(port.fitted, copies=copies)
        one = _with_mask_form(replace(port, fitted=fitted), probe)
        case = _askable(probe, one)
        before, after = _value(one, case), _value(one, _nudged(case, 0.25))
        if before is not None and not np.array_equal(before, after, equal_nan=True):
            said = f"it chooses layers: lists hold {copies} copies of each of the teacher's"
            return _described(one, said if copies > 1 else "")
        tried.append(one)
    return tried[0]


def _with_mask_form(port: LocalPort, probe: Case) -> LocalPort:
    """With the form of its mask: as told, or the first under which it agrees or at least runs.

    Where it runs with a likely form and agrees only with an unlikely one, that is told and not
    taken: the port may as well be wrong.
    """
    fitted = port.fitted
    if "mask" not in fitted.accepts:
        return port
    if fitted.call_style.mask_form is not None:
        return _in_form(port, parsed(fitted.call_style.mask_form))
    case = telling_case(probe, masked=True)
    dtype = port.description.dtypes[0]
    runs: LocalPort | None = None
    for group in forms_to_try(fitted.names.get("mask", "mask")):
        tried = [_in_form(port, form) for form in group]
        answers = [one.answer(case, dtype, gradients=False) for one in tried]
        for one, answer in zip(tried, answers, strict=True):
            if _error(answer, case) < CLOSE:
                return one if runs is None else _described(runs, _agrees_with(one))
        running = (
            one for one, answer in zip(tried, answers, strict=True) if answer.value is not None
        )
        runs = runs or next(running, None)
    if runs is not None:
        return runs
    if fitted.guessed_mask and not fitted.needs_mask:
        name = fitted.names["mask"]
        without = replace(fitted, accepts=fitted.accepts - {"mask"})
        said = f"no form of mask that the kit knows fits {name}: masks are left out"
        return _described(replace(port, fitted=without), said, accepts=tuple(without.accepts))
    return _in_form(port, PLAIN)


def _agrees_with(port: LocalPort) -> str:
    form = port.mask_form
    return (
        f"it agrees with masks that are {form.described}: if it is meant to take those, "
        f"say --mask-form {form.name}"
    )


def _in_form(port: LocalPort, form: MaskForm) -> LocalPort:
    name = port.fitted.names.get("mask", "mask")
    return _described(
        replace(port, mask_form=form),
        "" if form == PLAIN else f"{name} is passed as {form.name}: {form.described}",
        mask_form=form.name,
        token_masks=form.of_tokens,
        square_maps=form.of_tokens and port.fitted.needs_mask,
    )


def _described(port: LocalPort, remark: str = "", **changes: Any) -> LocalPort:
    """The port with another description, and one remark more."""
    remarks = [one for one in (port.description.remark, remark) if one]
    return replace(
        port, description=replace(port.description, remark="; ".join(remarks), **changes)
    )


def _value(port: LocalPort, case: Case) -> Any:
    """The loss in the port's widest dtype; ``None`` where there is none."""
    return port.answer(case, port.description.dtypes[0], gradients=False).value


def _error(answer: Answer, case: Case) -> float:
    wanted = np.asarray(amad_loss(**case.arguments()))
    if answer.value is None or answer.value.shape != wanted.shape:
        return float("inf")
    with np.errstate(all="ignore"):
        error = float(np.max(np.abs(answer.value - wanted)) / np.max(np.abs(wanted)))
    return error if error >= 0 else float("inf")


def _nudged(case: Case, by: float) -> Case:
    """The case with some cells of the student a little larger."""
    student = case.student.copy()
    student[..., ::2] *= 1 + by
    return replace(case, student=student)
