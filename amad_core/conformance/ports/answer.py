"""What comes back from a port: an answer, or the trouble that it makes."""

from dataclasses import dataclass

from amad_core.conformance.inputs.case import Observation


class PortError(Exception):
    """The port cannot be loaded or called at all.

    Attributes:
        kind: short and stable, for programs: ``"not-found"``, ``"import"``, ``"function"``,
            ``"signature"``, ``"framework"``, ``"call"``, ``"died"`` or ``"time"``.
        message: what happened, for people.
        hint: what to do about it; may be empty.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint


@dataclass(frozen=True)
class Trouble:
    """Why one call gave no usable loss.

    Attributes:
        kind: ``"raised"``, ``"output"`` (no number came back), ``"died"`` or ``"time"``.
        message: what happened, for people.
        hint: what to do about it; may be empty.
    """

    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Answer:
    """What a port gives for one case.

    Attributes:
        observation: value, gradients and dtype; its value is ``None`` where there is trouble.
        trouble: why there is no value; ``None`` where there is one.
        no_gradient: why there is no gradient though one was asked for; empty where there is.
        changed: names of the arguments that the port changed in place.
        result_dtype: dtype of the loss as returned; empty for a plain number.
    """

    observation: Observation
    trouble: Trouble | None = None
    no_gradient: str = ""
    changed: tuple[str, ...] = ()
    result_dtype: str = ""
