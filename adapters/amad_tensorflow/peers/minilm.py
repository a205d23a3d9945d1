"""MiniLM and MiniLMv2: attention maps, and relations of the vectors behind them."""

import tensorflow as tf

from amad_core.arguments.maps import check_eps
from amad_core.arguments.peers import check_equal_heads, check_relation_heads
from amad_tensorflow.attention.inputs import Tensor, known_shape
from amad_tensorflow.peers.comparison import mean_row_kl, row_shares, softmax_kl
from amad_tensorflow.peers.inputs import maps_and_cells, vectors_and_cells
from amad_tensorflow.peers.reduction import reduced


def minilm_attention(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    eps: float | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """Mean KL divergence of the query rows of head i from those of head i, teacher first; >= 0.

    ``L_AT = 1/(A_h |x|) Σ_a Σ_t KL(A^T_at ‖ A^S_at)``, for the last layers; equal numbers of heads
    ``A_h``. ``|x|`` is the number of query rows with a cell that counts. This is
    ``one_to_one_kl`` with the paper's condition on the heads.

    Args:
        teacher: maps ``[B, H, Q, K]``, non-negative floats; gets no gradient.
        student: maps of the same shape.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, Q, K]``, true where a cell counts; ``None``: all do.
            Masked cells are taken out and rows divided by what is left: a mask before the softmax.
        eps, check_values: as in ``one_to_one_kl``.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where a map is float64, else
        float32.

    Raises:
        TypeError, ValueError: as ``one_to_one_kl``; different numbers of heads.

    Source: Wang et al., "MiniLM", NeurIPS 2020, self-attention distribution transfer.
    """
    if eps is not None:
        check_eps(eps)
    teacher, student, valid = maps_and_cells(teacher, student, mask, check_values)
    check_equal_heads("minilm_attention", known_shape(teacher), known_shape(student))
    return reduced(mean_row_kl(teacher, student, valid, eps), reduction)


def minilm_value_relation(
    *,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """Mean KL divergence of the value relations of head i from those of head i; >= 0.

    ``L_VR = 1/(A_h |x|) Σ_a Σ_t KL(VR^T_at ‖ VR^S_at)`` with ``VR = softmax(V Vᵀ/√d)``; equal
    numbers of heads ``A_h``, any widths ``d``. The paper's loss is ``minilm_attention`` plus
    this, for the last layers.

    Args:
        teacher: values ``[B, H, L, d_t]`` of each head, floats of any sign; gets no gradient.
        student: values ``[B, H, L, d_s]``.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B, L, L]``, true where a relation counts; ``None``: all
            do. Masked relations are taken out before the softmax. A mask of keys, ``[B, 1, L]``,
            leaves the padded queries in ``|x|``, as much public code does; a mask of queries and
            keys counts true tokens only, as the paper's ``|x|``.
        check_values: look for NaN and infinite values: always (``True``), never (``False``), or
            where it costs no device synchronisation (``None``).

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where an input is float64, else
        float32.

    Raises:
        TypeError: values that are not real floats, a mask that is not boolean.
        ValueError: wrong rank, mismatched batch, heads or tokens, an empty axis, a mask that does
            not broadcast, an unknown reduction; as far as values are checked, NaN or infinite
            values that count.

    Source: Wang et al., "MiniLM", NeurIPS 2020, self-attention value-relation transfer.
    """
    teacher, student, valid = vectors_and_cells(teacher, student, mask, check_values)
    check_equal_heads("minilm_value_relation", known_shape(teacher), known_shape(student))
    return reduced(_relation_kl(teacher, student, valid), reduction)


def minilmv2_relation(
    *,
    teacher: Tensor,
    student: Tensor,
    relation_heads: int,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """Mean KL divergence of the student's relations from the teacher's, re-split heads; >= 0.

    The vectors of all heads are concatenated and split into ``A_r`` relation heads of width
    ``d_r``, so both sides may have any number of heads. Then (eq. 6-8)
    ``1/(A_r |x|) Σ_a Σ_t KL(R^T_at ‖ R^S_at)`` with ``R = softmax(X Xᵀ/√d_r)``. ``X`` are the
    queries, the keys or the values; the paper's loss (eq. 5) is the weighted sum of the three
    calls, of one layer each.

    Args:
        teacher: queries, keys or values ``[B, Ht, L, d_t]``, floats of any sign; gets no gradient.
        student: the same of the student, ``[B, Hs, L, d_s]``.
        relation_heads: ``A_r``, divides ``Ht*d_t`` and ``Hs*d_s``.
        reduction, mask, check_values: as in ``minilm_value_relation``.

    Returns:
        A scalar, or ``[B]``, as ``minilm_value_relation``.

    Raises:
        TypeError: vectors that are not real floats, relation heads that are no integer, a mask that
            is not boolean.
        ValueError: as ``minilm_value_relation`` but for the heads; ``relation_heads`` below 1
            or not a divisor of both widths.

    Source: Wang et al., "MiniLMv2", Findings of ACL 2021, eq. 5-8.
    """
    teacher, student, valid = vectors_and_cells(teacher, student, mask, check_values)
    check_relation_heads(relation_heads, known_shape(teacher), known_shape(student))
    teacher = split_heads(teacher, relation_heads)
    student = split_heads(student, relation_heads)
    return reduced(_relation_kl(teacher, student, valid), reduction)


def split_heads(vectors: Tensor, heads: int) -> Tensor:
    """``[B, H, L, d]`` with all heads side by side a token, split into other ``heads``."""
    batch, old_heads, tokens, features = known_shape(vectors)
    width = None if old_heads is None or features is None else old_heads * features // heads
    shape = tf.shape(vectors)
    tokens_first = tf.transpose(vectors, [0, 2, 1, 3])
    split = tf.reshape(
        tokens_first, tf.stack([shape[0], shape[2], heads, shape[1] * shape[3] // heads])
    )
    return tf.transpose(tf.ensure_shape(split, [batch, tokens, heads, width]), [0, 2, 1, 3])


def _relation_kl(teacher: Tensor, student: Tensor, valid: Tensor) -> Tensor:
    rows = softmax_kl(_scores(teacher), _scores(student), valid[:, tf.newaxis])
    return tf.reduce_sum(rows, axis=[1, 2]) / row_shares(teacher, valid)


def _scores(vectors: Tensor) -> Tensor:
    width = tf.cast(tf.shape(vectors)[-1], vectors.dtype)
    return tf.matmul(vectors, vectors, transpose_b=True) / tf.sqrt(width)
