"""Alignment weights in results: right or not, which tells where a mistake is."""

import numpy as np

from amad_core.attention.inputs import FloatArray, broadcast_mask, whole_maps
from amad_core.attention.similarity import l1_normalise, scaled_to_peak
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.tolerance import exceeds, relative_error


def weights_problem(found: FloatArray, right: FloatArray, case: Case, dtype: str) -> str:
    """Why the weights are not right, in words; empty where they are."""
    # |Δa| <= 2 a |Δc| / τ; the relative error has the temperature in it.
    allowed = 2 * relative_error(case, dtype) * _amplification(case) * right
    excess = exceeds(found, right, allowed)
    if np.all(excess <= 1):
        return ""
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(excess), excess.shape))
    return (
        f"the weight at {list(worst)} is {found[worst]:.6g}, the specification has "
        f"{right[worst]:.6g}"
    )


def _amplification(case: Case) -> float:
    """How much cancellation in eq. 10 enlarges the error of a projected head; else 1."""
    if case.weight is None or case.bias is None:
        return 1.0
    valid = broadcast_mask(case.mask, case.teacher.shape)[:, np.newaxis]
    unit = l1_normalise(scaled_to_peak(whole_maps(np.where(valid, case.student, 0.0))))
    counted = whole_maps(valid)
    heads = np.where(counted, np.maximum(unit @ case.weight.T + case.bias, 0.0), 0.0)
    terms = np.where(counted, unit @ np.abs(case.weight).T + np.abs(case.bias), 0.0)
    norms = np.linalg.norm(heads, axis=-1)
    ratios = np.linalg.norm(terms, axis=-1) / np.where(norms > 0, norms, 1.0)
    return float(np.max(ratios, initial=1.0))
