"""What passes between the kit and the process of a port: the bytes of an ``.npz``, never pickle.

A message is its length (8 bytes) and the archive: arrays as such, everything else as one string of
JSON. The port's side is not trusted: a message has a largest size, and holds no objects.
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer, PortError

Fields = dict[str, Any]
"""A message by the names of its parts: NumPy arrays, and what JSON can hold."""

_LENGTH = struct.Struct("<Q")
_MOST_BYTES = 1 << 28
_PLAIN = "_plain"


class MessageError(Exception):
    """Bytes that are no message: the other side is broken or gone."""


def send(stream: BinaryIO, fields: Mapping[str, Any]) -> None:
    """Send one message."""
    arrays: Fields = {name: part for name, part in fields.items() if isinstance(part, np.ndarray)}
    plain = {name: part for name, part in fields.items() if name not in arrays}
    archive = io.BytesIO()
    np.savez(archive, **arrays | {_PLAIN: np.array(json.dumps(plain))})
    content = archive.getvalue()
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def receive(stream: BinaryIO) -> Fields:
    """Receive one message.

    Raises:
        MessageError: the stream ended, or holds something else.
    """
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    if length > _MOST_BYTES:
        raise MessageError(f"a message of {length} bytes")
    content = io.BytesIO(_read(stream, length))
    try:
        with zipfile.ZipFile(content) as archive:
            if sum(part.file_size for part in archive.infolist()) > _MOST_BYTES:
                raise ValueError("an archive that is too large")
        with np.load(content, allow_pickle=False) as parts:
            arrays = {name: parts[name] for name in parts.files}
        plain = json.loads(str(arrays.pop(_PLAIN)))
        return {**arrays, **plain}
    except Exception as error:  # whatever strange bytes make zipfile, NumPy and json raise
        raise MessageError(f"a message that cannot be read: {error}") from error


def pack_answer(answer: Answer) -> Fields:
    """An answer as fields."""
    trouble = answer.trouble and pack_error(answer.trouble)
    return {**vars(answer), "trouble": trouble, "changed": list(answer.changed)}


def unpack_answer(fields: Mapping[str, Any], case: Case) -> Answer:
    """The answer of ``pack_answer``, from a side that is not trusted.

    Raises:
        MessageError: something else came.
    """
    try:
        arrays = {name: fields[name] for name in ("value", "grad_student", "grad_teacher")}
        shapes = [None, case.student.shape, case.teacher.shape]
        for array, shape in zip(arrays.values(), shapes, strict=True):
            if array is not None and (
                array.dtype != np.float64 or shape not in (None, array.shape)
            ):
                raise TypeError("an array of the wrong kind")
        return Answer(
            **arrays,
            dtype=str(fields["dtype"]),
            trouble=unpack_error(fields["trouble"]) if fields["trouble"] else None,
            no_gradient=str(fields["no_gradient"]),
            changed=tuple(str(name) for name in fields["changed"]),
            came_in=str(fields["came_in"]),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise MessageError(f"an answer that cannot be read: {error}") from error


def pack_error(error: PortError) -> Fields:
    """A port error as plain data."""
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


def unpack_error(fields: Mapping[str, Any]) -> PortError:
    """The error of ``pack_error``."""
    return PortError(*(str(fields[name]) for name in ("kind", "message", "hint")))


def _read(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise MessageError("the stream ended")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
