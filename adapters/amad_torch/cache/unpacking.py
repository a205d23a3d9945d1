"""From the flat rows of samples to a batch's tensors, padded as the batch is."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from amad_torch.cache.layout import CachedLayer, Layout, dtype_named
from amad_torch.cache.places import Padding, Place, padded
from amad_torch.cache.samples import Sample
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.streaming.queries_keys import QueriesKeys


class StoredLayer(LayerAttention):
    """A layer's attention that is read from the cache when it is asked for.

    ``padding`` are the batch's entries whose padding was not stored, of queries and of keys.
    """

    def __init__(
        self, layer: CachedLayer, number: int, samples: list[Sample], padding: Padding
    ) -> None:
        read = None if layer.maps else self._read_attended
        values = self._read_values if layer.value_heads else None
        super().__init__(layer.path, layer.kind, read, requires_grad=False, values=values)
        self.padding = layer.queries, layer.keys
        self._layer, self._number, self._samples, self._batch = layer, number, samples, padding

    @cached_property
    def _axes(self) -> list[tuple[int, list[Place]]]:
        return [
            self._batch.axis(
                entry,
                [sample.sizes[self._number][side] for sample in self._samples],
                f"{self._layer.path!r}",
            )
            for side, entry in enumerate(self.padding)
        ]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        (queries, _), (keys, _) = self._axes
        return len(self._samples), self._layer.heads, queries, keys

    @property
    def device(self) -> torch.device:
        return self._batch.device

    @property
    def maps(self) -> Tensor:
        if self._maps is None and self._layer.maps:
            parts = [one.view(self._layer.heads, *size) for (one, *_), size in self._parts()]
            self._maps = self._ready(padded(parts, *self._axes))
        return super().maps

    @property
    def attended(self) -> QueriesKeys:
        if self._layer.maps:
            raise ValueError(self._lacks("queries and keys", "queries_and_keys"))
        return super().attended

    @property
    def values(self) -> Tensor:
        if not self._layer.value_heads:
            raise ValueError(self._lacks("values", "queries_keys_and_values"))
        return super().values

    @property
    def projection(self) -> Tensor:
        raise ValueError(
            f"a cache holds no output projection, as of {self.path!r}: give the teacher itself"
        )

    def _lacks(self, vectors: str, what: str) -> str:
        return (
            f"the cache does not hold the {vectors} of {self.path!r}: build it with what={what!r}, "
            "if the teacher's can be seen, or compare maps"
        )

    def _parts(self) -> Iterator[tuple[Sequence[Tensor], list[int]]]:
        """Of each sample the numbers of its maps, or its queries and keys, and its values."""
        for sample in self._samples:
            size = sample.sizes[self._number]
            yield torch.split(sample.numbers(self._number), self._layer.sizes(*size)), size

    def _read_values(self) -> Tensor:
        heads, width = self._layer.value_heads, self._layer.value_width
        parts = [parts[-1].view(heads, size[1], width) for parts, size in self._parts()]
        return self._ready(padded(parts, self._axes[1]))

    def _read_attended(self) -> QueriesKeys:
        layer = self._layer
        queries, keys = [], []
        for parts, size in self._parts():
            queries.append(parts[0].view(layer.heads, size[0], layer.width))
            keys.append(parts[1].view(layer.key_heads, size[1], layer.width))
        masks, biases = zip(*(one.shared(self._number) for one in self._samples), strict=True)
        sinks = None
        if layer.sinks is not None:
            sinks = torch.tensor(layer.sinks, dtype=dtype_named(layer.dtype), device=self.device)
        return QueriesKeys(
            self._ready(padded(queries, self._axes[0])),
            self._ready(padded(keys, self._axes[1])),
            layer.scale,
            mask=self._mask(masks),
            bias=self._bias(biases),
            softcap=layer.softcap,
            sinks=sinks,
        )

    def _mask(self, masks: Sequence[Tensor | None]) -> Tensor | None:
        whole = all(
            sample.sizes[self._number] == [length for length, _ in self._axes]
            for sample in self._samples
        )
        if whole and all(mask is None for mask in masks):
            return None
        heads = max(1 if mask is None else mask.shape[0] for mask in masks)
        parts = [
            torch.ones(heads, *sample.sizes[self._number], dtype=torch.bool)
            if mask is None
            else mask.expand(heads, -1, -1)
            for mask, sample in zip(masks, self._samples, strict=True)
        ]
        return padded(parts, *self._axes).to(self.device)

    def _bias(self, biases: Sequence[Tensor | None]) -> Tensor | None:
        given = next((bias for bias in biases if bias is not None), None)
        if given is None:
            return None
        parts = [
            given.new_zeros(given.shape[0], *sample.sizes[self._number]) if bias is None else bias
            for bias, sample in zip(biases, self._samples, strict=True)
        ]
        return self._ready(padded(parts, *self._axes))

    def _ready(self, value: Tensor) -> Tensor:
        return value.to(self.device).to(dtype_named(self._layer.dtype))


def read_logits(
    layout: Layout, samples: list[Sample], padding: Padding
) -> tuple[Tensor | None, Tensor | None]:
    """Logits, and which tokens have them (``None``: all)."""
    stored = layout.logits
    if stored is None:
        return None, None
    last = len(layout.layers)
    rows = [sample.numbers(last).view(-1, stored.classes) for sample in samples]
    dtype = dtype_named(stored.dtype)
    if not stored.of_tokens:
        return torch.cat(rows).to(padding.device).to(dtype), None
    sizes = [len(row) for row in rows]
    axis = padding.axis(stored.padding, sizes, "the logits", of_logits=True)
    logits = padded([row[None] for row in rows], axis)[:, 0].to(padding.device).to(dtype)
    if all(size == axis[0] for size in sizes):
        return logits, None
    known = padded([row.new_ones(1, len(row), dtype=torch.bool) for row in rows], axis)[:, 0]
    return logits, known.to(padding.device)
