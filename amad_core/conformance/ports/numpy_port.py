"""A port as a function of NumPy arrays, whatever framework it is written in."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.opening import open_port
from amad_core.conformance.ports.port import LocalPort


class NumpyPort:
    """Called like :func:`amad_core.amad_loss_and_grad`, with NumPy arrays."""

    def __init__(self, port: LocalPort, dtype: str | None = None) -> None:
        self._port, self._dtype = port, dtype or port.description.dtypes[0]

    def __call__(
        self,
        *,
        teacher: ArrayLike,
        student: ArrayLike,
        variant: str = "mse",
        temperature: float = 1.0,
        reduction: str = "mean",
        eps: float = 0.0,
        **others: ArrayLike | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The loss, and its gradient with respect to the student.

        Args:
            teacher, student, variant, temperature, reduction, eps: as in ``amad_loss``.
            others: ``mask``, ``weight`` and ``bias``. What the port does not take is not passed.

        Returns:
            The loss, and the gradient or ``None`` where the port gives none.

        Raises:
            RuntimeError: the port raised, or gave something that is no loss.
        """
        maps = [np.asarray(array, dtype=np.float64) for array in (teacher, student)]
        arrays: dict[str, Any] = {
            name: np.asarray(array, dtype=bool if name == "mask" else np.float64)
            for name, array in others.items()
            if array is not None
        }
        case = Terms(variant, temperature, reduction, eps).applied_to(
            Case("call", maps[0], maps[1], **arrays)
        )
        answer = self._port.answer(case, self._dtype, gradients=True)
        if answer.trouble is not None or answer.value is None:
            raise RuntimeError(answer.trouble.message if answer.trouble else "no loss came")
        return answer.value, answer.grad_student


def load_port(
    port: str | Callable[..., Any],
    *,
    framework: str | None = None,
    positional: Sequence[str] = (),
    names: dict[str, str] | None = None,
    layers: bool = False,
    output: str | None = None,
    mask_form: str | None = None,
    dtype: str | None = None,
) -> NumpyPort:
    """Load a port in this process, to call it with NumPy arrays.

    Args:
        port, framework, positional, names, layers, output, mask_form: as in
            :func:`amad_core.conformance.check_port`.
        dtype: what the arrays are cast to; ``None``: the widest that the port computes in.

    Raises:
        PortError: it cannot be loaded, or fails on the plainest input.
    """
    call_style = CallStyle(tuple(positional), names or {}, layers, output, mask_form)
    return NumpyPort(open_port(port, framework=framework, call_style=call_style), dtype)
