"""What Keras layers attend to, computed by hand in NumPy from their weights and arguments."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray
Given = Mapping[str, Any]


def softmax(scores: Array, seen: Array | None = None) -> Array:
    """Over the last axis; 0 in rows that see nothing."""
    scores = np.asarray(scores, np.float64)
    if seen is not None:
        scores = np.where(seen, scores, -np.inf)
    highest = scores.max(-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(highest), highest, 0.0))
    sums = powers.sum(-1, keepdims=True)
    return powers / np.where(sums == 0, 1.0, sums)


def dense(layer: Any, inputs: Array) -> Array:
    """A Dense or EinsumDense layer."""
    kernel = np.asarray(layer.kernel, np.float64)
    equation = getattr(layer, "equation", "...i,ij->...j")
    outputs = np.einsum(equation, np.asarray(inputs, np.float64), kernel)
    bias = getattr(layer, "bias", None)
    return outputs if bias is None else outputs + np.asarray(bias, np.float64)


def scores_of(queries: Array, keys: Array, scale: float) -> Array:
    """``[B, H, Q, K]`` of ``[B, L, H, d]``, keys repeated for groups of queries."""
    keys = np.repeat(keys, queries.shape[2] // keys.shape[2], axis=2)
    return np.einsum("bqhd,bkhd->bhqk", queries, keys) * scale


def seen_by(given: Given, queries: int, keys: int) -> Array:
    """``[B or 1, 1, Q, K]`` from the masks that a layer was called with."""
    seen = np.ones((1, queries, keys), bool)
    if given.get("attention_mask") is not None:
        seen = seen & np.asarray(given["attention_mask"]).astype(bool)
    for name, place in (("query_mask", np.s_[:, :, None]), ("value_mask", np.s_[:, None, :])):
        if given.get(name) is not None:
            seen = seen & np.asarray(given[name]).astype(bool)[place]
    if given.get("use_causal_mask"):
        seen = seen & np.tri(queries, keys, dtype=bool)
    return seen[:, None]


def rotated(vectors: Array, longest: float) -> Array:
    """Rotary positions of ``[B, L, H, d]``: cell ``i`` turns with cell ``i + d/2``."""
    length, width = vectors.shape[1], vectors.shape[-1]
    angles = np.arange(length)[:, None] * longest ** (-np.arange(0, width, 2) / width)
    sine, cosine = np.sin(angles)[None, :, None], np.cos(angles)[None, :, None]
    first, second = vectors[..., : width // 2], vectors[..., width // 2 :]
    return np.concatenate([first * cosine - second * sine, second * cosine + first * sine], -1)


def multi_head(layer: Any, given: Given) -> Array:
    """Keras's own, cached ones of KerasHub, and grouped queries."""
    key = given["value"] if given.get("key") is None else given["key"]
    queries, keys = dense(layer._query_dense, given["query"]), dense(layer._key_dense, key)
    seen = seen_by(given, queries.shape[1], keys.shape[1])
    return softmax(scores_of(queries, keys, queries.shape[-1] ** -0.5), seen)


def dot(layer: Any, given: Given) -> Array:
    """``keras.layers.Attention`` with its learned scale."""
    query, value, *key = (np.asarray(one, np.float64) for one in given["inputs"])
    scores = query @ (key[0] if key else value).swapaxes(-1, -2)
    if layer.scale is not None:
        scores = scores * float(layer.scale)
    return softmax(scores[:, None], seen_by(given, *scores.shape[1:]))


def additive(layer: Any, given: Given) -> Array:
    """``keras.layers.AdditiveAttention``."""
    query, value = (np.asarray(one, np.float64) for one in given["inputs"][:2])
    scale = 1.0 if layer.scale is None else np.asarray(layer.scale, np.float64)
    scores = (scale * np.tanh(query[:, :, None] + value[:, None])).sum(-1)
    return softmax(scores[:, None])


def rotary(query: str, key: str) -> Callable[[Any, Given], Array]:
    """Llama and its kind, whose projections have these names."""

    def truth(layer: Any, given: Given) -> Array:
        longest = getattr(layer, "rope_max_wavelength", 10000.0)
        queries, keys = (
            rotated(dense(getattr(layer, name), given["hidden_states"]), longest)
            for name in (query, key)
        )
        seen = np.asarray(given["attention_mask"]).astype(bool)[:, None]
        scores = scores_of(queries, keys, queries.shape[-1] ** -0.5)
        sinks = getattr(layer, "sinks", None)
        if sinks is None:
            return softmax(scores, seen)
        if layer.sliding_window:
            seen = seen & ~np.tri(*scores.shape[-2:], -layer.sliding_window - 1, dtype=bool)
        column = np.broadcast_to(np.asarray(sinks)[None, :, None, None], (*scores.shape[:3], 1))
        both = np.concatenate([np.where(seen, scores, -np.inf), column], -1)
        return softmax(both)[..., :-1]

    return truth


def gemma(layer: Any, given: Given) -> Array:
    """Soft cap, window; interleaving the halves of both vectors changes no product."""
    queries, keys = (
        rotated(dense(one, given["x"]), 10000.0) for one in (layer.query_dense, layer.key_dense)
    )
    width = (
        layer.head_dim if layer.query_head_dim_normalize else layer.hidden_dim // queries.shape[2]
    )
    scores = scores_of(queries, keys, width**-0.5)
    if layer.logit_soft_cap is not None:
        scores = layer.logit_soft_cap * np.tanh(scores / layer.logit_soft_cap)
    seen = np.asarray(given["attention_mask"]).astype(bool)[:, None]
    if layer.use_sliding_window_attention:
        distance = np.arange(seen.shape[-1]) - np.arange(seen.shape[-2])[:, None]
        seen = seen & (abs(distance) < layer.sliding_window_size)
    return softmax(scores, seen)


def bloom(layer: Any, given: Given) -> Array:
    """Linear biases (alibi)."""
    queries, keys = (
        dense(one, given["hidden_states"]) for one in (layer._query_dense, layer._key_dense)
    )
    heads, length = queries.shape[2], keys.shape[1]
    slopes = 2.0 ** (-8 * np.arange(1, heads + 1) / heads)
    scores = scores_of(queries, keys, queries.shape[-1] ** -0.5)
    scores = scores + slopes[None, :, None, None] * np.arange(1 - length, 1)
    return softmax(scores, np.asarray(given["attention_mask"]).astype(bool)[:, None])


def bucket(distance: int, both_ways: bool, buckets: int, farthest: int) -> int:
    """The bucket of T5 for ``key position - query position``."""
    first = 0
    if both_ways:
        buckets //= 2
        first, distance = (buckets if distance > 0 else 0), abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    growth = math.log(distance / exact) / math.log(farthest / exact) * (buckets - exact)
    return first + min(exact + int(growth), buckets - 1)


class T5:
    """No scale; the first layer of a stack has the relative biases of all."""

    def __init__(self) -> None:
        self.bias: dict[bool, Array] = {}

    def __call__(self, layer: Any, given: Given) -> Array:
        hidden, other = given["hidden_states"], given.get("key_value_states")
        other = hidden if other is None else other
        queries, keys = dense(layer.query_projector, hidden), dense(layer.key_projector, other)
        queries, keys = (
            one.reshape(*one.shape[:2], layer.num_heads, layer.key_value_dim)
            for one in (queries, keys)
        )
        scores = scores_of(queries, keys, 1.0)
        if layer.use_relative_attention_bias:
            table = np.asarray(layer.relative_attention_bias, np.float64)
            sizes = layer.relative_attention_buckets, layer.relative_attention_max_distance
            rows = [
                [table[bucket(k - q, not layer.is_decoder, *sizes)] for k in range(keys.shape[1])]
                for q in range(queries.shape[1])
            ]
            self.bias[layer.is_decoder] = np.moveaxis(np.array(rows), -1, 0)[None]
        mask = given.get("mask")
        if given.get("key_value_states") is None:
            scores = scores + self.bias[layer.is_decoder]
            if given.get("position_bias") is not None:  # of the first layer, with its mask in it
                mask = np.asarray(given["position_bias"])[:, 0] > -1e8
        return softmax(scores, None if mask is None else np.asarray(mask).astype(bool)[:, None])


def swin(layer: Any, given: Given) -> Array:
    """Windows, relative biases, and a mask of shifted windows."""
    qkv = dense(layer.qkv, given["x"])
    windows, cells, _ = qkv.shape
    qkv = qkv.reshape(windows, cells, 3, layer.num_heads, -1)
    scores = scores_of(qkv[:, :, 0], qkv[:, :, 1], layer.scale)
    table = np.asarray(layer.relative_position_bias_table, np.float64)
    scores = scores + np.moveaxis(table[np.asarray(layer.relative_position_index)], -1, 0)
    if given.get("mask") is not None:
        mask = np.asarray(given["mask"], np.float64)
        scores = scores + np.tile(mask, (windows // len(mask), 1, 1))[:, None]
    return softmax(scores)


TRUTHS: Mapping[str, Callable[[], Callable[[Any, Given], Array]]] = {
    "MultiHeadAttention": lambda: multi_head,
    "GroupedQueryAttention": lambda: multi_head,
    "CachedMultiHeadAttention": lambda: multi_head,
    "WhisperCachedMultiHeadAttention": lambda: multi_head,
    "Attention": lambda: dot,
    "AdditiveAttention": lambda: additive,
    "LlamaAttention": lambda: rotary("_query_dense", "_key_dense"),
    "CachedMistralAttention": lambda: rotary("_query_dense", "_key_dense"),
    "GptOssAttention": lambda: rotary("query_dense", "key_dense"),
    "CachedGemmaAttention": lambda: gemma,
    "BloomAttention": lambda: bloom,
    "T5MultiHeadAttention": T5,
    "WindowAttention": lambda: swin,
}
"""By the class of the layer: the truth, with what it has to remember from layer to layer."""
