"""Projection: the learned map of a student head's cells (eq. 10), for the variant 'projected'."""

from torch import Tensor

from amad_torch.attention.precision import product
from amad_torch.attention.similarity import l1_normalise, scaled_to_peak


def projected_heads(student: Tensor, weight: Tensor, bias: Tensor, valid: Tensor) -> Tensor:
    """Eq. 10: ``s̃_j = ReLU(W s_j/|s_j|_1 + b)``, 0 in masked cells.

    ``student`` ``[B, Hs, n]``, ``weight`` ``[n, n]``, ``bias`` ``[n]``, ``valid`` ``[B, Q, K]``.
    """
    heads = l1_normalise(scaled_to_peak(student))
    affine = (product(heads.flatten(0, 1), weight.T) + bias).reshape(student.shape)
    return affine.relu().where(valid.flatten(1).unsqueeze(1), 0.0)
