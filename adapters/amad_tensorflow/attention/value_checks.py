"""Value checks: when numbers are read back from a device to look at them."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from amad_core.arguments.words import span


def reads_values(values: Any, check_values: bool | None) -> bool:
    """``check_values``; where it is ``None``, whether reading a value back makes no device wait."""
    if check_values is not None:
        return check_values
    return bool(tf.executing_eagerly() and "CPU" in values.device)


def check_finite(
    values: Any,
    error: Callable[[str], Exception],
    check_values: bool | None,
    least: float = -math.inf,
) -> None:
    """Raise ``error`` with what was found unless all is finite and at least ``least``."""
    if not reads_values(values, check_values):
        return
    values = tf.convert_to_tensor(values)
    smallest, total = tf.reduce_min(values), tf.reduce_sum(values)
    # The sum of numbers of which one is infinite or NaN is neither finite, so most are done here.
    if tf.executing_eagerly() and math.isfinite(total) and float(smallest) >= least:
        return
    greatest = tf.reduce_max(values)
    good = (smallest >= least) & tf.reduce_all(tf.math.is_finite(values))

    def found() -> str:
        # The smallest of numbers and NaN may be a number.
        holds_nan = bool(tf.reduce_any(tf.math.is_nan(values)))
        return span(math.nan if holds_nan else float(smallest), float(greatest))

    require(good, error, found)


def require(good: Any, error: Callable[[str], Exception], found: Callable[[], str]) -> None:
    """Raise ``error`` with what was ``found`` unless ``good``; in a graph, when the graph runs."""
    if not tf.executing_eagerly():
        tf.debugging.assert_equal(good, True, message=str(error("others")))
    elif not bool(good):
        raise error(found())
