"""Masks of tokens, as tokenizers give them: what a port can be asked that takes no mask of cells.

In self-attention a cell counts where both its query and its key are real tokens, and there are as
many queries as keys.
"""

from dataclasses import replace

import numpy as np

from amad_core.attention.inputs import BoolArray
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import quantised
from amad_core.conformance.inputs.projections import positive_projection


def of_tokens(case: Case, seed: int) -> Case:
    """The case with square maps, and with a mask that is one of tokens where it has a mask.

    Rows are repeated, or the last ones left out, until there are as many as keys. A token counts
    where its own cell does, that of its query and its key. A case that is so already stays as it
    is; what was masked and counts now gives way to a small number.
    """
    queries, keys = case.student.shape[-2:]
    rows = np.arange(keys) % queries
    given = None if case.mask is None else case.mask[:, rows]
    mask = None if given is None else cells_of(tokens_of(given))
    if queries == keys and (case.mask is None or np.array_equal(case.mask, np.asarray(mask))):
        return case
    maps = [one[..., rows, :] for one in (case.teacher, case.student)]
    if given is not None and mask is not None:
        # In both maps, so that neither is empty where the other is not.
        newly = (mask & ~given)[:, np.newaxis]
        maps = [np.where(newly, 0.125, one) for one in maps]
    fitted = replace(case, teacher=maps[0], student=maps[1], mask=mask)
    if case.weight is None:
        return fitted
    weight, bias = positive_projection(fitted, seed, cut=True)
    return replace(fitted, weight=weight, bias=bias)


def cells_of(tokens: BoolArray) -> BoolArray:
    """``[B, L]`` to ``[B, L, L]``: the cells of real queries and real keys."""
    return tokens[:, :, np.newaxis] & tokens[:, np.newaxis, :]


def tokens_of(cells: BoolArray) -> BoolArray:
    """``[B, L, L]`` to ``[B, L]``, the inverse of :func:`cells_of`."""
    return np.asarray(np.diagonal(cells, axis1=1, axis2=2))


def telling_case(plainest: Case, *, masked: bool) -> Case:
    """Unlike sizes but for square maps, with the options of the plainest case; padded on demand.

    One sample is padded at its end, the other at its start: no single row of the cells that count
    holds the tokens of every sample.
    """
    rng = np.random.default_rng(5)
    shapes = ((2, heads, 5, 5) for heads in (3, 4))
    teacher, student = (quantised(np.exp(1.5 * rng.normal(size=shape))) for shape in shapes)
    tokens = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 1, 1]], dtype=bool)
    mask = cells_of(tokens) if masked else None
    case = replace(plainest, name="telling", teacher=teacher, student=student, mask=mask)
    if case.weight is None:
        return case
    weight, bias = positive_projection(case, 0, cut=True)
    return replace(case, weight=weight, bias=bias)
