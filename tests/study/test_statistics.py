"""The statistics, held to closed forms, to published examples, and to what they promise."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from amad_study.analysis.statistics import (
    cohens_d,
    correlation,
    holm,
    mean_interval,
    paired_differences,
    paired_t_test,
    sign_test,
    spread_ratio,
)

# Student's own example: hours of sleep gained under one drug minus those under the other.
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_students_example() -> None:
    """t = 4.0621 with 9 degrees of freedom, p = 0.002833, interval 0.70 to 2.46."""
    found = paired_differences(SLEEP)
    assert found.mean == pytest.approx(1.58)
    assert found.t_p == pytest.approx(0.002833, abs=5e-7)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=5e-8)
    assert found.effect == pytest.approx(4.0621 / math.sqrt(10), abs=5e-5)
    assert (found.count, found.wins, found.losses) == (10, 9, 0)
    assert found.sign_p == pytest.approx(2 / 2**9)


def test_t_of_three_in_closed_form() -> None:
    """With two degrees of freedom p = 1 - t / √(2 + t²)."""
    t = 2 * math.sqrt(3)
    assert paired_t_test([1, 2, 3]) == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert paired_t_test([-1, -2, -3]) == pytest.approx(paired_t_test([1, 2, 3]))


def test_the_t_test_is_the_paired_one() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 12))
    assert paired_t_test(list(one - other)) == pytest.approx(stats.ttest_rel(one, other).pvalue)


def test_the_interval_holds_zero_just_when_the_test_does_not_reject() -> None:
    low, high = mean_interval(SLEEP, confidence=1 - paired_t_test(SLEEP))
    assert low == pytest.approx(0, abs=1e-12)
    assert high == pytest.approx(2 * 1.58)


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(3, 0, 2 / 8), (2, 1, 1.0), (12, 0, 2 / 4096), (11, 1, 26 / 4096)]
)
def test_signs_in_closed_form(wins: int, losses: int, p: float) -> None:
    differences = [1.0] * wins + [-2.0] * losses
    assert sign_test(differences) == pytest.approx(p)
    assert sign_test([*differences, 0.0]) == pytest.approx(p)


def test_where_nothing_varies() -> None:
    assert (paired_t_test([0, 0]), sign_test([0, 0]), cohens_d([0, 0])) == (1, 1, 0)
    assert (paired_t_test([2, 2]), cohens_d([-2, -2])) == (0, -math.inf)
    assert mean_interval([2, 2]) == (2, 2)
    assert spread_ratio([1, 1], [2, 2]) == (1, 1)
    assert spread_ratio([1, 1, 1], [2, 2, 3])[0] == 0
    assert spread_ratio([1, 1, 2], [3, 3, 3])[0] == math.inf
    assert correlation([1, 1, 1], [1, 2, 3]) == (0, 1)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []
    assert holm([0.04]) == [0.04]


def test_spreads_by_their_definition() -> None:
    """Brown and Forsythe: analysis of variance of the distances from the median."""
    random = np.random.default_rng(1)
    one, other = random.normal(scale=1, size=16), random.normal(scale=3, size=16)
    ratio, p = spread_ratio(list(one), list(other))
    assert ratio == pytest.approx(one.std(ddof=1) / other.std(ddof=1))
    distances = [np.abs(side - np.median(side)) for side in (one, other)]
    assert p == pytest.approx(stats.f_oneway(*distances).pvalue)
    assert p < 0.05


def test_correlation_in_closed_form() -> None:
    """Of ranks it is Spearman's, with p from t = r √3 / √(1 - r²)."""
    found, p = correlation([10, 20, 30, 40, 50], [1, 2, 3, 5, 4])
    assert found == pytest.approx(1 - 6 * 2 / (5 * 24))
    t = found * math.sqrt(3 / (1 - found**2))
    assert p == pytest.approx(2 * stats.t.sf(t, 3))
    assert correlation([1, 2, 3], [2, 2, 2]) == (0, 1)


def test_the_error_of_a_family_stays_below_its_level() -> None:
    """Families of 12 comparisons in which nothing differs: without Holm four in ten err."""
    random = np.random.default_rng(2)
    families = 400
    p = stats.ttest_1samp(random.normal(size=(families, 12, 12)), 0.0, axis=2).pvalue
    errs = np.mean([min(holm(list(family))) < 0.05 for family in p])
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / families)
    assert 0.01 < errs < allowed
    assert np.mean(p.min(axis=1) < 0.05) > 0.35


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_differences([1]), r"differences has shape \(1,\), expected at least 2"),
        (lambda: paired_t_test([1, math.nan]), "differences are .*, expected finite"),
        (lambda: holm([0.1, 1.2]), "p_values are .*, expected numbers from 0 to 1"),
        (lambda: correlation([1, 2, 3], [1, 2]), r"y has shape \(2,\)"),
        (lambda: correlation([1, 2, 3], [1, 2, 3, 4]), "x has 3 values and y 4"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
