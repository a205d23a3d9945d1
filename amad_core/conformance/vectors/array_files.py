"""The arrays of the vectors as ``.npz`` and ``.safetensors``, the same bytes on every machine.

Names are ``<case id>/<array>``: ``kl-rect-1/teacher``, ``kl-rect-1/grad_student``.
"""

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_EARLIEST = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def arrays_of(document: Mapping[str, Any]) -> Arrays:
    """All arrays of a vectors document; values as arrays of rank 0 or 1."""
    arrays: dict[str, NDArray[Any]] = {}
    for case in document["cases"]:
        for name, array in (*case["inputs"].items(), *case["expected"].items()):
            if array is None:
                continue
            values = array["values"] if isinstance(array, dict) else array
            dtype = np.bool_ if name == "mask" else np.float64
            arrays[f"{case['id']}/{name}"] = np.array(values, dtype=dtype)
    return arrays


def npz_bytes(arrays: Arrays) -> bytes:
    """An uncompressed ``.npz``, without the time and system that ``numpy.savez`` may write."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", _EARLIEST)
            entry.create_system = _UNIX
            content = io.BytesIO()
            np.lib.format.write_array(content, arrays[name], version=(1, 0), allow_pickle=False)
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def safetensors_bytes(arrays: Arrays) -> bytes:
    """The same as safetensors, without metadata (whose order is not fixed)."""
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}))
