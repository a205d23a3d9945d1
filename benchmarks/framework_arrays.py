"""The pipeline's array operations in PyTorch and TensorFlow: mistakes as native ports.

Stages of :mod:`amad_core.conformance.diagnosis.pipeline` and mutations of the catalogue are
written over a small interface; with one of these classes behind it the whole port, gradient
included, is the framework's own code.
"""

from typing import Any

import numpy as np

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.pipeline import Stages, problem_of, run
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer


class TorchArrays:
    """PyTorch tensors of one dtype."""

    def __init__(self, dtype: str) -> None:
        import torch

        self._torch, self.dtype = torch, getattr(torch, dtype)
        self.exp, self.log, self.sqrt, self.abs = torch.exp, torch.log, torch.sqrt, torch.abs
        self.tanh, self.swapaxes, self.moveaxis = torch.tanh, torch.swapaxes, torch.moveaxis

    def constant(self, values: Any) -> Array:
        return self._torch.tensor(np.asarray(values), dtype=self.dtype)

    def stop_gradient(self, array: Array) -> Array:
        return array.detach()

    def values(self, array: Array) -> Any:
        return array.detach().double().numpy()

    def where(self, condition: Any, chosen: Array, other: Array) -> Array:
        return self._torch.where(
            self._torch.tensor(np.array(condition)), self._tensor(chosen), self._tensor(other)
        )

    def sum(self, array: Array, axis: Any, keepdims: bool = False) -> Array:
        return self._torch.sum(array, dim=axis, keepdim=keepdims)

    def max(self, array: Array, axis: Any, keepdims: bool = False) -> Array:
        return self._torch.amax(array, dim=axis, keepdim=keepdims)

    def reshape(self, array: Array, shape: tuple[int, ...]) -> Array:
        return array.reshape(shape)

    def take(self, array: Array, indices: list[int], axis: int) -> Array:
        return self._torch.index_select(array, axis, self._torch.tensor(indices))

    def concatenate(self, arrays: list[Array], axis: int) -> Array:
        return self._torch.cat(arrays, dim=axis)

    def _tensor(self, values: Any) -> Array:
        return values if self._torch.is_tensor(values) else self.constant(values)


class TensorFlowArrays:
    """TensorFlow tensors of one dtype, eager."""

    def __init__(self, dtype: str) -> None:
        import tensorflow as tf

        self._tf, self.dtype = tf, getattr(tf, dtype)
        self.exp, self.log, self.sqrt, self.abs = tf.exp, tf.math.log, tf.sqrt, tf.abs
        self.tanh, self.stop_gradient = tf.tanh, tf.stop_gradient

    def constant(self, values: Any) -> Array:
        return self._tf.constant(np.asarray(values), dtype=self.dtype)

    def values(self, array: Array) -> Any:
        return np.asarray(array, dtype=np.float64)

    def where(self, condition: Any, chosen: Array, other: Array) -> Array:
        return self._tf.where(np.array(condition), self._tensor(chosen), self._tensor(other))

    def sum(self, array: Array, axis: Any, keepdims: bool = False) -> Array:
        return self._tf.reduce_sum(array, axis=axis, keepdims=keepdims)

    def max(self, array: Array, axis: Any, keepdims: bool = False) -> Array:
        return self._tf.reduce_max(array, axis=axis, keepdims=keepdims)

    def reshape(self, array: Array, shape: tuple[int, ...]) -> Array:
        return self._tf.reshape(array, shape)

    def take(self, array: Array, indices: list[int], axis: int) -> Array:
        return self._tf.gather(array, indices, axis=axis)

    def concatenate(self, arrays: list[Array], axis: int) -> Array:
        return self._tf.concat(arrays, axis)

    def swapaxes(self, array: Array, first: int, second: int) -> Array:
        order = list(range(array.ndim))
        order[first], order[second] = order[second], order[first]
        return self._tf.transpose(array, order)

    def moveaxis(self, array: Array, source: int, target: int) -> Array:
        order = [axis for axis in range(array.ndim) if axis != source]
        order.insert(target, source)
        return self._tf.transpose(array, order)

    def _tensor(self, values: Any) -> Array:
        return values if self._tf.is_tensor(values) else self.constant(values)


def observe_torch(case: Case, stages: Stages, dtype: str = "float32") -> Answer:
    """Value and gradients of one case with native PyTorch differentiation."""
    import torch

    arrays = TorchArrays(dtype)
    teacher = arrays.constant(case.teacher).requires_grad_()
    student = arrays.constant(case.student).requires_grad_()
    loss = run(stages, problem_of(case, arrays), teacher, student)
    gradients: Any = (None, None)
    if loss.requires_grad:
        gradients = torch.autograd.grad(loss.sum(), (student, teacher), allow_unused=True)
    of_student, of_teacher = (
        np.zeros(maps.shape) if gradient is None else arrays.values(gradient)
        for gradient, maps in zip(gradients, (student, teacher), strict=True)
    )
    return Answer(arrays.values(loss), of_student, of_teacher, dtype)


def observe_tensorflow(case: Case, stages: Stages, dtype: str = "float32") -> Answer:
    """Value and gradients of one case with native TensorFlow differentiation."""
    import tensorflow as tf

    arrays = TensorFlowArrays(dtype)
    teacher, student = arrays.constant(case.teacher), arrays.constant(case.student)
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        loss = run(stages, problem_of(case, arrays), teacher, student)
        total = tf.reduce_sum(loss)
    gradients = tape.gradient(total, (student, teacher), unconnected_gradients="zero")
    of_student, of_teacher = (arrays.values(gradient) for gradient in gradients)
    return Answer(arrays.values(loss), of_student, of_teacher, dtype)
