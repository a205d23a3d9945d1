"""Building a cache: the teacher runs once over the data, and what it gives is written down."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amad_core.arguments.words import check_choice
from amad_torch.cache.fingerprint import teacher_fingerprint
from amad_torch.cache.layout import (
    CONTENTS,
    DTYPES,
    CachedLayer,
    CachedLogits,
    Layout,
    dtype_name,
    layers_of,
    logits_as_stored,
)
from amad_torch.cache.names import sample_names
from amad_torch.cache.packing import Packed
from amad_torch.cache.reading import TeacherCache
from amad_torch.cache.shards import (
    Shard,
    check_layout,
    check_shard,
    read_records,
    safetensors,
    write_index,
    write_shard,
)
from amad_torch.cache.teacher_output import TeacherOutput, run_teacher
from amad_torch.models import as_it_was, taken

_OF_THE_DATA = ("layers", "logits", "named_by")
"""What of a layout is known only once a batch has run."""


def cache_teacher(
    *,
    teacher: nn.Module,
    batches: Iterable[Mapping[str, Any]],
    folder: str | Path,
    what: str = "maps",
    dtype: torch.dtype = torch.float16,
    logits: bool = True,
    modules: Sequence[str] | None = None,
    index: str | None = None,
    keep_padding: bool = False,
    shard_megabytes: float = 256,
) -> TeacherCache:
    """Run a teacher once over its data, and write down what a student learns from.

    Samples are known by what they hold, padding left out: batches may come in any order, size and
    padding afterwards. What the folder has already is not computed again: a build that was killed
    goes on after its last complete shard, and further data is added.

    Args:
        teacher: any ``nn.Module`` that is called with the entries of a batch; runs in eval mode.
        batches: dictionaries, such as a ``DataLoader`` of the training (and evaluation) data.
        folder: made where it is missing.
        what: ``"maps"``, for methods that compare maps; ``"queries_and_keys"``, from which maps are
            computed when read, for those that compare scores or relations too; or
            ``"queries_keys_and_values"``. Numbers for a sample and layer: ``H Q K``,
            ``(H Q + Hk K) d`` or ``(H Q + 2 Hk K) d``. Where queries and keys cannot be seen, maps
            are stored.
        dtype: ``torch.float32``, ``float16`` or ``bfloat16``; how far stored values are off is
            measured and told as ``TeacherCache.errors``. What is read has the teacher's own dtype.
        logits: whether logits are stored.
        modules: only attention of these modules, as in ``capture_attention``.
        index: the batch's entry that has a number for each sample, by which it is known
            then, and which neither model is given; it is trusted. ``None``: samples are known by
            all entries that the teacher takes.
        keep_padding: whether padded tokens are stored, for methods that count them; batches must
            then be padded to one length.
        shard_megabytes: how large a file is at least, before the next begins; so much is lost when
            killed, and held in memory twice.

    Returns:
        The cache, as ``TeacherCache(folder)`` opens it.

    Raises:
        ImportError: safetensors is not installed.
        TypeError: ``teacher`` is no ``nn.Module``, or a batch no dictionary.
        ValueError: no batch; a folder with a cache of another teacher, of other settings or of
            another version; a shard that is truncated or corrupted; numbers that ``dtype`` cannot
            hold; padding that the teacher attends to, or entries that do not tell samples apart.
        RuntimeError: nothing was captured.

    Examples:
        >>> import tempfile
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> from amad_torch import Distiller, cache_teacher
        >>> teacher, student = (
        ...     BertForSequenceClassification(
        ...         BertConfig(
        ...             hidden_size=24,
        ...             num_attention_heads=heads,
        ...             num_hidden_layers=2,
        ...             vocab_size=50,
        ...         )
        ...     )
        ...     for heads in (6, 4)
        ... )
        >>> batches = [dict(input_ids=torch.randint(50, (3, 7))) for _ in range(4)]
        >>> cache = cache_teacher(teacher=teacher, batches=batches, folder=tempfile.mkdtemp())
        >>> len(cache)
        12
        >>> Distiller(teacher=cache, student=student)(**batches[2]).loss.backward()
    """
    if not isinstance(teacher, nn.Module):
        raise TypeError(f"teacher must be a torch.nn.Module; got {teacher!r}")
    if isinstance(batches, Mapping):
        raise TypeError("batches must be an iterable of batches; got one batch: give [batch]")
    check_choice("what", what, CONTENTS)
    if dtype not in DTYPES.values():
        raise ValueError(
            f"dtype must be one of {', '.join(map(str, DTYPES.values()))}; got {dtype}"
        )
    if not shard_megabytes > 0:
        raise ValueError(f"shard_megabytes must be above 0; got {shard_megabytes!r}")
    safetensors()  # its absence is told before anything runs
    wanted = Layout(
        teacher=teacher_fingerprint(teacher),
        what=what,
        dtype=dtype_name(dtype),
        index=index,
        named_by=[],
        modules=None if modules is None else list(modules),
        keep_padding=keep_padding,
        layers=[],
        logits=None,
        wants_logits=logits,
    )
    build = _Build(teacher, Path(folder), wanted, int(shard_megabytes * 1e6))
    for batch in batches:
        with as_it_was(teacher):
            build.add(batch)
    build.finish()
    return TeacherCache(folder)


class _Build:
    def __init__(self, teacher: nn.Module, folder: Path, wanted: Layout, shard_bytes: int) -> None:
        self._teacher, self._folder, self._shard_bytes = teacher, folder, shard_bytes
        self._wanted = wanted
        self._left_out = () if wanted.index is None else (wanted.index,)
        self._layout: Layout | None = None
        self._shards: list[Shard] = []
        self._take_up()
        self._known = {name for shard in self._shards for name in shard.samples}
        self._packed = Packed(DTYPES[wanted.dtype])
        self._device = next((one.device for one in teacher.parameters()), torch.device("cpu"))

    def _take_up(self) -> None:
        """Go on after the shards that are complete, if they are of this cache."""
        for draft in self._folder.glob(".*.tmp"):
            draft.unlink()  # of a build that was killed
        given = self._wanted.as_json()
        expected = {name: one for name, one in given.items() if name not in _OF_THE_DATA}
        for shard, layout in read_records(self._folder):
            path = self._folder / shard.name
            check_layout(layout, expected, path)
            if self._layout is None:
                self._layout = Layout.from_json(layout)
                expected = self._layout.as_json()
            check_shard(self._folder, shard)
            self._shards.append(shard)

    def add(self, batch: Mapping[str, Any]) -> None:
        """Run the teacher on a batch, unless all its samples are there."""
        if not isinstance(batch, Mapping):
            raise TypeError(
                "batches must hold dictionaries, the keywords of the teacher; got a "
                f"{type(batch).__name__}"
            )
        named_by = self._naming(batch)
        names = sample_names(batch, named_by)
        new: dict[str, int] = {}
        for number, name in enumerate(names):
            if name not in self._known:
                new.setdefault(name, number)
        if not new:
            return
        batch = {
            name: one.to(self._device) if isinstance(one, Tensor) else one
            for name, one in batch.items()
        }
        modules = self._wanted.modules
        output = run_teacher(self._teacher, batch, modules=modules, left_out=self._left_out)
        if not self._wanted.wants_logits:
            output = output._replace(logits=None)
        layout = self._laid_out(output, batch, named_by, len(names))
        self._packed.add(output, layout, batch, names, list(new.values()))
        self._known.update(new)
        if self._packed.size >= self._shard_bytes:
            self._write()

    def _naming(self, batch: Mapping[str, Any]) -> list[str]:
        if self._wanted.index is not None:
            return [self._wanted.index]
        takes = taken(self._teacher, batch)
        found = sorted(name for name, value in takes.items() if value is not None)
        if self._layout is not None and found != self._layout.named_by:
            raise ValueError(
                f"samples of the cache {self._folder} are named by {self._layout.named_by}, this "
                f"batch has {found} for the teacher: give batches of one make, or index="
            )
        return found

    def _laid_out(
        self, output: TeacherOutput, batch: Mapping[str, Any], named_by: list[str], samples: int
    ) -> Layout:
        for path, layer in (output.attention or {}).items():
            if layer.shape[0] != samples:
                raise ValueError(
                    f"{path!r} attends in {layer.shape[0]} rows for {samples} samples, which "
                    "cannot be told apart (windows, packed images): leave it out with modules=[...]"
                )
        what, keep_padding = self._wanted.what, self._wanted.keep_padding
        layers = layers_of(output, batch, what=what, keep_padding=keep_padding)
        logits = logits_as_stored(output, batch, keep_padding=keep_padding)
        if self._layout is None:
            self._layout = replace(self._wanted, named_by=named_by, layers=layers, logits=logits)
        elif not _alike(layers, self._layout.layers) or not _alike([logits], [self._layout.logits]):
            raise ValueError(
                "the teacher must run the same layers on every batch, and give the same logits; "
                f"got {_paths(layers)}, before {_paths(self._layout.layers)}"
            )
        return self._layout

    def _write(self) -> None:
        assert self._layout is not None
        used = {shard.name for shard in self._shards}
        free = (f"{number:05d}.safetensors" for number in count())
        shard = write_shard(
            self._folder,
            next(name for name in free if name not in used),
            self._packed.tensors(),
            layout=self._layout,
            samples=self._packed.names,
            errors=self._packed.errors,
        )
        self._shards.append(shard)
        self._packed = Packed(self._packed.dtype)

    def finish(self) -> None:
        """Write what is left, and the index that says that all is there."""
        if self._packed.names:
            self._write()
        if self._layout is None:
            raise ValueError("batches must hold at least one batch; got none")
        write_index(self._folder, self._layout, self._shards)


def _alike(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """But for padding, which the first batch decides."""
    plain = {"queries": None, "keys": None}, {"padding": None}

    def whole(one: Any) -> Any:
        return one and replace(one, **plain[isinstance(one, CachedLogits)])

    return [whole(one) for one in found] == [whole(one) for one in expected]


def _paths(layers: Sequence[CachedLayer]) -> str:
    return ", ".join(f"{one.path!r} ({one.kind}, {one.heads} heads)" for one in layers) or "none"
