"""The decorator gives each check as a test of its own, and failures that can be read."""

import contextlib

import numpy as np
import pytest

import amad_core
from amad_core.conformance import parametrize_with_checks
from amad_core.conformance.judging.checks import CHECKS
from tests.support.port_sources import RIGHT_MSE, spoilt

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
    # Of a NumPy port without options: no gradients, masks, layers or bfloat16, never infinite.
    passed = ["value", "edges", "inputs", "repeat", "samples", "drawn", "float32", "float16"]
    result.assert_outcomes(passed=len(passed), skipped=len(CHECKS) - len(passed))
    result.stdout.fnmatch_lines([f"*test_my_port?loss-{name}? PASSED*" for name in passed])


def test_port_that_cannot_be_loaded_fails_in_words():
    mark = parametrize_with_checks(["nowhere.py:loss"])
    check = mark.mark.args[1][0].values[0]
    with pytest.raises(AssertionError, match=r"no file nowhere\.py"):
        check()


def test_a_failure_is_short_and_names_the_mistake_and_how_to_mend_it(pytester):
    pytester.makepyfile(
        my_port=spoilt(RIGHT_MSE, ".sum(axis=(1, 2))", ".sum(axis=2).mean(axis=1)"),
        test_port="""
        from amad_core.conformance import parametrize_with_checks
        import my_port

        @parametrize_with_checks([my_port.loss], max_examples=5)
        def test_my_port(check):
            check()
        """,
    )
    result = pytester.runpytest_subprocess("-k", "loss-value", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=1, deselected=len(CHECKS) - 1)
    result.stdout.fnmatch_lines(
        [
            "check = <check 'value' of my_port:loss>",
            "E * AssertionError: mean-over-heads: * inputs wrong",
            "E * Mend: Sum over the heads*",
        ]
    )
    assert len(result.outlines) < 30


@pytest.mark.parametrize(
    "options", [{"variant": "kld"}, {"temperature": 0.0}, {"tau": 1.0}, {"eps": -1.0}]
)
def test_a_wrong_option_is_refused_where_tests_are_collected(options):
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        parametrize_with_checks(["nowhere.py:loss"], **options)


def test_a_port_is_examined_once_for_all_its_checks():
    calls = []

    def loss(*, teacher, student):
        calls.append(1)
        return amad_core.amad_loss(teacher=teacher, student=student)

    first, *others = (
        parameter.values[0]
        for parameter in parametrize_with_checks([loss], max_examples=3).mark.args[1]
    )
    first()
    count = len(calls)
    for check in others:
        with contextlib.suppress(pytest.skip.Exception):
            check()
    assert len(calls) == count > 0
