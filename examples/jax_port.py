"""AMAD in JAX: every variant, with gradients, under ``jit``. Checked with ``amad verify``."""

import jax
import jax.numpy as jnp


def amad_loss(
    *,
    teacher,
    student,
    variant="mse",
    temperature=1.0,
    reduction="mean",
    mask=None,
    eps=0.0,
    weight=None,
    bias=None,
):
    """Loss of maps ``[B, Ht, Q, K]``, ``[B, Hs, Q, K]``; equations: docs/specification.md."""
    batch, _, queries, keys = student.shape
    dtype = jnp.promote_types(jnp.result_type(teacher, student), jnp.float32)
    mask = jnp.broadcast_to(True if mask is None else mask, (batch, queries, keys))[:, None]
    maps = (jax.lax.stop_gradient(teacher), student)
    teacher, student = (as_heads(jnp.where(mask, m.astype(dtype), 0), variant) for m in maps)
    if variant == "projected":  # eq. 10
        affine = matmul(unit(student, 1), weight.T) + bias
        student = jnp.where(as_heads(mask, variant), jax.nn.relu(affine), 0)
    cosines = matmul(unit(teacher, 2), unit(student, 2).mT)
    weights = jax.nn.softmax(cosines / temperature, axis=-1)  # eq. 2: over student heads
    norm = 2 if variant == "mse" else 1
    floor = max(eps, float(jnp.finfo(dtype).tiny))
    terms = divergence(unit(teacher, norm), matmul(weights, unit(student, norm)), variant, floor)
    losses = terms.reshape(batch, -1).sum(axis=1)  # eq. 5: over heads, rows and cells
    return losses if reduction == "none" else getattr(losses, reduction)()


def as_heads(maps, variant):  # [B, H, n]; in eq. 12 one row is compared at a time: [B, Q, H, K]
    return maps.swapaxes(1, 2) if variant == "token" else maps.reshape(*maps.shape[:2], -1)


def unit(heads, norm):  # 0, and without gradient, where a head is all zeros
    largest = jax.lax.stop_gradient(heads.max(axis=-1, keepdims=True))
    heads = jnp.where(largest > 0, heads, 0) / jnp.where(largest > 0, largest, 1)  # squares fit
    total = jnp.where(largest > 0, (heads**norm).sum(axis=-1, keepdims=True), 1)
    return heads / total ** (1 / norm)


def divergence(p, m, variant, floor):  # cell by cell: eq. 4, eq. 9, Jensen-Shannon
    if variant == "mse":
        return (p - m) ** 2
    other = (p + m) / 2 if variant == "js" else m
    log_other = jnp.log(jnp.maximum(other, floor))
    from_teacher = p * (jnp.log(jnp.where(p > 0, p, 1)) - log_other)
    from_student = m * (jnp.log(jnp.maximum(m, floor)) - log_other)
    return (from_teacher + from_student) / 2 if variant == "js" else from_teacher


matmul = jax.tree_util.Partial(jnp.matmul, precision="highest")  # never in TF32 or bfloat16
