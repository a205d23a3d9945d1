"""AMAD in ``keras.ops``: runs on TensorFlow, PyTorch and JAX. Checked with ``amad verify``."""

from keras import backend, ops


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
    batch, _, queries, keys = ops.shape(student)
    dtype = backend.result_type(student.dtype, "float32")  # float64 on TensorFlow alone
    maps = [ops.cast(m, dtype) for m in (teacher, student)]
    mask = ops.broadcast_to(True if mask is None else mask, (batch, queries, keys))[:, None]
    teacher, student = (as_heads(ops.where(mask, m, 0.0), variant) for m in maps)
    teacher = ops.stop_gradient(teacher)
    if variant == "projected":  # eq. 10
        affine = ops.matmul(unit(student, 1), ops.transpose(weight)) + bias
        student = ops.where(as_heads(mask, variant), ops.relu(affine), 0.0)
    cosines = ops.matmul(unit(teacher, 2), ops.swapaxes(unit(student, 2), -1, -2))
    weights = ops.softmax(cosines / temperature, axis=-1)  # eq. 2: over student heads
    norm = 2 if variant == "mse" else 1
    mixture = ops.matmul(weights, unit(student, norm))
    floor = max(eps, 2.0**-1022 if dtype == "float64" else 2.0**-126)  # smallest normal number
    terms = divergence(unit(teacher, norm), mixture, variant, floor)
    losses = ops.sum(ops.reshape(terms, (batch, -1)), axis=1)  # eq. 5: heads, rows and cells
    return {"none": ops.copy, "sum": ops.sum, "mean": ops.mean}[reduction](losses)


def as_heads(maps, variant):  # [B, H, n]; in eq. 12 one row is compared at a time: [B, Q, H, K]
    batch, heads, queries, keys = ops.shape(maps)
    whole = ops.reshape(maps, (batch, heads, queries * keys))
    return ops.swapaxes(maps, 1, 2) if variant == "token" else whole


def unit(heads, norm):  # 0, and without gradient, where a head is all zeros
    largest = ops.stop_gradient(ops.max(heads, axis=-1, keepdims=True))
    heads = ops.where(largest > 0, heads, 0.0) / ops.where(largest > 0, largest, 1.0)
    total = ops.where(largest > 0, ops.sum(heads**norm, axis=-1, keepdims=True), 1.0)
    return heads / (ops.sqrt(total) if norm == 2 else total)


def divergence(p, m, variant, floor):  # cell by cell: eq. 4, eq. 9, Jensen-Shannon
    if variant == "mse":
        return (p - m) ** 2
    other = (p + m) / 2 if variant == "js" else m
    log_other = ops.log(ops.maximum(other, floor))
    from_teacher = p * (ops.log(ops.where(p > 0, p, 1.0)) - log_other)
    from_student = m * (ops.log(ops.maximum(m, floor)) - log_other)
    return (from_teacher + from_student) / 2 if variant == "js" else from_teacher
