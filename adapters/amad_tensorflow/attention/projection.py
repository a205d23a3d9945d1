"""Projection: the learned map of a student head's cells (eq. 10), for the variant 'projected'."""

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, whole_maps
from amad_tensorflow.attention.similarity import l1_normalise, scaled_to_peak


def projected_heads(student: Tensor, weight: Tensor, bias: Tensor, valid: Tensor) -> Tensor:
    """Eq. 10: ``s̃_j = ReLU(W s_j/|s_j|_1 + b)``, 0 in masked cells.

    ``student`` ``[B, Hs, n]``, ``weight`` ``[n, n]``, ``bias`` ``[n]``, ``valid`` ``[B, Q, K]``.
    """
    unit = l1_normalise(scaled_to_peak(student))
    affine = tf.linalg.matmul(unit, weight, transpose_b=True) + bias
    projected = tf.nn.relu(affine)
    return tf.where(whole_maps(valid[:, tf.newaxis]), projected, tf.zeros_like(projected))
