"""What a program is handed of one model: where its queries and keys lie, and what its rows see."""

from typing import Any, NamedTuple


class Side(NamedTuple):
    """One model.

    Attributes:
        row_sums: ``log Σ_k exp(score)``, ``[B, H, Q]``, contiguous float32; ``+inf`` for a row
            that sees nothing.
        mask, bias: what broadcasts to ``[B, H, Q, K]``, or ``None``; their strides are 0 where
            they do.
        group: heads that share a key head.
        size: of a head.
        before, after: keys from so many positions before the query to so many after it are seen.
    """

    queries: Any
    keys: Any
    row_sums: Any
    mask: Any
    bias: Any
    query_strides: tuple[int, ...]
    key_strides: tuple[int, ...]
    mask_strides: tuple[int, ...]
    bias_strides: tuple[int, ...]
    heads: int
    group: int
    size: int
    factor: float
    before: int
    after: int


class Cells(NamedTuple):
    """Which cells there are, and count.

    Attributes:
        mask: what broadcasts to ``[B, Q, K]``, or ``None``.
        before, after: cells further from the diagonal are 0 in both models.
    """

    mask: Any
    strides: tuple[int, ...]
    queries: int
    keys: int
    before: int
    after: int


class Small(NamedTuple):
    """What the gradient is made of beside the heads, contiguous float32.

    Attributes:
        teacher_sizes, student_sizes: what heads are divided by, ``[B, H]``.
        mixing: ``[B, Ht, Hs]``, and ``back`` ``[B, Hs, Ht]`` and ``shift`` ``[B, Hs]``; ``None``
            for ``squares``.
        from_teacher: ``[B, Hs, Ht]``.
        from_student: ``[B, Hs, Hs]`` for ``squares``, else ``[B, Hs]``.
    """

    teacher_sizes: Any
    student_sizes: Any
    mixing: Any
    back: Any
    from_teacher: Any
    from_student: Any
    shift: Any
