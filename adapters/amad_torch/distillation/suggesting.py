"""From a few batches to settings: measure the models, then say what follows."""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from itertools import islice
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from amad_core.arguments.words import integer
from amad_torch.distillation.layer_measurements import MeasuredLayers
from amad_torch.distillation.learned import learned_for, learned_methods
from amad_torch.distillation.measurements import AnyDistiller, Evenness, PartOfLoss
from amad_torch.distillation.methods import is_amad, name_of
from amad_torch.distillation.suggestion import Suggestion
from amad_torch.models import as_it_was

STILL_EVEN = 0.9
"""Entropy over ``log Hs`` up to which alignment weights are said to choose."""

FAR = 100
"""A weight so many times that of the scale comes with a caution."""

_NAMES = ("task", "output", "attention")


def suggest(distiller: AnyDistiller, batches: Iterable[Any], at_most: int) -> Suggestion:
    """See ``Distiller.suggest``."""
    taken = _checked(batches, at_most)
    with as_it_was(distiller):
        layers = MeasuredLayers(distiller)
        for batch in taken:
            layers.add(batch)
        parts, matches = layers.parts(), layers.matches()
        evenness = layers.evenness()
        temperature, why = _temperature(distiller, evenness)
        trial = copy(distiller)
        trial.matches, trial.temperature, trial.watchers = matches, temperature, []
        if learned_methods(trial):
            trial._modules = dict(trial._modules)  # which a copy shares with the distiller
            trial.learned = learned_for(trial, trial.matched(taken[0]))
        measured = _gradients(trial, taken)
    weights, reasons = _weights(distiller, measured)
    return Suggestion(
        layers={part.name: part.pairs for part in parts},
        temperature=temperature,
        **{f"{name}_weight": weights[name] for name in _NAMES},
        reasons={
            "layers": layers.reason(),
            "temperature": f"{why} {layers.heads_reason()}",
            **reasons,
        },
        parts=parts,
        evenness=evenness,
        losses=[replace(one, weight=weights[one.name]) for one in measured],
        matches=matches,
        batches=len(taken),
    )


def _checked(batches: Iterable[Any], at_most: int) -> list[Mapping[str, Any]]:
    if integer("at_most", at_most) < 1:
        raise ValueError(f"at_most must be at least 1 batch; got {at_most}")
    if isinstance(batches, Mapping):
        raise TypeError("batches must be an iterable of batches; got one batch: give [batch]")
    if not isinstance(batches, Iterable):
        raise TypeError(f"batches must be an iterable of batches; got a {type(batches).__name__}")
    found = list(islice(batches, at_most))
    if not found:
        raise ValueError("batches must hold at least one batch; got none")
    for number, batch in enumerate(found):
        if not isinstance(batch, Mapping):
            raise TypeError(
                "batches must hold dictionaries, the keywords of the models; "
                f"batch {number} is a {type(batch).__name__}"
            )
    return found


def _temperature(distiller: AnyDistiller, evenness: list[Evenness]) -> tuple[float, str]:
    now = distiller.temperature
    methods = {match.method or distiller.method for match in distiller.matches}
    if not any(map(is_amad, methods)):
        return now, f"kept, as {', '.join(sorted(map(name_of, methods)))} has no alignment weights."
    if all(one.largest == 1 for one in evenness):
        return now, "kept, as a student with one head has no choice of weights."
    chosen = [one for one in evenness if one.entropy <= STILL_EVEN]
    if not chosen:
        return now, (
            f"kept: at none of those measured, {evenness[0].temperature:g} to "
            f"{evenness[-1].temperature:g}, do the weights tell the student's heads apart (entropy "
            f"at most {STILL_EVEN:g} of even weights'). An untrained student may; measure again."
        )
    best = chosen[-1]
    return best.temperature, (
        f"the highest measured at which the weights choose: entropy {best.entropy:.2f} of even "
        f"weights', largest weight {best.largest:.2f}. That it trains best was not measured; "
        "higher is nearer to matching mean maps, lower to one student head per teacher head."
    )


def _gradients(distiller: AnyDistiller, batches: list[Mapping[str, Any]]) -> list[PartOfLoss]:
    parameters = [one for one in distiller.student.parameters() if one.requires_grad]
    if not parameters:
        raise ValueError("the student has no parameter that requires a gradient")
    losses: dict[str, list[float]] = {}
    norms: dict[str, list[float]] = {}
    for batch in batches:
        with torch.enable_grad():
            out = distiller.distil(**batch)
        for name in _NAMES:
            part = getattr(out, name)
            if part is not None:
                losses.setdefault(name, []).append(float(part.detach()))
                norms.setdefault(name, []).append(_norm(part, parameters))
    for name, found in norms.items():
        if not all(map(isfinite, (*found, *losses[name]))):
            raise ValueError(
                f"the {name} part of the loss or its gradient is not finite: losses "
                f"{losses[name]}, gradient norms {found}; mend the batch or the models first"
            )
    return [
        PartOfLoss(name, _mean(losses[name]), _mean(norms[name]), 1.0)
        for name in reversed(_NAMES)
        if name in norms
    ]


def _norm(part: Tensor, parameters: list[nn.Parameter]) -> float:
    """Without touching ``.grad``."""
    if not part.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(part, parameters, retain_graph=True, allow_unused=True)
    norms = [float(torch.linalg.vector_norm(one.float())) for one in gradients if one is not None]
    return float(torch.linalg.vector_norm(torch.tensor(norms, dtype=torch.float64)))


def _weights(
    distiller: AnyDistiller, measured: list[PartOfLoss]
) -> tuple[dict[str, float], dict[str, str]]:
    """Weights with which every part's gradient has the norm of the first part's of ``_NAMES``."""
    norms = {one.name: one.gradient_norm for one in measured}
    weights: dict[str, float] = {name: getattr(distiller, f"{name}_weight") for name in _NAMES}
    scale = next((name for name in _NAMES if norms.get(name)), None)
    reasons: dict[str, str] = {}
    for name in ("attention", "output", "task"):
        if not weights[name]:
            why = "kept, as 0 leaves this part out."
        elif name not in norms:
            why = "kept, as the models or the batches do not give this part."
        elif not norms[name] or scale is None:
            why = "kept, as the gradient of this part is 0 here."
        elif name == scale:
            why = f"kept, as the scale of the others; its gradient has norm {norms[name]:.3g}."
        else:
            weights[name] = _two_digits(weights[scale] * norms[scale] / norms[name])
            why = (
                f"its gradient, of norm {norms[name]:.3g}, then is as large as that of the {scale} "
                f"part times its weight, {weights[scale] * norms[scale]:.3g}. Equal parts are "
                "where to start a search, not its end."
            )
            if weights[name] > FAR * weights[scale]:
                why += (
                    f" The gradient is under 1/{FAR} of that one here, as where a student's maps "
                    "are still even: measure again after some steps before such a weight is used."
                )
        reasons[f"{name}_weight"] = why
    return weights, reasons


def _two_digits(number: float) -> float:
    return float(f"{number:.1e}")


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
