"""TensorFlow, through ``GradientTape``."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from amad_core.conformance.ports.frameworks import Call, RawAnswer, Tensors


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

    def evaluate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """The loss alone."""
        return RawAnswer(port(tensors))

    def differentiate(self, port: Call, tensors: Tensors) -> RawAnswer:
        """Gradients by a tape that watches both maps."""
        maps = [tensors["teacher"], tensors["student"]]
        with tf.GradientTape() as tape:
            tape.watch(maps)
            loss = port(tensors)
        if not tf.is_tensor(loss):
            return RawAnswer(
                loss, no_gradient="the loss is cut off from its inputs (a plain number or .numpy())"
            )
        try:
            teachers, students = tape.gradient(loss, maps)
        except (LookupError, RuntimeError, ValueError, tf.errors.OpError) as error:
            return RawAnswer(loss, no_gradient=f"GradientTape raised: {error}")
        leaked = np.zeros(tuple(maps[0].shape)) if teachers is None else self.array(teachers)
        if students is None:
            cut = (
                "no gradient reaches the student "
                "(tf.stop_gradient, .numpy(), or maps that are not used)"
            )
            return RawAnswer(loss, grad_teacher=leaked, no_gradient=cut)
        return RawAnswer(loss, self.array(students), leaked)


FRAMEWORK = TensorFlow()
