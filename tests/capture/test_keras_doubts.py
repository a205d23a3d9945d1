"""Attention of which it is hard to tell what is a head: it comes out right, or is refused."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

BACKEND = keras.config.backend()
pytest.importorskip(BACKEND)
pytestmark = pytest.mark.xdist_group(BACKEND)

from keras import ops  # noqa: E402

from amad_keras.capture import capture_attention  # noqa: E402
from amad_keras.capture.layer_attention import attention_maps  # noqa: E402
from tests.capture.test_keras_layouts import BothOf, Written, apart, by_heads  # noqa: E402

SIGNAL = np.sin(np.arange(3 * 6 * 8, dtype="float32")).reshape(3, 6, 8)
"""Three samples of six tokens; layers have two heads."""


def many_queries(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(ops.einsum("bqhd,bkd->bqhk", apart(q), k[..., :4]))
    return ops.einsum("bqhk,bkd->bqhd", maps, v), ops.transpose(maps, (0, 2, 1, 3))


def many_queries_heads_last(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(ops.einsum("bqhd,bkd->bqkh", apart(q), k[..., :4]), axis=2)
    return ops.einsum("bqkh,bkd->bqhd", maps, v), ops.transpose(maps, (0, 3, 1, 2))


def many_queries_spread(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(ops.matmul(apart(q), ops.swapaxes(k[:, None, :, :4], 2, 3)))
    return ops.matmul(maps, v[:, None]), ops.transpose(maps, (0, 2, 1, 3))


def of_heads_first(q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    maps = ops.softmax(ops.matmul(q, ops.swapaxes(k, 1, 2)) / 2.0)
    in_order = ops.transpose(ops.reshape(maps, (2, -1, *maps.shape[1:])), (1, 0, 2, 3))
    return ops.matmul(maps, v), in_order


def heads_joined_before_samples(layer: Any, *given: Any) -> tuple[Any, Any]:
    return of_heads_first(*(ops.concatenate(ops.split(one, 2, -1), 0) for one in given))


def heads_moved_before_samples(layer: Any, *given: Any) -> tuple[Any, Any]:
    moved = (ops.transpose(apart(one), (2, 0, 1, 3)) for one in given)
    return of_heads_first(*(ops.reshape(one, (-1, one.shape[2], 4)) for one in moved))


def windows(layer: Any, *given: Any) -> tuple[Any, Any]:
    q, k, v = (ops.transpose(ops.reshape(one, (-1, 3, 2, 2, 4)), (0, 1, 3, 2, 4)) for one in given)
    maps = ops.softmax(ops.matmul(q, ops.swapaxes(k, -1, -2)))
    return ops.matmul(maps, v), ops.reshape(maps, (-1, 2, 2, 2))


def efficient(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    features = ops.swapaxes(ops.softmax(by_heads(k), axis=2), 2, 3)
    return ops.matmul(ops.softmax(by_heads(q)), ops.matmul(features, by_heads(v))), None


def efficient_by_einsum(layer: Any, q: Any, k: Any, v: Any) -> tuple[Any, Any]:
    features = ops.softmax(by_heads(k), axis=2)
    met = ops.einsum("bhkd,bhke->bhde", features, by_heads(v))
    return ops.einsum("bhqd,bhde->bhqe", ops.elu(by_heads(q)), met), None


RIGHT: list[Callable[..., Any]] = [
    many_queries, many_queries_heads_last, many_queries_spread, heads_joined_before_samples,
    heads_moved_before_samples, windows,
]  # fmt: skip
MAPS_ONLY = (heads_joined_before_samples, heads_moved_before_samples)


@pytest.mark.thin(6 if BACKEND == "jax" else 1)
@pytest.mark.parametrize("is_graph", [False, True] if BACKEND == "tensorflow" else [False])
@pytest.mark.parametrize("form", RIGHT)
def test_heads_are_told_from_queries_samples_and_windows(form: Any, is_graph: bool) -> None:
    layer = Written(form)
    layer(SIGNAL)

    def run(given: Any) -> Any:
        with capture_attention(layer) as attention:
            layer(given)
        (one,) = attention.layers()
        assert one.kind == "self"
        assert one.knows_queries_and_keys == (form not in MAPS_ONLY)
        again = attention_maps(one.attended) if one.knows_queries_and_keys else one.maps
        return one.maps, again, layer.maps

    if is_graph:
        import tensorflow as tf

        run = tf.function(run, input_signature=[tf.TensorSpec((None, 6, 8))], autograph=False)
    *found, truth = map(ops.convert_to_numpy, run(ops.convert_to_tensor(SIGNAL)))
    for maps in found:
        assert maps.shape == truth.shape
        np.testing.assert_allclose(maps, truth, rtol=0, atol=5e-6)


@pytest.mark.thin(6 if BACKEND == "jax" else 1)
@pytest.mark.parametrize(
    ("form", "tokens", "heads", "words"),
    [
        (many_queries, 2, 2, "that of the heads cannot be told"),
        (many_queries, 6, None, "that of the heads cannot be told"),
        (many_queries_spread, 2, 2, "that of the heads cannot be told"),
        (windows, 6, None, "may be windows or heads"),
        (efficient, 6, 2, "over the features"),
        (efficient_by_einsum, 6, 2, "over the features"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(
    form: Any, tokens: int, heads: int | None, words: str
) -> None:
    layer = Written(form)
    layer.num_heads = heads
    whole, given = BothOf(layer), ops.convert_to_tensor(SIGNAL[:, :tokens])
    whole(given)
    with (
        pytest.warns(UserWarning, match=f"{layer.name}' was not captured.*{words}"),
        capture_attention(whole) as attention,
    ):
        whole(given)
    assert list(attention) == ["seen"]
    with pytest.raises(RuntimeError, match=words), capture_attention(layer):
        layer(given)
