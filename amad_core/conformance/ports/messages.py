"""What passes between the kit and the process of a port: JSON and raw numbers, never pickle.

A message is the length of its head (8 bytes), the head (JSON: fields, and name, dtype and shape of
each array), and the arrays' bytes one after another. The port's side is not trusted: lengths,
dtypes and shapes are checked before anything is made of them.
"""

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Fields = dict[str, Any]
Arrays = dict[str, NDArray[Any]]

_LENGTH = struct.Struct("<Q")
_MOST_HEAD = 1 << 20
_MOST_BYTES = 1 << 28
_DTYPES = {"float64": 8, "bool": 1}


class MessageError(Exception):
    """Bytes that are no message: the other side is broken or gone."""


def write_message(
    stream: BinaryIO, fields: Fields, arrays: Mapping[str, NDArray[Any]] | None = None
) -> None:
    """Send fields (plain JSON data) and arrays (float64 or bool)."""
    sent = {name: np.asarray(array) for name, array in (arrays or {}).items()}
    table = [
        {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in sent.items()
    ]
    head = json.dumps({"fields": fields, "arrays": table}).encode()
    stream.write(_LENGTH.pack(len(head)) + head)
    for array in sent.values():
        stream.write(array.tobytes())
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[Fields, Arrays]:
    """Receive one message.

    Raises:
        MessageError: the stream ended, or holds something else.
    """
    (length,) = _LENGTH.unpack(_read(stream, _LENGTH.size))
    if length > _MOST_HEAD:
        raise MessageError(f"a head of {length} bytes")
    try:
        head = json.loads(_read(stream, length))
        fields, table = head["fields"], head["arrays"]
        layout = [(str(row["name"]), str(row["dtype"]), _shape(row["shape"])) for row in table]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise MessageError(f"a head that cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise MessageError("fields that are no JSON object")
    return fields, {name: _array(stream, dtype, shape) for name, dtype, shape in layout}


def _array(stream: BinaryIO, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if dtype not in _DTYPES:
        raise MessageError(f"an array of dtype {dtype}")
    count = math.prod(shape)
    if count * _DTYPES[dtype] > _MOST_BYTES:
        raise MessageError(f"an array of shape {shape}")
    buffer = _read(stream, count * _DTYPES[dtype])
    return np.frombuffer(buffer, dtype=dtype).reshape(shape).copy()


def _shape(lengths: Any) -> tuple[int, ...]:
    shape = tuple(int(length) for length in lengths)
    if len(shape) > 8 or any(length < 0 for length in shape):
        raise ValueError(f"shape {shape}")
    return shape


def _read(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise MessageError("the stream ended")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
