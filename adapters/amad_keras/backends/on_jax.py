"""The loss on the JAX backend, in ``keras.ops``."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
from keras import ops

from amad_core.arguments.peers import check_options
from amad_core.training.schedule import LinearRamp, Weight
from amad_keras.attention.alignment import alignment_weights
from amad_keras.attention.loss import amad_loss
from amad_keras.attention.variants import VARIANTS
from amad_keras.capture.tensors import Tensor

__all__ = [
    "METHODS",
    "alignment_weights",
    "check_compiled",
    "distillation_loss",
    "replica_share",
    "streamed_loss",
    "weighted",
]


class Variant(NamedTuple):
    """One of AMAD's variants, as a row of the table of methods."""

    loss: Callable[..., Tensor]
    inputs: str = "maps"
    learned: tuple[str, ...] = ()


METHODS: Mapping[str, Variant] = MappingProxyType(
    {
        f"amad_{variant}": Variant(partial(amad_loss, variant=variant))
        for variant, row in VARIANTS.items()
        if not row.projected
    }
)
"""AMAD's variants without parameters; all other methods are on the other backends."""


def distillation_loss(*, name: str, **options: Any) -> Tensor:
    """The loss of a variant by its name in ``METHODS``; scalar, in full precision everywhere."""
    given = {key: value for key, value in options.items() if key not in _OF_ALL}
    check_options(name, given, METHODS[name].loss)
    with jax.default_matmul_precision("highest"):  # never in TF32 or bfloat16
        return METHODS[name].loss(**options)


_OF_ALL = ("teacher", "student", "mask", "reduction")


def streamed_loss(
    layers: Sequence[Any], method: str, mask: Tensor | None, options: Mapping[str, Any]
) -> None:
    """None: from queries and keys nothing is computed in ``keras.ops``."""


def weighted(loss: Tensor, weight: Weight, step: Tensor | None) -> Tensor:
    """The loss times a weight, or a ramp at a step."""
    if not isinstance(weight, LinearRamp):
        return loss * weight
    if step is None:
        raise ValueError("step must be given for a ramp; got None")
    # Integers as long as there are differences: float32 has no steps above 2^24.
    passed = ops.clip(ops.cast(step, "int32"), weight.first_step, weight.last_step)
    way = ops.cast(passed - weight.first_step, "float32") / (weight.last_step - weight.first_step)
    return loss * (weight.start + (weight.end - weight.start) * way)


def replica_share(loss: Tensor) -> Tensor:
    """The loss: a batch on several devices is one batch to JAX."""
    return loss


def check_compiled(distiller: Any) -> None:
    """Every way to compile will do."""
