"""What all samples of a cache have in common: settings, layers, logits; JSON beside each shard."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from amad_torch.cache.teacher_output import TeacherOutput
from amad_torch.padding import has_decoder, padding_entries, padding_entry

VERSION = 1
"""Of the format: raised with every change that an older reader would read wrongly."""

CONTENTS = ("maps", "queries_and_keys", "queries_keys_and_values")

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""In which a cache may be stored; a teacher's own may also be float64."""

_GIVEN = DTYPES | {"float64": torch.float64}


def dtype_name(dtype: torch.dtype) -> str:
    """``"float16"`` for ``torch.float16``."""
    return str(dtype).removeprefix("torch.")


def dtype_named(name: str) -> torch.dtype:
    """``torch.float16`` for ``"float16"``."""
    return _GIVEN[name]


@dataclass(frozen=True)
class CachedLayer:
    """What a layer's maps follow from, besides the numbers of each sample.

    Attributes:
        path, kind, scale, softcap, sinks: as in ``LayerAttention``.
        heads, key_heads, width: ``H``, ``Hk`` and ``d``; of maps ``H`` alone, others 0.
        value_heads, value_width: of values; 0 where they are not stored.
        dtype: in which the teacher gave it.
        maps: whether maps are stored; else queries and keys.
        queries, keys: the batch's entry by which padding of each axis is left out; ``None``: the
            whole axis is stored.
    """

    path: str
    kind: str
    heads: int
    key_heads: int
    width: int
    value_heads: int
    value_width: int
    dtype: str
    maps: bool
    scale: float
    softcap: float | None
    sinks: list[float] | None
    queries: str | None
    keys: str | None

    def size(self, queries: int, keys: int) -> int:
        """How many numbers a sample with so many tokens has."""
        return sum(self.sizes(queries, keys))

    def sizes(self, queries: int, keys: int) -> list[int]:
        """How many of them are maps, or queries and keys; and how many values."""
        values = self.value_heads * keys * self.value_width
        if self.maps:
            return [self.heads * queries * keys, values]
        return [self.heads * queries * self.width, self.key_heads * keys * self.width, values]


@dataclass(frozen=True)
class CachedLogits:
    """Logits ``[B, C]``, or of each token ``[B, L, C]``; ``padding`` as a layer's ``queries``."""

    classes: int
    dtype: str
    of_tokens: bool
    padding: str | None


@dataclass(frozen=True)
class Layout:
    """Everything in which shards of one cache agree."""

    teacher: str
    what: str
    dtype: str
    index: str | None
    named_by: list[str]
    modules: list[str] | None
    keep_padding: bool
    layers: list[CachedLayer]
    logits: CachedLogits | None
    wants_logits: bool
    version: int = VERSION

    def as_json(self) -> dict[str, Any]:
        """For ``json.dumps``."""
        return asdict(self)

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> "Layout":
        """The reverse of :meth:`as_json`.

        Raises:
            KeyError, TypeError: it is of something else.
        """
        logits = given["logits"]
        return Layout(
            **{
                **given,
                "layers": [CachedLayer(**layer) for layer in given["layers"]],
                "logits": None if logits is None else CachedLogits(**logits),
            }
        )


def difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    """In words, the first of the settings in which two layouts differ; ``None``: in none."""
    for name, value in expected.items():
        if found.get(name) != value:
            if name in ("layers", "logits"):
                return f"other {name}"
            return f"{name} is {found.get(name)!r}, not {value!r}"
    return None


def layers_of(
    output: TeacherOutput, batch: Mapping[str, Any], *, what: str, keep_padding: bool
) -> list[CachedLayer]:
    """How the layers of one batch are to be stored."""
    attention = output.attention
    if attention is None:
        return []
    behind_encoder = has_decoder(attention.values())
    found = []
    for layer in attention.values():
        entries = (None, None) if keep_padding else padding_entries(layer, batch, behind_encoder)
        only_maps = what == "maps" or not layer.knows_queries_and_keys
        source = layer.maps if only_maps else layer.queries
        values = layer.values.shape if what == CONTENTS[2] else (0, 0, 0, 0)
        sinks = None if only_maps or layer.sinks is None else layer.sinks.detach().float().tolist()
        found.append(
            CachedLayer(
                path=layer.path,
                kind=layer.kind,
                heads=source.shape[1],
                key_heads=0 if only_maps else layer.keys.shape[1],
                width=0 if only_maps else source.shape[-1],
                value_heads=values[1],
                value_width=values[3],
                dtype=dtype_name(source.dtype),
                maps=only_maps,
                scale=1.0 if only_maps else float(layer.scale),
                softcap=None if only_maps else layer.softcap,
                sinks=sinks,
                queries=entries[0],
                keys=entries[1],
            )
        )
    return found


def logits_as_stored(
    output: TeacherOutput, batch: Mapping[str, Any], *, keep_padding: bool
) -> CachedLogits | None:
    """How the logits of one batch are to be stored; ``None``: there are none."""
    logits = output.logits
    if logits is None:
        return None
    padding = None
    if logits.dim() == 3 and not keep_padding:
        layers = () if output.attention is None else output.attention.values()
        padding = padding_entry(batch, (logits.shape[0], logits.shape[1]), has_decoder(layers))
    return CachedLogits(logits.shape[-1], dtype_name(logits.dtype), logits.dim() == 3, padding)


def stored_tokens(real: Tensor) -> Tensor:
    """Tokens whose logits are stored: real ones, and those right before a real one, which in a
    causal model predict it."""
    before = real.roll(-1, dims=-1)
    before[..., -1] = False
    return real | before
