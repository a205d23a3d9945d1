"""Families of Keras models, each from a small random configuration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

IDS = np.array([[5, 9, 14, 3, 22, 8, 31], [12, 4, 7, 30, 0, 0, 0]], "int32")
REAL = (IDS > 0).astype("int32")
TEXT = {"token_ids": IDS, "padding_mask": REAL}
BOTH = {
    "encoder_token_ids": IDS,
    "encoder_padding_mask": REAL,
    "decoder_token_ids": IDS[:, :5],
    "decoder_padding_mask": REAL[:, :5],
}
SIGNAL = np.sin(np.arange(2 * 6 * 8, dtype="float32")).reshape(2, 6, 8)
OTHER = np.cos(np.arange(2 * 4 * 8, dtype="float32") * 1.7).reshape(2, 4, 8)
IMAGE = np.sin(np.arange(2 * 32 * 32 * 3, dtype="float32")).reshape(2, 32, 32, 3)
SIZES = {"vocabulary_size": 60, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 20}
ONE = SIZES | {"num_layers": 1}
GROUPED = {"num_query_heads": 4, "num_key_value_heads": 2}


@dataclass(frozen=True)
class Family:
    """A model to build, and what to give it.

    Attributes:
        make: builds the model under a seed.
        inputs: what the model is called with.
        kinds: first letters, ``"s"`` or ``"c"``, in the order of the calls.
        how: what computes its attention, for the table in the documentation.
        knows: whether its queries and keys can be followed.
    """

    make: Callable[[], keras.Model]
    inputs: Any
    kinds: str
    how: str
    knows: bool = True


def _hub(name: str, inputs: Any, kinds: str, how: str, **settings: Any) -> Family:
    def make() -> keras.Model:
        import keras_hub

        return getattr(keras_hub.models, f"{name}Backbone")(**settings)

    return Family(make, inputs, kinds, how)


def _siglip() -> keras.Model:
    from keras_hub import models

    sizes = {"num_layers": 1, "num_heads": 4, "hidden_dim": 16, "intermediate_dim": 20}
    sees = models.SigLIPVisionEncoder(patch_size=8, image_shape=(32, 32, 3), **sizes)
    reads = models.SigLIPTextEncoder(
        vocabulary_size=60, embedding_dim=16, max_sequence_length=IDS.shape[1], **sizes
    )
    return models.SigLIPBackbone(sees, reads)


def _functional(build: Callable[..., Any], *inputs: Any) -> Callable[[], keras.Model]:
    def make() -> keras.Model:
        given = [keras.Input(one.shape[1:], dtype=str(one.dtype)) for one in inputs]
        return keras.Model(given if len(given) > 1 else given[0], build(*given))

    return make


def _masked(tokens: Any) -> Any:
    hidden = keras.layers.Embedding(60, 8, mask_zero=True)(tokens)
    return keras.layers.MultiHeadAttention(2, 4, dropout=0.2)(hidden, hidden)


def _scaled(signal: Any) -> Any:
    query, key = keras.layers.Dense(4)(signal), keras.layers.Dense(4)(signal)
    return keras.layers.Attention(use_scale=True, dropout=0.2)(
        [query, signal, key], use_causal_mask=True
    )


@keras.saving.register_keras_serializable(package="tests")
class ByHand(keras.layers.Layer):
    """Attention as people write it, with what they add to it."""

    def __init__(self, heads: int = 2, *, cross: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.heads, self.cross = heads, cross
        self.qkv = [keras.layers.Dense(8, name=name) for name in ("q", "k", "v")]
        self.dropout = keras.layers.Dropout(0.3)
        self.kept: Any = None

    def split(self, layer: Any, states: Any) -> Any:
        ops = keras.ops
        states = layer(states)
        shape = (-1, ops.shape(states)[1], self.heads, 8 // self.heads)
        return ops.transpose(ops.reshape(states, shape), (0, 2, 1, 3))

    def call(self, states: Any, context: Any = None, training: bool | None = None) -> Any:
        ops = keras.ops
        q, k, v = (
            self.split(layer, states if layer is self.qkv[0] or context is None else context)
            for layer in self.qkv
        )
        scores = ops.matmul(q, ops.swapaxes(k, -1, -2)) / np.sqrt(8 / self.heads)
        slopes = ops.convert_to_tensor(np.array([[[0.5]], [[0.25]]], "float32"))
        scores = scores + slopes * ops.arange(ops.shape(scores)[-1], dtype="float32")
        if context is None:
            ones = ops.ones_like(scores[0, 0])
            scores = ops.where(ops.tril(ones) > 0, scores, -1e9)
        self.kept = ops.softmax(scores)
        mixed = ops.matmul(self.dropout(self.kept, training=training), v)
        return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, ops.shape(states)[1], 8))


class TalkingHeads(keras.layers.Layer):
    """Plain TensorFlow; heads are mixed after the softmax, samples and heads are one axis."""

    def build(self, shape: Any) -> None:
        self.num_heads = 2
        self.mixing = self.add_weight(shape=(2, 2), name="mixing")
        self.projections = [
            self.add_weight(shape=(shape[-1], 8), name=name) for name in ("q", "k", "v")
        ]
        self.kept: Any = None

    def call(self, states: Any) -> Any:
        import tensorflow as tf

        batch, length = tf.shape(states)[0], tf.shape(states)[1]

        def split(weight: Any) -> Any:
            heads = tf.reshape(tf.tensordot(states, weight, 1), [batch, length, 2, 4])
            return tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [-1, length, 4])

        q, k, v = map(split, self.projections)
        self.kept = tf.nn.softmax(0.5 * tf.matmul(q, k, transpose_b=True))
        maps = tf.reshape(self.kept, [batch, 2, length, length])
        maps = tf.einsum("bhqk,hg->bgqk", maps, tf.convert_to_tensor(self.mixing))
        return tf.einsum("bhqk,bhkd->bhqd", maps, tf.reshape(v, [batch, 2, length, 4]))


class Subclassed(keras.Model):
    """A model without symbolic inputs, of self- and cross-attention by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = ByHand(name="attend")
        self.look = ByHand(name="look", cross=True)

    def call(self, given: Any, training: bool | None = None) -> Any:
        states, context = given
        states = states + self.attend(states, training=training)
        return self.look(states, context, training=training)


def kept_truth(model: keras.Model) -> list[Any]:
    """What layers written by hand have kept of their own softmax."""
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "kept")]
    return [keras.ops.convert_to_numpy(layer.kept) for layer in layers]


def _attention(*shape: Any, **options: Any) -> Any:
    return keras.layers.MultiHeadAttention(2, 4, **options)


FAMILIES: dict[str, Family] = {
    "MultiHeadAttention, causal": Family(
        _functional(lambda x: _attention()(x, x, use_causal_mask=True), SIGNAL),
        SIGNAL, "s", "fused",
    ),
    "MultiHeadAttention, dropout, Keras mask": Family(
        _functional(_masked, IDS), IDS, "s", "scores"
    ),
    "MultiHeadAttention, cross": Family(
        _functional(lambda x, y: _attention()(x, y), SIGNAL, OTHER), [SIGNAL, OTHER], "c", "fused"
    ),
    "GroupQueryAttention": Family(
        _functional(lambda x: keras.layers.GroupQueryAttention(4, 4, 2)(x, x), SIGNAL),
        SIGNAL, "s", "fused",
    ),
    "Attention, learned scale": Family(_functional(_scaled, SIGNAL), SIGNAL, "s", "scores"),
    "AdditiveAttention": Family(
        _functional(lambda x, y: keras.layers.AdditiveAttention()([x, y]), SIGNAL, OTHER),
        [SIGNAL, OTHER], "c", "scores", knows=False,
    ),
    "KerasHub BERT": _hub(
        "Bert", TEXT | {"segment_ids": 0 * IDS}, "ss", "scores", **SIZES, num_heads=4
    ),
    "KerasHub RoBERTa": _hub("Roberta", TEXT, "s", "scores", **ONE, num_heads=4),
    "KerasHub DistilBERT": _hub("DistilBert", TEXT, "s", "scores", **ONE, num_heads=4),
    "KerasHub ALBERT": _hub(
        "Albert", TEXT | {"segment_ids": 0 * IDS}, "ss", "fused", **SIZES, num_heads=4,
        embedding_dim=8,
    ),
    "KerasHub ViT": _hub(
        "ViT", IMAGE, "ss", "fused", image_shape=(32, 32, 3), patch_size=(8, 8), num_layers=2,
        num_heads=4, hidden_dim=16, mlp_dim=20,
    ),
    "KerasHub Swin": _hub(
        "SwinTransformer", IMAGE, "ss", "scores", image_shape=(32, 32, 3), embed_dim=8,
        depths=(2,), num_heads=(2,), window_size=2, patch_size=4,
    ),
    "KerasHub SigLIP, pooled by attention": Family(
        _siglip, {"images": IMAGE, "token_ids": IDS}, "scs", "fused"
    ),
    "KerasHub T5": _hub("T5", BOTH, "ssscsc", "scores", **SIZES, num_heads=4),
    "KerasHub BART": _hub("Bart", BOTH, "ssc", "scores", **ONE, num_heads=4),
    "KerasHub Whisper": _hub(
        "Whisper",
        {
            "encoder_features": np.sin(np.arange(2 * 8 * 5, dtype="float32")).reshape(2, 8, 5),
            "decoder_token_ids": IDS, "decoder_padding_mask": REAL,
        },
        "ssc", "fused", **ONE, num_heads=4, num_mels=5,
        max_encoder_sequence_length=8, max_decoder_sequence_length=8,
    ),
    "KerasHub GPT-2": _hub("GPT2", TEXT, "ss", "scores", **SIZES, num_heads=4),
    "KerasHub OPT": _hub("OPT", TEXT, "s", "fused", **ONE, num_heads=4, dropout=0.0),
    "KerasHub BLOOM": _hub("Bloom", TEXT, "s", "scores, alibi", **ONE, num_heads=4),
    "KerasHub Llama": _hub("Llama", TEXT, "ss", "fused, grouped", **SIZES, **GROUPED),
    "KerasHub Mistral": _hub(
        "Mistral", TEXT, "s", "fused, window", **ONE, **GROUPED, sliding_window=3
    ),
    "KerasHub Gemma": _hub("Gemma", TEXT, "ss", "scores, grouped", **SIZES, **GROUPED, head_dim=8),
    "KerasHub Gemma 2": _hub(
        "Gemma", TEXT, "ss", "scores, soft cap, window", **SIZES, **GROUPED, head_dim=8,
        attention_logit_soft_cap=2.0, use_sliding_window_attention=True, sliding_window_size=3,
    ),
    "KerasHub GPT-OSS": _hub(
        "GptOss", TEXT, "ss", "scores, sinks", **SIZES, **GROUPED, num_experts=2, top_k=1,
        sliding_window=3,
    ),
    "by hand: subclassed, alibi, cross": Family(
        Subclassed, [SIGNAL, OTHER], "sc", "`keras.ops.softmax`"
    ),
    "by hand: TensorFlow, talking heads": Family(
        _functional(lambda x: TalkingHeads()(x), SIGNAL), SIGNAL, "s", "`tf.nn.softmax`"
    ),
}  # fmt: skip
"""``how``: by the fused op, ``keras.ops.dot_product_attention``, or from explicit scores."""
