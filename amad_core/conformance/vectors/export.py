"""Write golden vectors into a directory, the same bytes every time and everywhere."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amad_core.attention.variants import VARIANTS
from amad_core.conformance.diagnosis.mistakes import MISTAKES
from amad_core.conformance.vectors.documents import DATA, RESULTS_SCHEMA, VECTORS_SCHEMA
from amad_core.conformance.vectors.files import (
    RELEASED_SEED,
    SUMS,
    read_sums,
    released_sums,
    shipped_text,
)
from amad_core.files import write_atomically

Arrays = Mapping[str, NDArray[Any]]
"""By ``<case id>/<array>``: ``kl-rect-1/teacher``, ``kl-rect-1/grad_student``."""

_EARLIEST, _UNIX = (1980, 1, 1, 0, 0, 0), 3


def export_vectors(
    directory: Path, variants: Sequence[str] = tuple(VARIANTS), seed: int = RELEASED_SEED
) -> list[Path]:
    """Write the vectors of ``variants``, their arrays, the schemas, the catalogue and the sums.

    Nothing holds a time or a version of a library. Vectors of another seed than that of the
    released ones are made on the spot.

    Returns:
        What was written.

    Raises:
        OSError: the directory cannot be made or written to.
        FileError: the installation is damaged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sums = {}
    for name, content in _files(variants, seed):
        write_atomically(directory / name, content)
        sums[name] = hashlib.sha256(content).hexdigest()
    write_atomically(directory / SUMS, listed_sums(sums))
    return [directory / name for name in (*sums, SUMS)]


def _files(variants: Sequence[str], seed: int) -> Iterator[tuple[str, bytes]]:
    for schema in (VECTORS_SCHEMA, RESULTS_SCHEMA):
        yield schema, DATA.joinpath(schema).read_bytes()
    catalogue = json.dumps(_catalogue(), indent=2, ensure_ascii=False)
    yield "mistakes.json", f"{catalogue}\n".encode()
    for variant in variants:
        yield from variant_files(
            variant, shipped_text(variant) if seed == RELEASED_SEED else _made(variant, seed)
        )


def variant_files(variant: str, text: bytes) -> Iterator[tuple[str, bytes]]:
    """A vectors file and the same arrays in two other formats."""
    arrays = _arrays_of(json.loads(text))
    yield f"{variant}.json", text
    yield f"{variant}.npz", _npz_bytes(arrays)
    yield f"{variant}.safetensors", _safetensors_bytes(arrays)


def listed_sums(sums: Mapping[str, str]) -> str:
    """The content of ``SHA256SUMS``."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def differing_from_release(directory: Path) -> list[str]:
    """Vectors of the released seed, as exported, that are not the released ones to the byte."""
    released = released_sums()
    exported = read_sums((directory / SUMS).read_text(encoding="ascii"))
    return sorted(name for name in released.keys() & exported if released[name] != exported[name])


def _made(variant: str, seed: int) -> bytes:
    # The only place where the maker is needed outside its folder, and not for what ships.
    from amad_core.conformance.vectors.make.documents import vectors_text

    return vectors_text(variant, seed)


def _catalogue() -> dict[str, dict[str, str]]:
    """What the flags mean."""
    parts = ("sentence", "symptom", "mend", "found_by")
    return {known.name: {part: getattr(known, part) for part in parts} for known in MISTAKES}


def _arrays_of(document: Mapping[str, Any]) -> Arrays:
    """All arrays of a vectors document; values as arrays of rank 0 or 1."""
    return {
        f"{case['id']}/{name}": np.array(
            array["values"] if isinstance(array, dict) else array,
            np.bool_ if name == "mask" else np.float64,
        )
        for case in document["cases"]
        for name, array in (case["inputs"] | case["expected"]).items()
        if array is not None
    }


def _npz_bytes(arrays: Arrays) -> bytes:
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


def _safetensors_bytes(arrays: Arrays) -> bytes:
    """The same as safetensors, without metadata (whose order is not fixed)."""
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}))
