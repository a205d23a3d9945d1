"""Value checks: when numbers are read back from a device to look at them."""

from collections.abc import Callable

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor


def reads_values(values: Tensor, check_values: bool | None) -> bool:
    """``check_values``; where it is ``None``, whether reading a value back makes no device wait."""
    if check_values is not None:
        return check_values
    return bool(tf.executing_eagerly() and "CPU" in values.device)


def require(good: Tensor, error: Callable[[str], Exception], found: Callable[[], str]) -> None:
    """Raise ``error`` with what was ``found`` unless ``good``; in a graph, when the graph runs."""
    if not tf.executing_eagerly():
        tf.debugging.assert_equal(good, True, message=str(error("others")))
    elif not bool(good):
        raise error(found())
