"""What comes back from a port: an answer, or the trouble that it makes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.inputs import FloatArray

_LONGEST = 300


class PortError(Exception):
    """The port cannot be loaded or called, or one call gave no usable loss.

    Attributes:
        kind: short and stable, for programs: ``"not-found"``, ``"import"``, ``"function"``,
            ``"signature"``, ``"framework"`` or ``"call"`` of a port that cannot be used at all;
            ``"raised"``, ``"output"`` (no number came back) of a call; ``"died"`` or ``"time"``.
        message: what happened, for people.
        hint: what to do about it; may be empty.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.hint = kind, message, hint


def in_short(error: BaseException) -> str:
    """Type and message of an exception on one line; its ``__str__`` may itself fail."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
    return f"{type(error).__name__}: {short}" if short else type(error).__name__


@dataclass(frozen=True)
class Answer:
    """What a port, a mistake or the specification gives for one case.

    Attributes:
        value: the loss, a scalar or ``[B]``; ``None`` where none came.
        grad_student: ``[B, Hs, Q, K]``; ``None`` where there is none.
        grad_teacher: ``[B, Ht, Q, K]``; ``None`` where none was taken or none exists.
        dtype: name of the dtype that was computed in (``"float32"``).
        trouble: why there is no value; ``None`` where there is one.
        no_gradient: why there is no gradient though one was asked for; empty where there is.
        changed: names of the arguments that the port changed in place.
        came_in: framework of the array that the loss came in; empty for a plain number.
    """

    value: NDArray[np.float64] | None
    grad_student: FloatArray | None = None
    grad_teacher: FloatArray | None = None
    dtype: str = "float64"
    trouble: PortError | None = None
    no_gradient: str = ""
    changed: tuple[str, ...] = ()
    came_in: str = ""
