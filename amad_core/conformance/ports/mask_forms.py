"""Forms of a mask that people's ports take, other than boolean ``[B, Q, K]``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import BoolArray
from amad_core.conformance.inputs.token_masks import tokens_of
from amad_core.conformance.ports.answer import PortError

AXES = {
    "BQK": "[batch, queries, keys]",
    "B1QK": "[batch, 1, queries, keys]",
    "BK": "[batch, tokens]",
    "B11K": "[batch, 1, 1, tokens]",
}
"""Shapes of masks; those without queries are masks of tokens, in self-attention."""

VALUES = {
    "bool": "booleans, true for what counts",
    "int": "integers, 1 for what counts",
    "float": "numbers, 1.0 for what counts, else 0.0",
    "inverted": "booleans, true for what does not count",
    "additive": "0 for what counts, else the smallest number of the maps' dtype",
    "additive-inf": "0 for what counts, else -inf",
    "additive-1e4": "0 for what counts, else -10000",
}
"""What stands in a mask."""

_DTYPES = {"bool": "bool", "inverted": "bool", "int": "int64"}
_SMALLEST = {
    "float64": float(np.finfo(np.float64).min),
    "float32": float(np.finfo(np.float32).min),
    "bfloat16": -(2.0**128 - 2.0**120),
    "float16": -65504.0,
}


@dataclass(frozen=True)
class MaskForm:
    """How a port wants its mask: one of :data:`AXES` and one of :data:`VALUES`."""

    axes: str = "BQK"
    values: str = "bool"

    @property
    def name(self) -> str:
        """As it is typed: ``"BK:int"``."""
        return f"{self.axes}:{self.values}"

    @property
    def of_tokens(self) -> bool:
        """It says which tokens count: no single cells."""
        return self.axes in ("BK", "B11K")

    @property
    def described(self) -> str:
        """In words, for reports."""
        return f"{AXES[self.axes]}, {VALUES[self.values]}"

    def array(self, cells: BoolArray, dtype: str) -> tuple[NDArray[Any], str]:
        """The mask of cells ``[B, Q, K]`` in this form, and the dtype that its tensor has.

        Args:
            cells: true where a cell counts; for a form of tokens as ``of_tokens`` makes them.
            dtype: that of the maps.
        """
        valid = tokens_of(cells) if self.of_tokens else cells
        if self.axes == "B1QK":
            valid = valid[:, np.newaxis]
        elif self.axes == "B11K":
            valid = valid[:, np.newaxis, np.newaxis]
        if self.values in _DTYPES:
            return (~valid if self.values == "inverted" else valid), _DTYPES[self.values]
        if self.values == "float":
            return valid.astype(np.float64), dtype
        masked_out = {"additive-inf": -np.inf, "additive-1e4": -1e4}
        return np.where(valid, 0.0, masked_out.get(self.values, _SMALLEST[dtype])), dtype


PLAIN = MaskForm()


def parsed(name: str) -> MaskForm:
    """The form that is called ``"BK:int"``.

    Raises:
        PortError: no such form.
    """
    axes, _, values = name.partition(":")
    if axes not in AXES or values not in VALUES:
        raise PortError(
            "signature",
            f"there is no mask form {name!r}",
            f"give AXES:VALUES, with one of {', '.join(AXES)} and one of {', '.join(VALUES)}",
        )
    return MaskForm(axes, values)


def forms_to_try(argument: str) -> Sequence[Sequence[MaskForm]]:
    """Groups of forms, the likeliest for an argument of this name first.

    Masks whose sense is inverted are among the likely ones only where the name says so: a port
    that takes ``mask`` for its contrary is wrong.
    """
    likely = _likely(argument.lower())
    rest = [MaskForm(axes, values) for axes in AXES for values in VALUES if values != "inverted"]
    inverted = [MaskForm(axes, "inverted") for axes in AXES]
    return (*likely, PLAIN), rest, inverted


def _likely(argument: str) -> list[MaskForm]:
    additive = [value for value in VALUES if value.startswith("additive")]
    plain = ["int", "bool", "float"]
    if re.search("additive|extended|bias", argument):
        return _product(("B11K", "B1QK", "BQK"), additive)
    if "key_padding" in argument:
        return _product(("BK", "B11K"), ["inverted"])
    if re.search("attention_?mask|att?n_?mask|pad|token|input_mask|sequence", argument):
        padding = ["inverted"] if "pad" in argument else []
        likely = _product(("BK",), plain + padding) + _product(("B11K",), additive + plain)
        return likely + _product(("B1QK",), additive + plain)
    return []


def _product(axes: Sequence[str], values: Sequence[str]) -> list[MaskForm]:
    return [MaskForm(one, value) for one in axes for value in values]
