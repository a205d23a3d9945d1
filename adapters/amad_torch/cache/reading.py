"""Reading a cache: what the teacher gave for a batch, from files that are mapped to memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from amad_torch.cache.fingerprint import teacher_fingerprint
from amad_torch.cache.layout import dtype_named
from amad_torch.cache.names import sample_names
from amad_torch.cache.places import Padding
from amad_torch.cache.samples import Sample, ShardFile
from amad_torch.cache.shards import read_index, safetensors
from amad_torch.cache.teacher_output import StoredTeacher, TeacherOutput
from amad_torch.cache.unpacking import StoredLayer, read_logits
from amad_torch.capture.captured import CapturedAttention


class TeacherCache(StoredTeacher):
    """What a teacher gave for its data, in place of the teacher: ``Distiller(teacher=cache, ...)``.

    Files are mapped to memory, so that a batch reads no more than its own samples, of layers that
    are compared. Each is checked against its SHA-256 when it is first read. A cache may be shuffled
    through, pickled, and read in several processes.

    Args:
        folder: what ``cache_teacher`` was given.
        teacher: the model, to make sure that the cache is its; ``None``: taken on trust.

    Attributes:
        what: ``"maps"``, ``"queries_and_keys"`` or ``"queries_keys_and_values"``.
        dtype: in which numbers are stored.
        layers: paths, in the order of the calls.
        named_by: entries of a batch by which a sample is found.
        index: the one of them that is no input of a model, if there is one.
        errors: the largest distance of stored from exact ``"maps"`` and ``"logits"``, measured
            over all samples when the cache was built.
        bytes: on disk.

    Raises:
        ImportError: safetensors is not installed.
        ValueError: the folder holds no cache, or one that is not finished, of another version, or
            of another teacher; when read: a shard that is missing, truncated or corrupted; a sample
            that is not in the cache.
    """

    def __init__(self, folder: str | Path, *, teacher: nn.Module | None = None) -> None:
        safetensors()
        self.folder = Path(folder)
        self._layout, self._shards = read_index(self.folder)
        if teacher is not None and teacher_fingerprint(teacher) != self._layout.teacher:
            raise ValueError(
                f"the cache {self.folder} is of another teacher (its weights or settings differ): "
                "open the teacher's own cache, or build it with cache_teacher in another folder"
            )
        self.what, self.dtype = self._layout.what, dtype_named(self._layout.dtype)
        self.named_by, self.index = tuple(self._layout.named_by), self._layout.index
        self.layers = [layer.path for layer in self._layout.layers]
        self.errors: dict[str, float] = {}
        self._places: dict[str, tuple[int, int]] = {}
        for number, shard in enumerate(self._shards):
            for name, error in shard.errors.items():
                self.errors[name] = max(error, self.errors.get(name, 0.0))
            self._places.update((name, (number, row)) for row, name in enumerate(shard.samples))
        self.bytes = sum(shard.bytes for shard in self._shards)
        self._files: dict[int, ShardFile] = {}

    def read(
        self, batch: Mapping[str, Any], *, attention: bool = True, logits: bool = True
    ) -> TeacherOutput:
        """What the teacher gave for the samples of a batch, padded as the batch is.

        Attention is read when it is asked for, layer by layer.

        Args:
            batch: as when the cache was built, in any order, size and padding.
            attention, logits: what is wanted.

        Returns:
            ``attention``, as ``capture_attention`` gives it, and ``logits``, on the batch's device.

        Raises:
            ValueError: a sample that is not in the cache, a shard that is damaged, logits that were
                left out, samples of several lengths without a mask that says what is padding.
        """
        samples, padding = self._found(batch), Padding(batch)
        captured = None
        if attention:
            captured = CapturedAttention(
                {
                    layer.path: StoredLayer(layer, number, samples, padding)
                    for number, layer in enumerate(self._layout.layers)
                }
            )
        if not logits:
            return TeacherOutput(captured, None)
        if not self._layout.wants_logits:
            raise ValueError(
                f"the cache {self.folder} was built with logits=False: build it with logits, or "
                "leave the output part out, output_weight=0"
            )
        return TeacherOutput(captured, *read_logits(self._layout, samples, padding))

    def _found(self, batch: Mapping[str, Any]) -> list[Sample]:
        names = sample_names(batch, self.named_by)
        missing = [number for number, name in enumerate(names) if name not in self._places]
        if missing:
            raise ValueError(
                f"samples {missing[:8]} of the batch ({len(missing)} of {len(names)}) are not in "
                f"the cache {self.folder}, which has {len(self)} samples, known by "
                f"{', '.join(map(repr, self.named_by))}: the data or its preparation is another "
                "(random augmentation, padding without a mask), or cache_teacher has to run on "
                "these batches too, which adds them"
            )
        return [self._sample(*self._places[name]) for name in names]

    def _sample(self, shard: int, row: int) -> Sample:
        if shard not in self._files:
            self._files[shard] = ShardFile(self.folder, self._shards[shard], self._layout)
        return self._files[shard].sample(row)

    def __len__(self) -> int:
        return len(self._places)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}

    def __repr__(self) -> str:
        errors = ", ".join(f"{name} within {error:.2g}" for name, error in self.errors.items())
        return (
            f"TeacherCache({str(self.folder)!r}: {len(self)} samples, {self.what} of "
            f"{len(self.layers)} layers, {self._layout.dtype}, {self.bytes / 1e6:.1f} MB; {errors})"
        )
