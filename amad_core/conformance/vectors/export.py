"""Write golden vectors into a directory."""

import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

from amad_core.attention.variants import VARIANTS
from amad_core.conformance.diagnosis.mistakes import MISTAKES
from amad_core.conformance.vectors.array_files import arrays_of, npz_bytes, safetensors_bytes
from amad_core.conformance.vectors.document import as_text, vectors_document
from amad_core.conformance.vectors.schema import (
    RESULTS_SCHEMA,
    VECTORS_SCHEMA,
    check_schema,
    schema_text,
)
from amad_core.conformance.vectors.versions import DEFAULT_SEED
from amad_core.files import write_atomically

SUMS = "SHA256SUMS"
"""File names with their SHA-256, as ``sha256sum --check`` reads them."""


def export_vectors(
    directory: Path, variants: Sequence[str] = tuple(VARIANTS), seed: int = DEFAULT_SEED
) -> list[Path]:
    """Write the vectors of ``variants``, their arrays, the schemas, the catalogue and the sums.

    The same bytes every time: expected numbers are evaluated in decimals, and nothing holds a time
    or a version of a library.

    Returns:
        What was written.

    Raises:
        OSError: the directory cannot be made or written to.
        FileError: a document does not follow the schema, which is a bug here.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sums = {}
    for name, content in _files(variants, seed, directory):
        write_atomically(directory / name, content)
        sums[name] = hashlib.sha256(content).hexdigest()
    listed = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    write_atomically(directory / SUMS, listed)
    return [directory / name for name in (*sums, SUMS)]


def released_sums() -> dict[str, str]:
    """The sums of the released vectors (all variants, seed 0), by file name."""
    text = files("amad_core.conformance.vectors").joinpath(SUMS).read_text(encoding="ascii")
    return read_sums(text)


def read_sums(text: str) -> dict[str, str]:
    """The lines of ``SHA256SUMS``, by file name."""
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def differing_from_release(directory: Path) -> list[str]:
    """Files of an export with seed 0 that are not the released ones, byte for byte."""
    released = released_sums()
    exported = read_sums((directory / SUMS).read_text(encoding="ascii"))
    return sorted(name for name, digest in exported.items() if released.get(name) != digest)


def _files(variants: Sequence[str], seed: int, directory: Path) -> Iterator[tuple[str, bytes]]:
    for schema in (VECTORS_SCHEMA, RESULTS_SCHEMA):
        yield schema, schema_text(schema).encode()
    yield "mistakes.json", as_text(_catalogue()).encode()
    for variant in variants:
        document = vectors_document(variant, seed)
        check_schema(document, VECTORS_SCHEMA, directory / f"{variant}.json")
        yield f"{variant}.json", as_text(document).encode()
        arrays = arrays_of(document)
        yield f"{variant}.npz", npz_bytes(arrays)
        yield f"{variant}.safetensors", safetensors_bytes(arrays)


def _catalogue() -> dict[str, dict[str, str]]:
    """What the flags mean."""
    return {
        mistake.name: {
            "sentence": mistake.sentence,
            "symptom": mistake.symptom,
            "mend": mistake.mend,
            "found_by": mistake.found_by,
        }
        for mistake in MISTAKES
    }
