"""Functions that have a first derivative of their own, and say so when asked for a second."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor

Backward = Callable[[Tensor], Sequence[Tensor]]
"""What comes from above to the gradient by each leaf."""


def differentiable_once(
    function: Callable[..., tuple[Tensor, Backward]], leaves: Sequence[Tensor]
) -> Tensor:
    """The value that ``function`` has at ``leaves``, with the gradient that it returns beside."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def of_leaves(*leaves: Tensor) -> Any:
        # Without stop_gradient a tape would follow what it is never asked to differentiate.
        value, backward = function(*map(tf.stop_gradient, leaves))

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def once(upstream: Tensor, *leaves: Tensor) -> Any:
            return backward(tf.stop_gradient(upstream)), _refuse

        return value, lambda upstream: once(upstream, *leaves)

    found: Tensor = of_leaves(*leaves)
    return found


def _refuse(*_: Tensor) -> Any:
    raise RuntimeError(
        "amad_loss_from_queries_and_keys has no second derivative: take the amad_loss of maps "
        "(of a captured layer: layer.maps)"
    )
