"""Blocks: which samples, queries and keys are looked at together."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from amad_torch.streaming.inputs import Side
from amad_torch.streaming.queries_keys import part, seen_keys

_CELLS = {"cpu": 2**22}
"""So many cells of both models are in a block: on a CPU, what its last cache holds a few times."""

_CELLS_ELSEWHERE = 2**26

_ROWS = 128
"""So many rows make full use of keys that are laid out for a product; more only fill caches."""

_SMALL = 2**20
"""A block of so many cells holds several samples rather than few rows."""


class Block(NamedTuple):
    """A range of each: all heads of these samples, queries and keys."""

    samples: slice
    queries: slice
    keys: slice


def blocks(
    teacher: Side, student: Side, counted: Tensor | None, queries_at_once: int | None
) -> list[Block]:
    """Blocks that together hold every cell that counts and every key that its row sees.

    Several samples where they are small, a range of queries of one sample where they are large.
    Keys before the first and after the last that a block's queries see in either model (a causal
    order, a window, padding) are left out, as are blocks in which no cell counts.
    """
    batch, heads, queries, keys = student.attended.shape
    device = student.attended.queries.device.type
    on_cpu = device == "cpu"  # elsewhere, to look would be to wait
    budget = _CELLS.get(device, _CELLS_ELSEWHERE)
    in_a_row = keys * (heads + teacher.attended.shape[1])
    if on_cpu:
        budget = min(budget, max(_SMALL, _ROWS * in_a_row))
    rows = max(1, budget // in_a_row)
    at_once = queries_at_once or math.ceil(queries / math.ceil(queries / rows))
    samples = max(1, rows // queries) if at_once >= queries else 1
    found = []
    for first in range(0, batch, samples):
        for row in range(0, queries, at_once):
            chosen = (
                slice(first, min(first + samples, batch)),
                slice(row, min(row + at_once, queries)),
            )
            if on_cpu and counted is not None:
                cells = part(counted[:, None], *chosen, slice(None))
                if not bool(cells.any()):
                    continue
            spans = [_span(side, *chosen) for side in (teacher, student)]
            span = slice(min(one.start for one in spans), max(one.stop for one in spans))
            if span.start < span.stop:
                found.append(Block(*chosen, span))
    return found


def _span(side: Side, samples: slice, queries: slice) -> slice:
    """From the first to the last key that one of these queries sees."""
    attended = side.attended
    keys = attended.shape[3]
    first, last = 0, keys
    if attended.window is not None:
        before, after = attended.window
        first, last = max(0, queries.start - before), min(keys, queries.stop + after)
    if attended.causal:
        last = min(last, queries.stop)
    mask, on_cpu = attended.mask, attended.queries.device.type == "cpu"
    if attended.even_in_empty_rows and (mask is not None or side.drops):
        seen = seen_keys(attended, samples, queries, by_bias=side.drops) if on_cpu else None
        if seen is None or not bool(seen.any(dim=-1).all()):
            return slice(0, keys)  # a row that sees nothing attends to everything
    if mask is None or not on_cpu:
        return slice(first, last)
    chosen = part(mask, samples, queries, slice(None))
    seen = chosen.any(dim=(0, 1, 2))
    if mask.shape[3] == 1:
        return slice(first, last if bool(seen.any()) else first)
    (columns,) = torch.nonzero(seen, as_tuple=True)
    if not len(columns):
        return slice(first, first)
    return slice(max(first, int(columns[0])), min(last, int(columns[-1]) + 1))
