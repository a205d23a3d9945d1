"""Checks that only modules and graphs need: sizes of a projection, lengths not known yet."""

import math
import re

import numpy as np
import pytest

from amad_core import amad_loss
from amad_core.arguments.loss_masks import check_mask
from amad_core.arguments.maps import (
    check_cells,
    check_eps,
    check_map_shapes,
    check_projection,
)

FITS = 2**15
"""4 * cells² bytes are exactly 4 GiB."""


@pytest.mark.parametrize("cells", [1, 12, FITS])
def test_a_projection_that_fits(cells: int) -> None:
    check_cells("projected", cells)


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_no_projection_no_cells(variant: str) -> None:
    check_cells(variant, None)
    with pytest.raises(
        ValueError, match=f"belongs to the variant 'projected'; got 12 with '{variant}'"
    ):
        check_cells(variant, 12)


@pytest.mark.parametrize(
    ("cells", "error", "message"),
    [
        (None, TypeError, "cells must be an integer, queries * keys, for the variant 'projected'; "
         "got None of type NoneType"),
        (True, TypeError, "got True of type bool"),
        (12.0, TypeError, "got 12.0 of type float"),
        (0, ValueError, "cells must be at least 1; got 0"),
        (-3, ValueError, "cells must be at least 1; got -3"),
        (FITS + 1, ValueError, "got 32769, a weight of 4,295,229,444 bytes "
         "(the most is 4,294,967,296)"),
    ],
)  # fmt: skip
def test_a_projection_that_does_not(cells: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_cells("projected", cells)


def test_a_floor_is_finite() -> None:
    with pytest.raises(ValueError, match=r"eps must be finite and at least 0; got inf"):
        check_eps(math.inf)


def test_a_length_that_is_not_known_agrees_with_any() -> None:
    check_map_shapes([None, 3, 4, None], [2, 2, None, 5])
    check_mask("bool", True, [2, None, 5], [None, 3, 4, 5])
    with pytest.raises(ValueError, match="teacher and student must agree in keys"):
        check_map_shapes([None, 3, 4, 5], [None, 2, 4, 6])


@pytest.mark.parametrize("maps", [(2, 3, None, 5), (2, 3, 4, None), (2, 3, None, None)])
def test_cells_of_a_length_that_is_not_known(maps: tuple[int | None, ...]) -> None:
    check_projection("projected", (20, 20), (20,), maps)
    with pytest.raises(ValueError, match=r"shape \[\?, \?\] \(queries \* keys = None cells\)"):
        check_projection("projected", None, (20,), maps)


def test_a_mask_of_four_axes_is_refused_by_name() -> None:
    """Even one that NumPy would broadcast: which axis is which is not left to luck."""
    maps = np.full((2, 3, 4, 5), 0.2)
    for shape in ((1, 1, 4, 5), (2, 1, 4, 5), (2, 4, 5, 3)):
        message = f"mask must broadcast to [batch, queries, keys] = [2, 4, 5]; got shape {[*shape]}"
        with pytest.raises(ValueError, match=re.escape(message)):
            amad_loss(teacher=maps, student=maps, mask=np.ones(shape, dtype=bool))
