"""The backward sweeps over queries and keys: ``dS`` of a tile, and at once what it comes from.

``dz = s∘(ds - <s, ds>)``, ``dq = dz k scale``, ``dk = dzᵀ q scale``.

``dS = from_teacher T + from_student S`` for ``squares`` (eq. 4), which is quadratic in unit
vectors, so that no mixture is made. ``kl`` and ``js`` (eq. 9) have ``back slope`` for the mixture,
``from_student`` ``[B, Hs]`` and a ``shift`` of all cells for the L1 norms. Guarded by
tests/kernels/interpreted/test_from_queries_keys.py.
"""

import triton
import triton.language as tl

from amad_torch.kernels.programs.divergence import slope_of
from amad_torch.kernels.programs.scores import compared, kept, probabilities, vectors
from amad_torch.kernels.programs.small import matrix, of_heads, product


@triton.jit
def student_tile(
    teacher, student, cells, small, sample, rows, columns, eps,
    KIND: tl.constexpr, TEACHER_WIDE: tl.constexpr, STUDENT_WIDE: tl.constexpr,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """``S`` and ``dS``, ``[STUDENTS, ROWS, COLUMNS]``."""
    t = probabilities(
        teacher, cells, sample, rows, columns, TEACHER_WIDE, TEACHERS, ROWS, COLUMNS, CHUNK
    )
    raw = probabilities(
        student, cells, sample, rows, columns, STUDENT_WIDE, STUDENTS, ROWS, COLUMNS, CHUNK
    )
    t = compared(
        t, cells, small.teacher_sizes, sample, rows, columns, teacher.heads, TEACHERS, ROWS, COLUMNS
    )
    s = compared(
        raw, cells, small.student_sizes, sample, rows, columns, student.heads, STUDENTS, ROWS,
        COLUMNS,
    )  # fmt: skip
    teachers, students = teacher.heads, student.heads
    by_teacher = matrix(small.from_teacher, sample, students, teachers, STUDENTS, TEACHERS)
    found = tl.zeros((STUDENTS, ROWS * COLUMNS), tl.float32)
    if KIND == "squares":
        by_student = matrix(small.from_student, sample, students, students, STUDENTS, STUDENTS)
        found = product(by_student, s, found)
    else:
        weights = matrix(small.mixing, sample, teachers, students, TEACHERS, STUDENTS)
        by_slope = matrix(small.back, sample, students, teachers, STUDENTS, TEACHERS)
        own = of_heads(small.from_student, sample, students, 0.0, STUDENTS)
        same = of_heads(small.shift, sample, students, 0.0, STUDENTS)
        mixture = product(weights, s, tl.zeros((TEACHERS, ROWS * COLUMNS), tl.float32))
        found = product(by_slope, slope_of(t, mixture, eps, KIND), s * own + same)
    found = tl.reshape(product(by_teacher, t, found), (STUDENTS, ROWS, COLUMNS))
    return raw, tl.where(kept(cells, sample, rows, columns)[None, :, :], found, 0.0)


@triton.jit
def query_gradients(
    teacher, student, cells, small, means, gradient, eps,
    KIND: tl.constexpr, TEACHER_WIDE: tl.constexpr, STUDENT_WIDE: tl.constexpr,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """``<s, ds>`` of some rows, into ``means`` ``[B, Hs, Q]``, and ``dq``, ``[B, Hs, Q, d]``.

    Twice over the keys: no cell of ``dz`` is known before its row's sum.
    """
    blocks = tl.cdiv(cells.queries, ROWS)
    sample = tl.program_id(0).to(tl.int64) // blocks
    first = tl.program_id(0).to(tl.int64) % blocks * ROWS
    rows = first + tl.arange(0, ROWS)
    start = tl.maximum(first - student.before, 0) // COLUMNS
    stop = tl.cdiv(tl.minimum(first + ROWS + student.after, cells.keys), COLUMNS)
    mean = tl.zeros((STUDENTS, ROWS), tl.float32)
    found = tl.zeros((STUDENTS, ROWS, SIZE), tl.float32)
    for step in range(0, 2 * (stop - start)):  # one loop: the tile's code is long
        columns = (start + step % (stop - start)) * COLUMNS + tl.arange(0, COLUMNS)
        s, ds = student_tile(
            teacher, student, cells, small, sample, rows, columns, eps, KIND, TEACHER_WIDE,
            STUDENT_WIDE, TEACHERS, STUDENTS, ROWS, COLUMNS, CHUNK,
        )  # fmt: skip
        if step < stop - start:
            mean += tl.sum(s * ds, axis=2)
        else:
            dz = s * (ds - mean[:, :, None])
            k = vectors(
                student.keys, student.key_strides, student.group, sample, student.heads, columns,
                columns < cells.keys, 0, student.size, STUDENTS, SIZE,
            )  # fmt: skip
            found = product(dz, k.to(tl.float32), found)
    head, entry = tl.arange(0, STUDENTS), tl.arange(0, SIZE)
    place = (sample * student.heads + head[:, None]) * cells.queries + rows[None, :]
    there = (head < student.heads)[:, None] & (rows < cells.queries)[None, :]
    tl.store(means + place, mean, mask=there)
    tl.store(
        gradient + place[:, :, None] * student.size + entry[None, None, :],
        found * student.factor,
        mask=there[:, :, None] & (entry < student.size)[None, None, :],
    )


@triton.jit
def key_gradients(
    teacher, student, cells, small, means, gradient, eps,
    KIND: tl.constexpr, TEACHER_WIDE: tl.constexpr, STUDENT_WIDE: tl.constexpr,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """``dk`` of some keys by each query head, ``[B, Hs, K, d]``, from the ``means`` there are."""
    blocks = tl.cdiv(cells.keys, COLUMNS)
    sample = tl.program_id(0).to(tl.int64) // blocks
    first = tl.program_id(0).to(tl.int64) % blocks * COLUMNS
    columns = first + tl.arange(0, COLUMNS)
    start = tl.maximum(first - student.after, 0) // ROWS
    stop = tl.cdiv(tl.minimum(first + COLUMNS + student.before, cells.queries), ROWS)
    head, entry = tl.arange(0, STUDENTS), tl.arange(0, SIZE)
    found = tl.zeros((STUDENTS, COLUMNS, SIZE), tl.float32)
    for block in range(start, stop):
        rows = block * ROWS + tl.arange(0, ROWS)
        s, ds = student_tile(
            teacher, student, cells, small, sample, rows, columns, eps, KIND, TEACHER_WIDE,
            STUDENT_WIDE, TEACHERS, STUDENTS, ROWS, COLUMNS, CHUNK,
        )  # fmt: skip
        place = (sample * student.heads + head[:, None]) * cells.queries + rows[None, :]
        there = (head < student.heads)[:, None] & (rows < cells.queries)[None, :]
        mean = tl.load(means + place, mask=there, other=0.0)
        dz = s * (ds - mean[:, :, None])
        q = vectors(
            student.queries, student.query_strides, 1, sample, student.heads, rows,
            rows < cells.queries, 0, student.size, STUDENTS, SIZE,
        )  # fmt: skip
        found = product(tl.permute(dz, (0, 2, 1)), q.to(tl.float32), found)
    place = (sample * student.heads + head[:, None]) * cells.keys + columns[None, :]
    there = (head < student.heads)[:, None] & (columns < cells.keys)[None, :]
    tl.store(
        gradient + place[:, :, None] * student.size + entry[None, None, :],
        found * student.factor,
        mask=there[:, :, None] & (entry < student.size)[None, None, :],
    )
