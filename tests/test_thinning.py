"""What an ordinary run leaves out of a matrix."""

from typing import Any, cast

import pytest

from tests.support.thinning import thinned_out


class Case:
    """As much of an item of pytest as is asked for."""

    def __init__(self, nodeid: str, *marks: pytest.Mark) -> None:
        self.nodeid, self.marks = nodeid, {mark.name: mark for mark in marks}

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return self.marks.get(name)


def test_every_nth_case_of_each_function_stays() -> None:
    thin = pytest.mark.thin(3).mark
    cases = [Case(f"a.py::test_{name}[{number}]", thin) for name in "xy" for number in range(5)]
    plain = [Case(f"a.py::test_z[{number}]") for number in range(4)]
    left_out = {case.nodeid for case in thinned_out(cast(Any, cases + plain))}
    assert left_out == {f"a.py::test_{name}[{number}]" for name in "xy" for number in (1, 2, 4)}


def test_a_case_that_is_asked_for_alone_stays() -> None:
    case = Case("a.py::test_x[4]", pytest.mark.thin(3).mark)
    assert thinned_out(cast(Any, [case])) == set()
