"""Shards that are read in place, and the samples in them."""

from pathlib import Path
from typing import Any

from torch import Tensor

from amad_torch.cache.layout import Layout
from amad_torch.cache.shards import Shard, check_shard, safetensors


class ShardFile:
    """A shard that was checked, and is mapped to memory."""

    def __init__(self, folder: Path, shard: Shard, layout: Layout) -> None:
        path = check_shard(folder, shard)
        _, safe_open = safetensors()
        self._file = safe_open(path, framework="pt")
        self._layout = layout
        self._sizes: list[Any] = self.tensor("sizes").tolist()
        self._uses: list[Any] = self.tensor("uses").tolist()

    def tensor(self, name: str) -> Tensor:
        """Its bytes are read when they are touched."""
        found: Tensor = self._file.get_tensor(name)
        return found

    def sample(self, row: int) -> "Sample":
        """One sample."""
        return Sample(self, row, self._sizes[row], self._uses[row], self._layout)


class Sample:
    """One sample's numbers, found by layer."""

    def __init__(
        self,
        file: ShardFile,
        row: int,
        sizes: list[list[int]],
        uses: list[list[int]],
        layout: Layout,
    ) -> None:
        self.sizes, self._uses = sizes, uses
        self._file = file
        self._numbers = file.tensor(f"sample/{row}")
        self._starts = [0]
        for layer, size in zip(layout.layers, sizes, strict=False):
            self._starts.append(self._starts[-1] + layer.size(*size))

    def numbers(self, layer: int) -> Tensor:
        """Of a layer; of the logits, after the last layer."""
        end = self._starts[layer + 1] if layer + 1 < len(self._starts) else None
        return self._numbers[self._starts[layer] : end]

    def shared(self, layer: int) -> tuple[Tensor | None, Tensor | None]:
        """Mask and bias of a layer."""
        mask, bias = (
            None if use < 0 else self._file.tensor(f"shared/{use}") for use in self._uses[layer]
        )
        return mask, bias
