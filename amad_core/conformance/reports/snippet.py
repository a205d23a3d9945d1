"""A script of at most 12 lines that shows a wrong answer, to run and to look into."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.call_style import CallStyle


def snippet(
    target: str, framework: str, case: Case, call_style: CallStyle, dtype: str | None = None
) -> str:
    """A runnable script that calls the port and the specification with the maps of ``case``.

    ``dtype`` is what the maps are cast to, where that is not the widest that the port takes.
    """
    options = {name: getattr(case, name) for name in ("variant", "temperature", "reduction")}
    if case.eps:
        options["eps"] = case.eps
    how = "".join(
        f", {name}={getattr(call_style, name)!r}"
        for name in ("positional", "names", "layers", "output", "mask_form")
        if getattr(call_style, name) not in ((), {}, False, None, "", "BQK:bool")
    )
    how += f", dtype={dtype!r}" if dtype else ""
    arrays = {name: getattr(case, name) for name in ("mask", "weight", "bias")}
    return "\n".join(
        [
            "import numpy as np",
            "from amad_core import amad_loss_and_grad",
            "from amad_core.conformance import load_port",
            f"teacher = {_literal(case.teacher)}",
            f"student = {_literal(case.student)}",
            f"options = {_dictionary(options, arrays)}",
            f"port = load_port({target!r}, framework={framework!r}{how})",
            'print("port:", *port(teacher=teacher, student=student, **options), sep="\\n")',
            'print("specification:", '
            '*amad_loss_and_grad(teacher=teacher, student=student, **options), sep="\\n")',
        ]
    )


def _dictionary(options: dict[str, Any], arrays: dict[str, NDArray[Any] | None]) -> str:
    entries = [f"{name!r}: {value!r}" for name, value in options.items()]
    entries += [
        f"{name!r}: {_literal(array)}" for name, array in arrays.items() if array is not None
    ]
    return "{" + ", ".join(entries) + "}"


def _literal(array: NDArray[Any]) -> str:
    return f"np.array({_numbers(array.tolist())})"


def _numbers(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_numbers(entry) for entry in value) + "]"
    if isinstance(value, float) and not np.isfinite(value):
        return "np.nan" if np.isnan(value) else f"{'-' if value < 0 else ''}np.inf"
    return repr(value)
