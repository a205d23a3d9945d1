"""The variants of the loss, one row each. A further variant is a further row."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from amad_keras.attention.divergence import (
    jensen_shannon_divergence,
    kl_divergence,
    squared_distance,
)
from amad_keras.attention.inputs import query_rows, whole_maps
from amad_keras.attention.similarity import l1_normalise, l2_normalise
from amad_keras.capture.tensors import Tensor


class Variant(NamedTuple):
    """What tells one variant from another; the rest of the loss is common to all."""

    normalisation: Callable[[Tensor], Tensor]
    divergence: Callable[[Tensor, Tensor, float], Tensor]
    layout: Callable[[Tensor], Tensor] = whole_maps
    projected: bool = False


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "mse": Variant(l2_normalise, squared_distance),  # eq. 4-6
        "kl": Variant(l1_normalise, kl_divergence),  # eq. 9
        "projected": Variant(l1_normalise, kl_divergence, projected=True),  # eq. 10-11
        "token": Variant(l1_normalise, kl_divergence, layout=query_rows),  # eq. 12
        "js": Variant(l1_normalise, jensen_shannon_divergence),  # beyond the paper
    }
)
