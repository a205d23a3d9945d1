"""Checks that only modules make: the number of cells of a learned projection."""

import re

import pytest

from amad_core import checks

FITS = 2**15
"""4 * cells² bytes are exactly 4 GiB."""


@pytest.mark.parametrize("cells", [1, 12, FITS])
def test_a_projection_that_fits(cells: int) -> None:
    checks.check_cells("projected", cells)


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_no_projection_no_cells(variant: str) -> None:
    checks.check_cells(variant, None)
    with pytest.raises(
        ValueError, match=f"belongs to the variant 'projected'; got 12 with '{variant}'"
    ):
        checks.check_cells(variant, 12)


@pytest.mark.parametrize(
    ("cells", "error", "message"),
    [
        (None, TypeError, "cells must be the integer queries * keys for the variant 'projected'; "
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
        checks.check_cells("projected", cells)
