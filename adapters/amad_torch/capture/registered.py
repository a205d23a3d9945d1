"""What users say of modules that no way of looking can see."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

RegisteredFunction = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], Any]

REGISTERED: dict[type[nn.Module], RegisteredFunction] = {}
"""By module class."""

BESIDE_THE_MAPS = ("kind", "values", "projection")
"""What a registered function may say that no map follows from."""


def register_attention(module_class: type[nn.Module], function: RegisteredFunction) -> None:
    """Say what a class of module attends to, where capture cannot see it.

    Args:
        module_class: instances of it, and of its subclasses, are asked.
        function: ``function(module, args, kwargs, output)``, called after every forward pass of
            such a module; it returns the maps ``[B, H, Q, K]`` after the softmax and before
            dropout, or a mapping with ``queries`` ``[B, H, Q, d]`` and ``keys`` ``[B, Hk, K, d]``
            and, where needed, ``scale``, ``mask`` (boolean), ``bias``, ``kind``, ``values``
            ``[B, Hk, K, d]``, ``projection`` ``[D, H d]``; ``None`` where this call attended to
            nothing.

    Raises:
        TypeError: ``module_class`` is no class of ``nn.Module``, or ``function`` cannot be called.

    Example:
        >>> import torch
        >>> from amad_torch import capture_attention, register_attention
        >>> class Pool(torch.nn.Module):
        ...     def forward(self, x):
        ...         self.seen = torch.softmax(x @ x.mT, -1)[:, None]
        ...         return self.seen[:, 0].cumsum(-1)
        >>> register_attention(Pool, lambda module, args, kwargs, output: module.seen)
        >>> pool = Pool()
        >>> with capture_attention(pool) as attention:
        ...     _ = pool(torch.ones(2, 3, 4))
        >>> attention[""].maps.shape
        torch.Size([2, 1, 3, 3])
    """
    if not (isinstance(module_class, type) and issubclass(module_class, nn.Module)):
        raise TypeError(f"module_class must be a class of torch.nn.Module; got {module_class!r}")
    if not callable(function):
        raise TypeError(f"function must be callable; got {function!r}")
    REGISTERED[module_class] = function


def registered_for(module: nn.Module) -> RegisteredFunction | None:
    """The function registered for the nearest class of a module."""
    for base in type(module).__mro__:
        if base in REGISTERED:
            return REGISTERED[base]
    return None
