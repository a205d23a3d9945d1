"""The variants of the loss, one row each. A further variant is a further row."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from amad_core.attention.divergence import (
    JENSEN_SHANNON_DIVERGENCE,
    KL_DIVERGENCE,
    SQUARED_DISTANCE,
    Divergence,
)
from amad_core.attention.inputs import FloatArray, query_rows, whole_maps
from amad_core.attention.similarity import (
    l1_normalise,
    l1_normalise_gradient,
    l2_normalise,
    l2_normalise_gradient,
)


class Normalisation(NamedTuple):
    """How a head is mixed in: ``value(heads)`` and ``gradient(heads, upstream)``."""

    value: Callable[[FloatArray], FloatArray]
    gradient: Callable[[FloatArray, FloatArray], FloatArray]


class Variant(NamedTuple):
    """What tells one variant from another; the rest of the loss is common to all."""

    normalisation: Normalisation
    divergence: Divergence
    layout: Callable[[FloatArray], FloatArray] = whole_maps
    projected: bool = False


L1 = Normalisation(l1_normalise, l1_normalise_gradient)
L2 = Normalisation(l2_normalise, l2_normalise_gradient)

VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "mse": Variant(L2, SQUARED_DISTANCE),  # eq. 4-6
        "kl": Variant(L1, KL_DIVERGENCE),  # eq. 9
        "projected": Variant(L1, KL_DIVERGENCE, projected=True),  # eq. 10-11
        "token": Variant(L1, KL_DIVERGENCE, layout=query_rows),  # eq. 12
        "js": Variant(L1, JENSEN_SHANNON_DIVERGENCE),  # beyond the paper
    }
)
