"""Shards of a cache: files of tensors, each with its checksum beside it, read in place."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from amad_core.arguments.extras import missing_framework
from amad_core.files import write_atomically
from amad_torch.cache.layout import VERSION, Layout, difference

AGAIN = "delete it and its .json, and run cache_teacher again, which makes what is missing"

INDEX = "index.json"

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Shard:
    """One file, as the JSON beside it describes it.

    Attributes:
        name, bytes, sha256: of the file.
        samples: their names, in the order of its rows.
        errors: largest distance of stored maps and logits from the teacher's.
    """

    name: str
    bytes: int
    sha256: str
    samples: list[str]
    errors: dict[str, float]


def write_shard(
    folder: Path,
    name: str,
    tensors: Mapping[str, Tensor],
    *,
    layout: Layout,
    samples: list[str],
    errors: Mapping[str, float],
) -> Shard:
    """Write a shard and then its JSON, each in full or not at all."""
    save, _ = safetensors()
    data = save({key: one.contiguous() for key, one in tensors.items()})
    shard = Shard(name, len(data), hashlib.sha256(data).hexdigest(), samples, dict(errors))
    write_atomically(folder / name, data)
    record = {"layout": layout.as_json(), **asdict(shard)}
    write_atomically((folder / name).with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    return shard


def write_index(folder: Path, layout: Layout, shards: list[Shard]) -> None:
    """Say that the cache is complete."""
    content = {"layout": layout.as_json(), "shards": [asdict(shard) for shard in shards]}
    write_atomically(folder / INDEX, json.dumps(content) + "\n")


def read_index(folder: Path) -> tuple[Layout, list[Shard]]:
    """What :func:`write_index` wrote.

    Raises:
        ValueError: there is none, or it is truncated, of another version, or of something else.
    """
    path = folder / INDEX
    if not path.is_file():
        what = "holds a cache that was not finished" if read_records(folder) else "holds no cache"
        raise ValueError(f"{folder} {what} (no {INDEX}): run cache_teacher, which goes on there")
    content = read_json(path)
    try:
        check_version(content["layout"], path)
        layout = Layout.from_json(content["layout"])
        return layout, [Shard(**shard) for shard in content["shards"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the index of a cache; {AGAIN}") from error


def read_records(folder: Path) -> list[tuple[Shard, Mapping[str, Any]]]:
    """The shards that are complete, in order, each with its layout as JSON."""
    found = []
    for path in sorted(folder.glob("[0-9]*.json")):
        record = read_json(path)
        try:
            layout = record.pop("layout")
            found.append((Shard(**record), layout))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} does not describe a shard of a cache; {AGAIN}") from error
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a cache.

    Raises:
        ValueError: it is truncated, or no JSON object.
    """
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is truncated or no JSON ({error}); {AGAIN}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object; got {type(found).__name__}; {AGAIN}")
    return found


def check_version(layout: Mapping[str, Any], path: Path) -> None:
    """An error where a newer or older version wrote it."""
    if layout.get("version") != VERSION:
        raise ValueError(
            f"{path} was written in version {layout.get('version')!r} of the format; this is "
            f"version {VERSION}: build the cache again, in another folder"
        )


def check_layout(found: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    """An error where a shard belongs to another cache."""
    check_version(found, path)
    differs = difference(found, expected)
    if differs is not None:
        raise ValueError(f"{path} is of another cache ({differs}): use another folder, or {AGAIN}")


def check_shard(folder: Path, shard: Shard) -> Path:
    """The path of a shard that is what was written.

    Raises:
        ValueError: it is missing, truncated, or holds something else.
    """
    path = folder / shard.name
    if not path.is_file():
        raise ValueError(f"the cache lacks its shard {path}; {AGAIN}")
    if (size := path.stat().st_size) != shard.bytes:
        kind = "truncated" if size < shard.bytes else "too long"
        raise ValueError(f"{path} is {kind}: it has {size} bytes of {shard.bytes}; {AGAIN}")
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    if found.hexdigest() != shard.sha256:
        raise ValueError(
            f"{path} is corrupted, or of another cache: its SHA-256 is not the one written beside "
            f"it; {AGAIN}"
        )
    return path


def safetensors() -> tuple[Any, Any]:
    """``save`` and ``safe_open``.

    Raises:
        ImportError: safetensors is not installed.
    """
    try:
        from safetensors import safe_open
        from safetensors.torch import save
    except ImportError as error:
        raise missing_framework("the teacher cache", error, "torch") from error
    return save, safe_open
