"""The closed form as a function that tapes, graphs and XLA know.

The first derivative is the closed form's. Those beyond it are taken of the readable form, which is
handed in as ``plain``: correct, and as slow and large as that is. Guarded by
tests/adapters/test_tensorflow_graph.py.
"""

from collections.abc import Callable

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.closed_form import losses, traced
from amad_tensorflow.closed_form.heads import best_at_once
from amad_tensorflow.closed_form.options import Options

Plain = Callable[[Tensor], Tensor]
"""The student's maps to losses ``[B]``, in operations that TensorFlow differentiates."""


def closed_form_losses(
    teacher: Tensor, student: Tensor, variant: str, temperature: float, eps: float, plain: Plain
) -> Tensor:
    """Of maps ``[B, H, Q, K]``: one loss a sample ``[B]``."""
    options = Options(
        variant,
        temperature=tf.constant(temperature, tf.float64),
        eps=tf.constant(eps, tf.float64),
        at_once=best_at_once(student),
        in_graph=not tf.executing_eagerly(),
    )
    passes = losses if options.in_graph else traced

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def of_student(student: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        # Without it a tape would keep what it is never asked to differentiate.
        values, kept = passes.forward(teacher, tf.stop_gradient(student), options)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def gradient(
            upstream: Tensor, student: Tensor
        ) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
            def further(second: Tensor) -> list[Tensor]:
                with tf.GradientTape() as outer:
                    outer.watch([upstream, student])
                    with tf.GradientTape() as inner:
                        inner.watch(student)
                        value = plain(student)
                    first = inner.gradient(value, student, output_gradients=upstream)
                found: list[Tensor] = outer.gradient(
                    first,
                    [upstream, student],
                    output_gradients=second,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )
                return found

            still = tf.stop_gradient(student)
            found = passes.backward(teacher, still, options, kept, tf.stop_gradient(upstream))
            return found, further

        return values, lambda upstream: gradient(upstream, student)

    found: Tensor = of_student(student)
    return found
