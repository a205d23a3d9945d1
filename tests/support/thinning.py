"""Matrices of which an ordinary run takes a part, always the same one."""

from collections.abc import Sequence

import pytest


def thinned_out(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """Return the cases that ``thin(n)`` leaves out: all but every n-th of a test function's.

    What was asked for by its own name (one case alone) stays.
    """
    matrices: dict[str, list[pytest.Item]] = {}
    for item in items:
        matrices.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return {
        item
        for cases in matrices.values()
        for number, item in enumerate(cases)
        if (mark := item.get_closest_marker("thin")) and number % mark.args[0]
    }
