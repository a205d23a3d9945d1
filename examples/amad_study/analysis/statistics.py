"""The statistics of the study, each function with its source; SciPy computes them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedDifferences:
    """What paired differences say about their mean.

    Attributes:
        count: how many there are.
        mean: of the differences.
        low, high: ends of the 95 % confidence interval of the mean.
        effect: Cohen's d of the differences; infinite where all are equal, but not zero.
        t_p: of the t-test, two-sided.
        sign_p: of the sign test, two-sided.
        wins, losses: how many are above, and below, zero.
    """

    count: int
    mean: float
    low: float
    high: float
    effect: float
    t_p: float
    sign_p: float
    wins: int
    losses: int


def paired_differences(differences: Sequence[float]) -> PairedDifferences:
    """All that is reported of paired differences.

    Example:
        >>> found = paired_differences([3.0, 1.0, 2.0, 2.0])
        >>> found.mean, round(found.effect, 2), found.wins, found.sign_p
        (2.0, 2.45, 4, 0.125)

    Raises:
        ValueError: fewer than two, or one that is no finite number.
    """
    values = _checked("differences", differences, fewest=2)
    low, high = mean_interval(differences)
    return PairedDifferences(
        count=len(values),
        mean=float(values.mean()),
        low=low,
        high=high,
        effect=cohens_d(differences),
        t_p=paired_t_test(differences),
        sign_p=sign_test(differences),
        wins=int((values > 0).sum()),
        losses=int((values < 0).sum()),
    )


def paired_t_test(differences: Sequence[float]) -> float:
    """p, two-sided, of a mean of zero: t = mean / (sd / √n) with n - 1 degrees of freedom.

    1 where all differences are zero, 0 where they are equal but not zero.

    Source: Student (1908), The probable error of a mean, Biometrika 6.
    """
    values = _checked("differences", differences, fewest=2)
    if np.ptp(values) == 0:
        return float(values[0] == 0)
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def sign_test(differences: Sequence[float]) -> float:
    """p, two-sided, of both signs being as likely, from the binomial distribution; ties left out.

    Source: Dixon and Mood (1946), The statistical sign test, JASA 41.
    """
    values = _checked("differences", differences, fewest=1)
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The confidence interval of a mean: mean ± t · sd / √n, t with n - 1 degrees of freedom.

    Source: Student (1908), as `paired_t_test`.
    """
    found = _checked("values", values, fewest=2)
    half = stats.t.ppf((1 + confidence) / 2, len(found) - 1) * stats.sem(found)
    return float(found.mean() - half), float(found.mean() + half)


def cohens_d(differences: Sequence[float]) -> float:
    """Mean over standard deviation of paired differences, Cohen's d_z.

    Source: Cohen (1988), Statistical power analysis for the behavioral sciences, 2nd ed., 2.3.5.
    """
    values = _checked("differences", differences, fewest=2)
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / float(values.std(ddof=1))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for there being several: an error in any of them stays below the level.

    The k-th smallest of m is multiplied by m - k + 1; none falls below a smaller one, nor above 1.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = _checked("p_values", p_values, fewest=0)
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"p_values are {list(p_values)}, expected numbers from 0 to 1")
    order = np.argsort(values, kind="stable")
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return [float(value) for value in adjusted]


def spread_ratio(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The ratio of two standard deviations, and p, two-sided, of equal spreads.

    Levene's test on distances from the median. It takes the two samples as independent; where
    they are paired, and so go up and down together, it is cautious.

    Source: Brown and Forsythe (1974), Robust tests for the equality of variances, JASA 69.

    Returns:
        sd of the first over that of the second (infinite if only the second has none, 1 if none
        has), and p.
    """
    one, other = (_checked("values", side, fewest=2) for side in (first, second))
    above, below = float(one.std(ddof=1)), float(other.std(ddof=1))
    if above == below == 0:
        return 1.0, 1.0
    p = float(stats.levene(one, other, center="median").pvalue)
    return (above / below if below else math.inf), (p if math.isfinite(p) else 1.0)


def correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Pearson's correlation, and p, two-sided, of none; 0 and 1 where a side is constant.

    Source: Pearson (1895), Note on regression and inheritance in the case of two parents,
    Proceedings of the Royal Society 58; p by the exact distribution for normal variables.
    """
    one, other = _alike(x, y)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0, 1.0
    found = stats.pearsonr(one, other)
    return float(found.statistic), float(found.pvalue)


def _alike(x: Sequence[float], y: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    one, other = _checked("x", x, fewest=3), _checked("y", y, fewest=3)
    if len(one) != len(other):
        raise ValueError(f"x has {len(one)} values and y {len(other)}, expected as many")
    return one, other


def _checked(name: str, values: Sequence[float], fewest: int) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) < fewest:
        raise ValueError(f"{name} has shape {found.shape}, expected at least {fewest} numbers")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} are {list(values)}, expected finite numbers")
    return found
