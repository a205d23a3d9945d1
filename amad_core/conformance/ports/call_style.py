"""How a port is called: its argument names, their order, lists of layers, its mask, its output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from amad_core.conformance.ports.answer import PortError
from amad_core.conformance.ports.constructed import sizes_of

MAPS = ("teacher", "student")
OPTIONS = ("variant", "temperature", "reduction", "mask", "eps", "weight", "bias")
ARGUMENTS = (*MAPS, *OPTIONS)


@dataclass(frozen=True)
class CallStyle:
    """What a user says about a port that is not ``port(*, teacher, student)``.

    Attributes:
        positional: the arguments passed by position, in their order; the others go by name.
        names: the port's own name of an argument, by ours: ``{"teacher": "att_t"}``.
        layers: the port takes a list of maps, one a layer, and adds the layers' losses up.
        output: key, index or attribute of the loss in what the port returns; ``None`` where it
            returns the loss.
        mask_form: ``"AXES:VALUES"`` of :mod:`amad_core.conformance.ports.mask_forms`; ``None``
            finds out.
    """

    positional: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    layers: bool = False
    output: str | None = None
    mask_form: str | None = None


@dataclass(frozen=True)
class FittedCall:
    """A port, and the call style fitted to its signature.

    Attributes:
        function: the port.
        call_style: what the user said.
        names: the port's names of our arguments, where they are others.
        accepts: which of :data:`OPTIONS` can be passed.
        needs_mask: the port's mask has no default: it gets one where all cells count, too.
        guessed_mask: the mask was recognised by its name alone.
        sizes: the port's names of sizes of the maps that it asks for, and which each is.
        copies: with ``layers``, how often a list holds each teacher layer: a port that chooses
            among the teacher's layers by itself then finds what it looks for.
        remark: how the arguments were matched where it is not obvious; may be empty.
    """

    function: Callable[..., Any]
    call_style: CallStyle
    names: Mapping[str, str] = field(default_factory=dict)
    accepts: frozenset[str] = frozenset()
    needs_mask: bool = False
    guessed_mask: bool = False
    sizes: Mapping[str, str] = field(default_factory=dict)
    copies: int = 1
    remark: str = ""

    def loss(self, given: Mapping[str, Any]) -> Any:
        """Call the port with tensors and options by our names, and find the loss it returns.

        Maps of several layers come stacked along a first, fifth axis.

        Raises:
            PortError: what came back has no such output; else whatever the port raises.
        """
        if self.call_style.layers:
            lists = {
                "teacher": _layers(given["teacher"], self.copies),
                "student": _layers(given["student"], 1),
            }
            given = {**given, **lists}
        positional, by_name = self.arguments(given)
        returned = self.function(*positional, **by_name)
        try:
            return self._loss_in(returned)
        except (LookupError, TypeError) as error:
            raise PortError(
                "signature",
                f"the port returned {described(returned)}, which has no output "
                f"{self.call_style.output!r}",
                which_output(returned),
            ) from error

    def arguments(self, given: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of one call, from ours; what it takes not is left out.

        With ``layers``, ``teacher`` and ``student`` are lists already.
        """
        passed = {name: given[name] for name in given if name in MAPS or name in self.accepts}
        order = [name for name in self.call_style.positional if name in passed]
        by_name = {
            self.names.get(name, name): value for name, value in passed.items() if name not in order
        }
        return [passed[name] for name in order], by_name | sizes_of(self.sizes, given)

    def _loss_in(self, returned: Any) -> Any:
        """The loss within what the port returned."""
        output = self.call_style.output
        if output is None:
            return returned
        if isinstance(returned, Mapping):
            return returned[output]
        if output.lstrip("-").isdigit():
            return returned[int(output)]
        if not hasattr(returned, output):
            raise LookupError(output)
        return getattr(returned, output)


def _layers(maps: Any, copies: int) -> list[Any]:
    layers = list(maps) if len(maps.shape) == 5 else [maps]
    return [one for layer in layers for one in repeat(layer, copies)]


def which_output(returned: Any) -> str:
    """How to say which part of it is the loss."""
    if isinstance(returned, Mapping):
        return f"say which is the loss: --output {str(next(iter(returned), 'KEY'))[:30]}"
    if isinstance(returned, tuple | list):
        return "say which is the loss, counted from 0: --output 0"
    return "leave --output out"


def described(value: Any) -> str:
    """A value in a few words, safe for whatever its ``__repr__`` does."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {kind} of {len(value)}"
    if isinstance(value, Mapping):
        keys = ", ".join(str(key)[:30] for key in list(value)[:6])
        return f"a {kind} with {keys or 'nothing in it'}"
    if isinstance(value, str | bytes | bool):
        return f"a {kind}"
    shape = getattr(value, "shape", None)
    return f"a {kind}" + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")
