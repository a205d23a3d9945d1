"""The decorator gives each check as a test of its own, and failures that can be read."""

import numpy as np
import pytest

import amad_core
from amad_core.conformance import parametrize_with_checks
from amad_core.conformance.judging.checks import CHECKS
from tests.support.port_sources import RIGHT_MSE

pytest_plugins = ("pytester",)


def spec_in_kl(*, teacher, student):
    return amad_core.amad_loss(teacher=teacher, student=student, variant="kl")


@parametrize_with_checks([amad_core.amad_loss, spec_in_kl], variant="kl", max_examples=10)
def test_right_ports(check):
    check()


def negated(*, teacher, student):
    return -np.float64(amad_core.amad_loss(teacher=teacher, student=student))


@parametrize_with_checks([negated], max_examples=10)
def test_wrong_port_fails_some_checks(check):
    if check.name in ("value", "edges", "drawn"):
        with pytest.raises(AssertionError, match="inputs wrong"):
            check()
    else:
        check()


def test_ids_name_port_and_check(pytester):
    pytester.makepyfile(
        my_port=RIGHT_MSE,
        test_port="""
        from amad_core.conformance import parametrize_with_checks
        import my_port

        @parametrize_with_checks([my_port.loss], max_examples=5)
        def test_my_port(check):
            check()
        """,
    )
    result = pytester.runpytest_subprocess("-v", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=7, skipped=len(CHECKS) - 7)
    result.stdout.fnmatch_lines(["*test_my_port?loss-value? PASSED*"])


def test_port_that_cannot_be_loaded_fails_in_words():
    mark = parametrize_with_checks(["nowhere.py:loss"])
    check = mark.mark.args[1][0].values[0]
    with pytest.raises(AssertionError, match=r"no file nowhere\.py"):
        check()
