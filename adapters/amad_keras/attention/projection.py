"""Projection: the learned map of a student head's cells (eq. 10), for the variant 'projected'."""

from keras import ops

from amad_keras.attention.inputs import whole_maps
from amad_keras.attention.precision import product
from amad_keras.attention.similarity import l1_normalise, scaled_to_peak
from amad_keras.capture.tensors import Tensor


def projected_heads(student: Tensor, weight: Tensor, bias: Tensor, valid: Tensor) -> Tensor:
    """Eq. 10: ``s̃_j = ReLU(W s_j/|s_j|_1 + b)``, 0 in masked cells.

    ``student`` ``[B, Hs, n]``, ``weight`` ``[n, n]``, ``bias`` ``[n]``, ``valid`` ``[B, Q, K]``.
    """
    unit = l1_normalise(scaled_to_peak(student))
    affine = product(unit, ops.transpose(weight)) + bias
    projected = ops.relu(affine)
    return ops.where(whole_maps(valid[:, None]), projected, ops.zeros_like(projected))
