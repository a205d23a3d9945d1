"""From a batch's tensors to one flat row of numbers for each sample, without its padding."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from amad_torch.cache.layout import CachedLayer, Layout, stored_tokens
from amad_torch.cache.teacher_output import TeacherOutput
from amad_torch.capture.layer_attention import LayerAttention
from amad_torch.padding import real_tokens
from amad_torch.streaming.queries_keys import attention_maps


@dataclass
class Packed:
    """The tensors of one shard.

    ``rows`` are flat, layer after layer, the logits last; ``sizes`` are the numbers of queries and
    keys of each layer, and of tokens with logits; ``shared`` are masks and biases, each once
    however many samples and layers have it, and ``uses`` which of them a layer has (-1: none).
    """

    dtype: torch.dtype
    names: list[str] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    sizes: list[list[list[int]]] = field(default_factory=list)
    uses: list[list[list[int]]] = field(default_factory=list)
    shared: list[Tensor] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    size: int = 0
    _known: dict[bytes, int] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """By the names that they have in the file."""
        return {
            "sizes": torch.tensor(self.sizes, dtype=torch.int32),
            "uses": torch.tensor(self.uses, dtype=torch.int32),
            **{f"sample/{number}": one for number, one in enumerate(self.rows)},
            **{f"shared/{number}": one for number, one in enumerate(self.shared)},
        }

    def add(
        self,
        output: TeacherOutput,
        layout: Layout,
        batch: Mapping[str, Any],
        names: Sequence[str],
        chosen: Sequence[int],
    ) -> None:
        """Samples ``chosen`` of a batch.

        Raises:
            ValueError: numbers that the dtype cannot hold, or that are not finite; padding that is
                attended to, which queries and keys without it would not tell.
        """
        rows: list[list[Tensor]] = [[] for _ in chosen]
        sizes: list[list[list[int]]] = [[] for _ in chosen]
        uses: list[list[list[int]]] = [[] for _ in chosen]
        layers = [] if output.attention is None else list(output.attention.values())
        for kept, layer in zip(layout.layers, layers, strict=True):
            axes = [
                _kept_tokens(batch, entry, length, f"{kept.path!r} attends", layer.device)
                for entry, length in zip((kept.queries, kept.keys), layer.shape[2:], strict=True)
            ]
            tensors = self._rounded(layer, kept, axes)
            for number, sample in enumerate(chosen):
                queries, keys = (axis[sample].nonzero()[:, 0] for axis in axes)
                sizes[number].append([len(queries), len(keys)])
                rows[number] += self._of_sample(tensors, kept, sample, queries, keys)
                uses[number].append(
                    [-1, -1]
                    if kept.maps
                    else self._mask_and_bias(layer, kept, sample, (queries, keys), axes[1][sample])
                )
        if layout.logits is not None and output.logits is not None:
            logits = self._as_dtype(output.logits.detach(), "the logits")
            tokens = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
            if layout.logits.of_tokens:
                tokens = _kept_tokens(
                    batch, layout.logits.padding, logits.shape[1], "logits are of", logits.device
                )
                if layout.logits.padding is not None:
                    tokens = stored_tokens(tokens)
            self._measure("logits", logits[tokens], output.logits[tokens])
            for number, sample in enumerate(chosen):
                row = logits[sample]
                row = row[tokens[sample]] if layout.logits.of_tokens else row
                sizes[number].append([len(row) if layout.logits.of_tokens else 1, 0])
                rows[number].append(row.reshape(-1))
        for number, sample in enumerate(chosen):
            flat = torch.cat(rows[number]).cpu() if rows[number] else torch.zeros(0)
            self.size += flat.numel() * flat.element_size()
            self.names.append(names[sample])
            self.rows.append(flat)
            self.sizes.append(sizes[number])
            self.uses.append(uses[number])

    def _rounded(
        self, layer: LayerAttention, kept: CachedLayer, axes: list[Tensor]
    ) -> list[Tensor]:
        """Maps, or queries and keys, and values, in the dtype; how far maps are off is kept."""
        what = f"the attention of {kept.path!r}"
        rounded = self._maps_or_vectors(layer, kept, axes, what)
        if kept.value_heads:
            rounded.append(self._as_dtype(layer.values.detach(), f"values of {kept.path!r}"))
        return rounded

    def _maps_or_vectors(
        self, layer: LayerAttention, kept: CachedLayer, axes: list[Tensor], what: str
    ) -> list[Tensor]:
        if kept.maps:
            maps = layer.maps.detach()
            rounded = [self._as_dtype(maps, what)]
            off = rounded[0]
        else:
            attended = layer.attended
            given = (attended.queries.detach(), attended.keys.detach())
            rounded = [self._as_dtype(one, what) for one in given]
            queries, keys = (one.to(given[0].dtype) for one in rounded)
            bias = attended.bias
            if bias is not None:
                bias = self._as_dtype(bias.detach(), what).to(bias.dtype)
            same = [torch.equal(*pair) for pair in zip((queries, keys), given, strict=True)]
            if bias is not None and attended.bias is not None:
                same.append(torch.equal(bias, attended.bias))
            if all(same):
                self._worst("maps", 0.0)
                return rounded
            maps = layer.maps.detach()
            off = attention_maps(replace(attended, queries=queries, keys=keys, bias=bias))
        counted = (axes[0][:, :, None] & axes[1][:, None, :])[:, None]
        self._measure("maps", off.where(counted, 0.0), maps.where(counted, 0.0))
        return rounded

    def _as_dtype(self, value: Tensor, what: str) -> Tensor:
        rounded = value.to(self.dtype)
        if not rounded.isfinite().all():
            if not value.isfinite().all():
                raise ValueError(f"{what} must be finite; the teacher gives NaN or infinity")
            raise ValueError(
                f"{what} reaches {float(value.abs().max()):.3g}, which {self.dtype} cannot hold; "
                "store the cache with dtype=torch.bfloat16 or torch.float32"
            )
        return rounded

    def _measure(self, name: str, rounded: Tensor, exact: Tensor) -> None:
        off = rounded.double() - exact.double()
        self._worst(name, float(off.abs().max()) if off.numel() else 0.0)

    def _worst(self, name: str, error: float) -> None:
        self.errors[name] = max(self.errors.get(name, 0.0), error)

    def _of_sample(
        self,
        tensors: list[Tensor],
        kept: CachedLayer,
        sample: int,
        queries: Tensor,
        keys: Tensor,
    ) -> list[Tensor]:
        if kept.maps:
            found = [tensors[0][sample][:, queries][:, :, keys]]
        else:
            found = [tensors[0][sample][:, queries], tensors[1][sample][:, keys]]
        if kept.value_heads:
            found.append(tensors[-1][sample][:, keys])
        return [one.reshape(-1) for one in found]

    def _mask_and_bias(
        self,
        layer: LayerAttention,
        kept: CachedLayer,
        sample: int,
        tokens: tuple[Tensor, Tensor],
        real: Tensor,
    ) -> list[int]:
        mask = _of_sample(layer.mask, sample, layer.shape)
        bias = _of_sample(layer.bias, sample, layer.shape)
        queries, keys = tokens
        seen = ~real if mask is None else mask[:, queries][:, :, ~real]
        if bool(seen.any()):
            raise ValueError(
                f"the attention of {kept.path!r} sees padding (where {kept.keys!r} is 0), which is "
                "not stored: its maps cannot follow from the other keys; cache what='maps', or "
                "keep_padding=True"
            )
        if mask is not None:
            mask = mask[:, queries][:, :, keys]
            in_empty_rows = layer.attended.in_empty_rows
            if len(keys) and math.isfinite(in_empty_rows) and not bool(mask.any(-1).all()):
                raise ValueError(
                    f"a token that counts sees no key in {kept.path!r}, which then attends evenly "
                    "to all, padding too: cache what='maps'"
                )
            mask = None if bool(mask.all()) else mask
        if bias is not None:
            bias = self._as_dtype(bias[:, queries][:, :, keys].detach(), f"bias of {kept.path!r}")
        return [self._share(mask), self._share(bias)]

    def _share(self, value: Tensor | None) -> int:
        if value is None:
            return -1
        value = value.cpu().contiguous()
        plain = value.reshape(-1).view(torch.uint8).numpy()
        key = hashlib.blake2b(
            plain.data, digest_size=16, key=f"{value.dtype}{list(value.shape)}".encode()
        ).digest()
        if key not in self._known:
            self._known[key] = len(self.shared)
            self.shared.append(value)
            self.size += value.numel() * value.element_size()
        return self._known[key]


def _kept_tokens(
    batch: Mapping[str, Any], entry: str | None, length: int, what: str, device: torch.device
) -> Tensor:
    """``[B, L]``, true where a token is stored."""
    samples = next(len(one) for one in batch.values() if isinstance(one, Tensor) and one.dim())
    if entry is None or entry not in batch:
        return torch.ones(samples, length, dtype=torch.bool, device=device)
    real = real_tokens(batch, entry)
    if real.shape[1] != length:
        raise ValueError(
            f"{what} {length} tokens where {entry!r} has {real.shape[1]}, though they agreed in "
            "the first batch: keep_padding=True stores padding too, for batches of one length"
        )
    return real.to(device)


def _of_sample(value: Tensor | None, sample: int, shape: Sequence[int]) -> Tensor | None:
    """``[H or 1, Q, K]`` of what is broadcastable to ``[B, H, Q, K]``."""
    if value is None:
        return None
    while value.dim() < 4:
        value = value[None]
    value = value[sample if value.shape[0] > 1 else 0]
    return value.expand(-1, shape[2], shape[3])
