"""The method of an attention loss: a name of the library's, or a loss of one's own."""

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor

from amad_core.arguments.words import check_choice
from amad_torch.peers import METHODS
from amad_torch.peers.table import Peer

Method: TypeAlias = str | Callable[..., Tensor]
"""A key of ``METHODS``, or ``loss(*, teacher, student, mask, **options)`` of maps, a scalar."""


def check_method(method: Method) -> None:
    """An error where a method is unknown, or compares what no layer attends to."""
    if callable(method):
        return
    check_choice("method", method, METHODS)
    if METHODS[method].inputs == "logits":
        raise ValueError(
            f"method must compare layers; {method!r} compares logits, as the output part of the "
            "loss does (output_weight, output_temperature)"
        )


def row_of(method: Method) -> Peer:
    """What it compares, and the parameters that it has for each pair of layers."""
    return METHODS[method] if isinstance(method, str) else Peer(method)


def name_of(method: Method) -> str:
    """For errors and logs."""
    return method if isinstance(method, str) else getattr(method, "__name__", repr(method))


def is_amad(method: Method) -> bool:
    """Whether it is one of AMAD's variants, and so has a temperature."""
    return isinstance(method, str) and method.startswith("amad_")


def has_alignment(method: Method) -> bool:
    """Whether it has alignment weights of whole heads."""
    return is_amad(method) and method != "amad_token"


def own_loss(
    loss: Callable[..., Tensor],
    teacher: Tensor,
    student: Tensor,
    mask: Tensor | None,
    **options: object,
) -> Tensor:
    """The value of a loss of one's own.

    Raises:
        TypeError: it is no tensor.
        ValueError: it is no scalar.
    """
    value = loss(teacher=teacher, student=student, mask=mask, **options)
    if not isinstance(value, Tensor):
        raise TypeError(f"{name_of(loss)} must return a tensor; got {type(value).__name__}")
    if value.dim():
        raise ValueError(
            f"{name_of(loss)} must return a scalar, a mean over the batch; got shape "
            f"{list(value.shape)}"
        )
    return value
