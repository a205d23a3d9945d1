"""TensorFlow, through ``GradientTape``."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import RawAnswer, Request


class TensorFlow:
    """Eager tensors, which no port can change in place."""

    name = "tensorflow"
    mutable = False
    dtypes = ("float64", "float32", "bfloat16", "float16")

    @property
    def version(self) -> str:
        """TensorFlow's version."""
        return f"tensorflow {tf.__version__}"

    def prepare(self) -> None:
        """Nothing to set up."""

    def tensor(self, array: NDArray[Any], dtype: str) -> Any:
        """A copy."""
        return tf.cast(tf.constant(np.asarray(array)), dtype)

    def array(self, tensor: Any) -> NDArray[Any]:
        """Floating point as float64, all else as it is."""
        if not tf.is_tensor(tensor):
            return np.asarray(tensor)
        dense = tf.convert_to_tensor(tensor)
        return np.array((tf.cast(dense, tf.float64) if dense.dtype.is_floating else dense).numpy())

    def dtype(self, tensor: Any) -> str:
        """The dtype's name; empty for plain numbers."""
        return str(tensor.dtype.name) if tf.is_tensor(tensor) else ""

    def evaluate(self, request: Request) -> RawAnswer:
        """The loss alone."""
        return RawAnswer(request.run())

    def differentiate(self, request: Request) -> RawAnswer:
        """Gradients by a tape that watches both maps."""
        with tf.GradientTape() as tape:
            tape.watch([request.teacher, request.student])
            loss = request.run()
        if not tf.is_tensor(loss):
            return RawAnswer(
                loss, no_gradient="the loss is cut off from its inputs (a plain number or .numpy())"
            )
        try:
            teachers, students = tape.gradient(loss, [request.teacher, request.student])
        except (LookupError, RuntimeError, ValueError, tf.errors.OpError) as error:
            return RawAnswer(loss, no_gradient=f"GradientTape raised: {error}")
        leaked = (
            np.zeros(tuple(request.teacher.shape)) if teachers is None else self.array(teachers)
        )
        if students is None:
            cut = (
                "no gradient reaches the student "
                "(tf.stop_gradient, .numpy(), or maps that are not used)"
            )
            return RawAnswer(loss, grad_teacher=leaked, no_gradient=cut)
        return RawAnswer(loss, self.array(students), leaked)


FRAMEWORK = TensorFlow()
