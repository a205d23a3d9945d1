"""Precision: products of matrices in the dtype of their inputs."""

from amad_keras.capture.tensors import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """The product of matrices in their own dtype.

    Not ``ops.matmul``, which on PyTorch multiplies float64 in float32.
    """
    return left @ right
