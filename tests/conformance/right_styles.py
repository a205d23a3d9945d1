"""Right ports in other people's styles, and how each is to be judged.

Frameworks are imported where they are used, so that the tests of one need no other.
"""

from typing import Any, NamedTuple


class Style(NamedTuple):
    """A port and the options of ``check_port`` that fit it."""

    port: Any
    framework: str
    options: dict[str, Any]


def kl_div_attached(student_attn, teacher_attn):
    """As most repositories have it: the caller detaches, batchmean."""
    import torch
    from torch.nn import functional

    t, s = teacher_attn.flatten(2), student_attn.flatten(2)
    weights = (functional.normalize(t, dim=-1) @ functional.normalize(s, dim=-1).mT).softmax(-1)
    t, s = t / t.sum(-1, keepdim=True), s / s.sum(-1, keepdim=True)
    mixture = (weights @ s).clamp_min(torch.finfo(s.dtype).tiny)
    return functional.kl_div(mixture.log(), t, reduction="batchmean")


def log_targets(teacher, student):
    import torch
    from torch.nn import functional

    t, s = teacher.detach().flatten(2), student.flatten(2)
    weights = functional.cosine_similarity(t[:, :, None], s[:, None], dim=-1).softmax(-1)
    t, s = functional.normalize(t, p=1, dim=-1), functional.normalize(s, p=1, dim=-1)
    tiny = torch.finfo(s.dtype).tiny
    logs = (weights @ s).clamp_min(tiny).log(), t.clamp_min(tiny).log()
    return functional.kl_div(*logs, reduction="none", log_target=True).sum((1, 2)).mean()


def widened(teacher, student):
    """Half precision is widened first, whatever comes."""
    import torch

    dtype = torch.promote_types(student.dtype, torch.float32)
    t, s = teacher.detach().to(dtype).flatten(2), student.to(dtype).flatten(2)
    t2, s2 = (maps / maps.square().sum(-1, keepdim=True).sqrt() for maps in (t, s))
    weights = torch.softmax(torch.einsum("bin,bjn->bij", t2, s2), dim=-1)
    t, s = t / t.sum(-1, keepdim=True), s / s.sum(-1, keepdim=True)
    mixture = torch.einsum("bij,bjn->bin", weights, s)
    holds = t > 0
    ratio = torch.where(holds, t, 1.0) / torch.where(holds, mixture, 1.0)
    return (t * ratio.log()).sum((1, 2)).mean()


def sample_by_sample(teacher, student):
    """vmap over the batch."""
    import torch

    def one(t, s):
        t, s = t.flatten(1), s.flatten(1)
        t, s = (maps / maps.norm(dim=1, keepdim=True) for maps in (t, s))
        return (t - (t @ s.T).softmax(1) @ s).square().sum()

    return torch.vmap(one)(teacher.detach(), student).mean()


def loops(teacher, student):
    """Plain loops, squares expanded."""
    total = 0.0
    for t, s in zip(teacher.detach(), student, strict=True):
        heads = [head / head.norm() for head in s]
        for head in t:
            target = head / head.norm()
            exponents = [(target * other).sum().exp() for other in heads]
            weights = [exponent / sum(exponents) for exponent in exponents]
            mixture = sum(weight * other for weight, other in zip(weights, heads, strict=True))
            total = total + 1 - 2 * (target * mixture).sum() + mixture.square().sum()
    return total / len(student)


def list_of_layers(student_maps, teacher_maps):
    return sum(
        kl_div_attached(student, teacher.detach())
        for student, teacher in zip(student_maps, teacher_maps, strict=True)
    )


def token_mask(teacher, student, attention_mask):
    """The tokenizer's mask, ``[B, K]`` integers."""
    import torch

    real = attention_mask.bool()
    cells = (real[:, :, None] & real[:, None, :])[:, None]
    teacher, student = (torch.where(cells, maps, 0.0) for maps in (teacher, student))
    return log_targets(teacher, student)


def additive_mask(teacher, student, mask):
    """``[B, 1, 1, K]``, 0 where a token counts."""
    import torch

    real = mask == 0
    cells = real & real.transpose(-1, -2)
    teacher, student = (torch.where(cells, maps, 0.0) for maps in (teacher, student))
    return log_targets(teacher, student)


def jensen_shannon(teacher, student, temperature=1.0):
    import torch
    from torch.nn import functional

    t, s = teacher.detach().flatten(2), student.flatten(2)
    weights = (
        functional.normalize(t, dim=-1) @ functional.normalize(s, dim=-1).mT / temperature
    ).softmax(-1)
    p, m = functional.normalize(t, p=1, dim=-1), weights @ functional.normalize(s, p=1, dim=-1)
    tiny = torch.finfo(m.dtype).tiny

    def entropy(values):
        return -(values * values.clamp_min(tiny).log()).sum(-1)

    return (entropy((p + m) / 2) - (entropy(p) + entropy(m)) / 2).sum(1).mean()


def rows(teacher, student):
    """The token variant, rows first, entropy and cross-entropy apart."""
    import torch
    from torch.nn import functional

    t, s = teacher.detach().transpose(1, 2), student.transpose(1, 2)
    weights = (functional.normalize(t, dim=-1) @ functional.normalize(s, dim=-1).mT).softmax(-1)
    t, s = functional.normalize(t, p=1, dim=-1), functional.normalize(s, p=1, dim=-1)
    mixture = (weights @ s).clamp_min(torch.finfo(s.dtype).tiny)
    return (torch.special.xlogy(t, t) - t * mixture.log()).sum((1, 2, 3)).mean()


def numpy_log_ratio(teacher, student):
    """With scipy's relative entropy, which knows no half precision."""
    import numpy as np
    from scipy.special import rel_entr

    t, s = (maps.reshape(*maps.shape[:2], -1) for maps in (teacher, student))
    t2, s2 = (maps / np.sqrt((maps**2).sum(-1, keepdims=True)) for maps in (t, s))
    weights = np.exp(np.einsum("bin,bjn->bij", t2, s2))
    weights /= weights.sum(-1, keepdims=True)
    t, s = (maps / maps.sum(-1, keepdims=True) for maps in (t, s))
    return np.mean(np.sum(rel_entr(t, weights @ s), axis=(1, 2)))


def tensorflow_xlogy(teacher, student):
    import tensorflow as tf

    t, s = (
        tf.reshape(maps, [tf.shape(maps)[0], tf.shape(maps)[1], -1])
        for maps in (tf.stop_gradient(teacher), student)
    )
    cosine = tf.matmul(tf.nn.l2_normalize(t, -1), tf.nn.l2_normalize(s, -1), transpose_b=True)
    t, s = (maps / tf.reduce_sum(maps, -1, keepdims=True) for maps in (t, s))
    mixture = tf.nn.softmax(cosine, -1) @ s
    terms = tf.math.xlogy(t, t) - tf.math.xlogy(t, mixture)
    return tf.reduce_mean(tf.reduce_sum(terms, [1, 2]))


def tensorflow_function():
    """Compiled, with einsum."""
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def loss(teacher, student):
        t, s = (maps / tf.norm(maps, axis=[2, 3], keepdims=True) for maps in (teacher, student))
        weights = tf.nn.softmax(tf.einsum("biqk,bjqk->bij", t, s), axis=-1)
        distance = tf.math.squared_difference(t, tf.einsum("bij,bjqk->biqk", weights, s))
        return tf.reduce_sum(distance) / tf.cast(tf.shape(t)[0], t.dtype)

    return loss


def jax_einsum(teacher, student):
    import jax
    import jax.numpy as jnp

    t, s = (
        maps / jnp.sqrt(jnp.sum(maps**2, axis=(2, 3), keepdims=True))
        for maps in (jax.lax.stop_gradient(teacher), student)
    )
    weights = jax.nn.softmax(jnp.einsum("biqk,bjqk->bij", t, s))
    return jnp.sum((t - jnp.einsum("bij,bjqk->biqk", weights, s)) ** 2) / len(t)


def jax_compiled():
    """jit over vmap, relative entropy."""
    import jax
    import jax.numpy as jnp

    def one(t, s):
        t, s = t.reshape(len(t), -1), s.reshape(len(s), -1)
        t2, s2 = (maps / jnp.linalg.norm(maps, axis=-1, keepdims=True) for maps in (t, s))
        t, s = (maps / maps.sum(-1, keepdims=True) for maps in (t, s))
        return jax.scipy.special.rel_entr(t, jax.nn.softmax(t2 @ s2.T) @ s).sum()

    return jax.jit(lambda teacher, student: jax.vmap(one)(teacher, student).mean())


def keras_loss():
    """A Keras loss of (y_true, y_pred)."""
    import keras
    from keras import ops

    class AlignmentLoss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            t, s = (
                ops.reshape(maps, (maps.shape[0], maps.shape[1], -1)) for maps in (y_true, y_pred)
            )
            t, s = (maps / ops.norm(maps, axis=-1, keepdims=True) for maps in (t, s))
            weights = ops.softmax(ops.matmul(t, ops.swapaxes(s, 1, 2)), axis=-1)
            return ops.sum(ops.square(t - ops.matmul(weights, s)), axis=(1, 2))

    return AlignmentLoss(reduction=None, dtype=keras.config.floatx())


class TorchModule:
    """Builds an ``nn.Module`` that returns a dictionary."""

    def __new__(cls):
        import torch

        class Loss(torch.nn.Module):
            def forward(self, teacher, student):
                return {"loss": widened(teacher, student), "other": 0.0}

        return Loss()


def narrowed_at_the_end(teacher, student):
    return widened(teacher, student).to(student.dtype)


STYLES = {
    "kl_div, attached": Style(kl_div_attached, "torch", {"variant": "kl"}),
    "log_target": Style(log_targets, "torch", {"variant": "kl"}),
    "widened": Style(widened, "torch", {"variant": "kl"}),
    "narrowed at the end": Style(narrowed_at_the_end, "torch", {"variant": "kl"}),
    "vmap": Style(sample_by_sample, "torch", {}),
    "loops": Style(loops, "torch", {}),
    "lists": Style(list_of_layers, "torch", {"variant": "kl", "layers": True}),
    "token mask": Style(
        token_mask, "torch", {"variant": "kl", "names": {"mask": "attention_mask"}}
    ),
    "additive mask": Style(additive_mask, "torch", {"variant": "kl", "mask_form": "B11K:additive"}),
    "js": Style(jensen_shannon, "torch", {"variant": "js"}),
    "token": Style(rows, "torch", {"variant": "token"}),
    "module": Style(TorchModule, "torch", {"variant": "kl", "output": "loss"}),
    "rel_entr": Style(numpy_log_ratio, "numpy", {"variant": "kl"}),
    "tf xlogy": Style(tensorflow_xlogy, "tensorflow", {"variant": "kl"}),
    "tf.function": Style(tensorflow_function, "tensorflow", {}),
    "keras loss": Style(
        keras_loss,
        "tensorflow",
        {"reduction": "none", "names": {"teacher": "y_true", "student": "y_pred"}},
    ),
    "jax einsum": Style(jax_einsum, "jax", {}),
    "jit": Style(jax_compiled, "jax", {"variant": "kl"}),
}

BUILT = (TorchModule, tensorflow_function, keras_loss, jax_compiled)
"""Those that are called to get the port."""
