"""Tracing: functions that a graph takes as they are written."""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

Function = TypeVar("Function", bound=Callable[..., Any])


def as_written(function: Function) -> Function:
    """Keeps AutoGraph from rewriting a function whose branches depend on no tensor.

    There is nothing to rewrite, and looking for it takes seconds at the first trace.
    """
    unconverted: Function = tf.autograph.experimental.do_not_convert(function)
    return unconverted
