"""Cases and answers as messages, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer, PortError
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.messages import Arrays, Fields, MessageError
from amad_core.conformance.ports.port import Description

_CASE_ARRAYS = ("teacher", "student", "mask", "weight", "bias")
_CASE_FIELDS = ("name", "variant", "temperature", "reduction", "eps")
_OBSERVED = ("value", "grad_student", "grad_teacher")


def pack_case(case: Case) -> tuple[Fields, Arrays]:
    """A case as fields and arrays."""
    return {name: getattr(case, name) for name in _CASE_FIELDS}, _given(case, _CASE_ARRAYS)


def unpack_case(fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Case:
    """The case of ``pack_case``."""
    parts: dict[str, Any] = {name: fields[name] for name in _CASE_FIELDS} | dict(arrays)
    return Case(**parts)


def pack_call_style(call_style: CallStyle) -> Fields:
    """A convention as plain data."""
    return {
        "positional": list(call_style.positional),
        "names": dict(call_style.names),
        "layers": call_style.layers,
        "output": call_style.output,
    }


def unpack_call_style(fields: Mapping[str, Any]) -> CallStyle:
    """The convention of ``pack_call_style``."""
    return CallStyle(
        tuple(fields["positional"]), dict(fields["names"]), fields["layers"], fields["output"]
    )


def pack_answer(answer: Answer) -> tuple[Fields, Arrays]:
    """An answer as fields and arrays."""
    trouble = answer.trouble
    fields = {
        "dtype": answer.dtype,
        "trouble": trouble and pack_error(trouble),
        "no_gradient": answer.no_gradient,
        "changed": list(answer.changed),
    }
    return fields, _given(answer, _OBSERVED)


def unpack_answer(fields: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Answer:
    """The answer of ``pack_answer``, from a side that is not trusted.

    Raises:
        MessageError: something else came.
    """
    try:
        if any(array.dtype != np.float64 for array in arrays.values()):
            raise TypeError("an array that is not float64")
        observed = {name: arrays.get(name) for name in _OBSERVED}
        trouble = fields["trouble"]
        return Answer(
            **observed,
            dtype=str(fields["dtype"]),
            trouble=unpack_error(trouble) if trouble else None,
            no_gradient=str(fields["no_gradient"]),
            changed=tuple(str(name) for name in fields["changed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MessageError(f"an answer that cannot be read: {error}") from error


def unpack_description(fields: Mapping[str, Any]) -> Description:
    """The description of :meth:`Description.as_json`.

    Raises:
        MessageError: something else came.
    """
    try:
        texts = ("name", "framework", "reason", "versions", "remark")
        parts: dict[str, Any] = {name: str(fields[name]) for name in texts}
        parts |= {name: tuple(map(str, fields[name])) for name in ("accepts", "dtypes")}
        return Description(**parts)
    except (KeyError, TypeError) as error:
        raise MessageError(f"a description that cannot be read: {error}") from error


def pack_error(error: PortError) -> Fields:
    """A port error as plain data."""
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


def unpack_error(fields: Mapping[str, Any]) -> PortError:
    """The error of ``pack_error``."""
    return PortError(*(str(fields.get(name, "")) for name in ("kind", "message", "hint")))


def _given(record: object, names: tuple[str, ...]) -> Arrays:
    arrays = {name: getattr(record, name) for name in names}
    return {name: np.asarray(array) for name, array in arrays.items() if array is not None}
