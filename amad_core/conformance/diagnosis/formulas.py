"""Plain ratios: a port that gives the right loss times a number, and what that number says."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from amad_core.attention.inputs import FloatArray, broadcast_mask
from amad_core.conformance.inputs.case import Case


@dataclass(frozen=True)
class Ratio:
    """A factor between a port's losses and the specification's, in every case the same formula.

    Attributes:
        formula: in the sizes of a case (``"1/(Ht n)"``), or a number.
        first: its value in the first case.
        sentence: what it says, for a human.
    """

    formula: str
    first: float
    sentence: str


_SYMBOLS = ("B", "Ht", "Hs", "Q", "K", "(K+1)", "τ", "rows", "cells")
_MASKED = _SYMBOLS.index("rows")
"""From here on the sizes depend on the mask; without one they are Q and Q K."""
_CONSTANTS = {
    "": 1.0,
    "2": 2.0,
    "log 2": math.log(2),
    "log 10": math.log(10),
}
_MEANINGS = {
    "1/Ht": "you average over the teacher heads; AMAD sums over them",
    "1/Hs": "you divide by the number of student heads; AMAD divides by the batch only",
    "1/(Ht Hs)": "you average over pairs of heads; AMAD sums over the teacher heads",
    "1/B": "you divide by the batch size once more than asked",
    "B": "you sum over the batch where its mean was asked for",
    "1/Q": "you average over the query rows; AMAD sums over them",
    "Q": "you normalise row by row, or not at all; the whole map is one distribution",
    "1/K": "you average over the keys; AMAD sums over them",
    "1/(Ht Q)": "you average over heads and query rows; AMAD sums over both",
    "1/(Q K)": "you average over the cells of a map; AMAD sums over cells",
    "1/(Ht Q K)": "you average over heads and cells (the mean over all elements); AMAD sums",
    "1/(B Ht Q K)": "you average over all elements, batch included, and divide by it again",
    "1/cells": "you divide by the cells that count; AMAD sums over cells",
    "1/(Ht cells)": "you divide by the cells that count and the heads; AMAD sums over both",
    "1/rows": "you divide by the query rows that count; AMAD sums over rows",
    "1/(Ht rows)": "you divide by the query rows that count and the heads; AMAD sums over both",
    "2/(K+1)": "you divide by valid cells where rows were meant; AMAD sums over cells",
    "2/(Q (K+1))": "you divide by the cells of a causal map; AMAD sums over cells",
    "τ^2": "you multiply by the temperature squared; that belongs to softened logits",
    "τ": "you multiply by the temperature; AMAD does not",
    "1/τ^2": "you divide by the temperature squared; AMAD does not",
    "1/log 2": "your logarithm is to base 2; it has to be the natural one",
    "1/log 10": "your logarithm is to base 10; it has to be the natural one",
    "1/2": "you halve the loss",
    "2": "you double the loss",
    "-1": "the sign is wrong",
}


class Formulas:
    """All products of up to three sizes of the given cases, simplest first, with a constant."""

    def __init__(self, cases: Sequence[Case]) -> None:
        sizes = np.array([_sizes(case) for case in cases])
        # Sizes that are always 1, or that another size always equals, explain nothing further.
        plain = np.array([_sizes(replace(case, mask=None)) for case in cases])
        self._first_name = cases[0].name
        columns = [
            column
            for column in range(len(_SYMBOLS))
            if np.any(sizes[:, column] != 1)
            and (column < _MASKED or np.any(sizes[:, column] != plain[:, column]))
        ]
        # A size that is the same everywhere explains less than a plain number; what a mask leaves
        # explains less than a size.
        fixed = frozenset(c for c in columns if np.ptp(sizes[:, c]) == 0 or c >= _MASKED)
        self._rows, powers, constants = _table(tuple(columns), fixed)
        self._logarithms = powers @ np.log(sizes).T + constants[:, np.newaxis]

    def ratio_of(self, ratios: FloatArray, allowed: FloatArray) -> Ratio | None:
        """The simplest formula that gives all ``ratios``, one a case, within ``allowed``.

        ``None`` where there is none, where all are 1, or where they are too few (under 3) to say.
        """
        if len(ratios) < 3 or not np.isfinite(ratios).all() or (ratios == 0).any():
            return None
        if len(set(np.sign(ratios))) > 1 or np.all(np.abs(ratios - 1) <= allowed):
            return None
        logarithms = np.log(np.abs(ratios))
        # A first look at two cases spares most formulas the full comparison.
        near = np.abs(self._logarithms[:, 0] - logarithms[0]) <= 2 * allowed[0]
        matches = np.flatnonzero(near)
        off = np.abs(self._logarithms[matches] - logarithms)
        matches = matches[np.all(off <= 2 * allowed, axis=1)]
        sign = "-" if ratios[0] < 0 else ""
        if len(matches):
            formula = sign + self._rows[matches[0]].formula
        elif np.all(np.abs(ratios / ratios[0] - 1) <= allowed + allowed[0]):
            formula = f"{ratios[0]:.6g}"
        else:
            return None
        first = float(ratios[0])
        return Ratio(formula, first, _sentence(formula, first, self._first_name))


@dataclass(frozen=True)
class _Row:
    complexity: float
    powers: tuple[int, ...]
    constant: float
    formula: str


@lru_cache(maxsize=16)
def _table(
    columns: tuple[int, ...], fixed: frozenset[int]
) -> tuple[list[_Row], FloatArray, FloatArray]:
    """Tens of thousands of rows, simplest first; their powers, and their constants."""
    rows = sorted(_exponents(columns, fixed), key=lambda row: row.complexity)
    powers = np.array([row.powers for row in rows], dtype=float)
    return rows, powers, np.array([row.constant for row in rows])


def _exponents(columns: Sequence[int], fixed: frozenset[int]) -> Iterator[_Row]:
    for count in range(4):
        for chosen in itertools.combinations(columns, count):
            for exponents in itertools.product((-1, 1, -2, 2), repeat=count):
                powers = [0] * len(_SYMBOLS)
                for column, exponent in zip(chosen, exponents, strict=True):
                    powers[column] = exponent
                for name, constant in _CONSTANTS.items():
                    for power in (-1, 1) if name else (0,):
                        complexity = sum(map(abs, powers)) + 1.5 * (name != "")
                        complexity += len(fixed.intersection(chosen))
                        formula = _formula(chosen, exponents, name, power)
                        logarithm = power * math.log(constant)
                        yield _Row(complexity, tuple(powers), logarithm, formula)


def _sentence(formula: str, first: float, name: str) -> str:
    meaning = _MEANINGS.get(formula)
    plain = formula == f"{first:.6g}"
    number = f"1/{1 / first:.4g}" if 0 < first < 0.5 and not plain else f"{first:.6g}"
    same = plain or number == formula
    numbers = number if same else f"{number} (in {name}) = {formula}"
    ending = f": {meaning}." if meaning else "; AMAD has no such factor."
    return f"Your values are the specification's times {numbers}{ending}"


def _formula(columns: Sequence[int], powers: Sequence[int], constant: str, power: int) -> str:
    factors = [(constant, power)] if constant else []
    factors += [(_SYMBOLS[column], power) for column, power in zip(columns, powers, strict=True)]
    above = [_power(name, exponent) for name, exponent in factors if exponent > 0]
    below = [_power(name, -exponent) for name, exponent in factors if exponent < 0]
    denominator = " ".join(below) if len(below) < 2 else f"({' '.join(below)})"
    numerator = " ".join(above) or "1"
    return f"{numerator}/{denominator}" if below else numerator


def _power(name: str, exponent: int) -> str:
    return name if exponent == 1 else f"{name}^{exponent}"


def _sizes(case: Case) -> tuple[float, ...]:
    batch, teacher_heads, queries, keys = case.teacher.shape
    valid = broadcast_mask(case.mask, case.teacher.shape)
    rows = max(float(np.sum(valid.any(axis=2))) / batch, 1.0)
    cells = max(float(np.sum(valid)) / batch, 1.0)
    student_heads = case.student.shape[1]
    temperature = case.temperature
    return (batch, teacher_heads, student_heads, queries, keys, keys + 1, temperature, rows, cells)
