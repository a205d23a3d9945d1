"""First sweep over queries and keys: products of heads, norms, sums and peaks."""

import triton
import triton.language as tl

from amad_torch.kernels.programs.scores import compared, probabilities
from amad_torch.kernels.programs.small import product, put_heads, put_matrix


@triton.jit
def score_sums(
    teacher, student, cells, teacher_sizes, student_sizes, wanted,
    products, gram, teacher_sums, student_sums, parts,
    SCALED: tl.constexpr, GRAM: tl.constexpr, TEACHER_WIDE: tl.constexpr,
    STUDENT_WIDE: tl.constexpr, TEACHERS: tl.constexpr, STUDENTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """``C = T Sᵀ`` and ``G = S Sᵀ`` (eq. 2, 4) over some query rows and a part of their keys.

    The probabilities of all heads of a tile meet in one program, so that heads by heads is one
    product over its cells: the Gram matrices that the loss follows from, of maps that never exist.
    ``products`` ``[B, blocks * parts, Ht, Hs]``, ``gram`` ``[B, blocks * parts, Hs, Hs]``;
    ``teacher_sums`` and ``student_sums`` ``[3, B, blocks * parts, H]``: squares, sums, peaks.

    ``SCALED``: heads divided by their sizes ``[B, H]`` first; only in samples that are ``wanted``
    ``[B]``, others keep what is there: whether scaling is needed is decided on the GPU, and nobody
    waits for the answer. Guarded by tests/kernels/interpreted/test_from_queries_keys.py.
    """
    program = tl.program_id(0).to(tl.int64)
    each = tl.cdiv(cells.queries, ROWS) * parts
    sample, part = program // each, program % parts
    if SCALED:  # noqa: SIM102  (known when it is compiled, unlike what is loaded)
        if tl.load(wanted + sample) == 0:
            return
    first = (program % each) // parts * ROWS
    rows = first + tl.arange(0, ROWS)
    among = tl.zeros((TEACHERS, STUDENTS), tl.float32)
    own = tl.zeros((STUDENTS, STUDENTS), tl.float32)
    t_squares, s_squares = tl.zeros((TEACHERS,), tl.float32), tl.zeros((STUDENTS,), tl.float32)
    t_total, s_total = tl.zeros((TEACHERS,), tl.float32), tl.zeros((STUDENTS,), tl.float32)
    t_peak, s_peak = tl.zeros((TEACHERS,), tl.float32), tl.zeros((STUDENTS,), tl.float32)
    start = tl.maximum(first - cells.before, 0) // COLUMNS + part
    stop = tl.cdiv(tl.minimum(first + ROWS + cells.after, cells.keys), COLUMNS)
    for block in range(start, stop, parts):
        columns = block * COLUMNS + tl.arange(0, COLUMNS)
        t = probabilities(
            teacher, cells, sample, rows, columns, TEACHER_WIDE, TEACHERS, ROWS, COLUMNS, CHUNK
        )
        s = probabilities(
            student, cells, sample, rows, columns, STUDENT_WIDE, STUDENTS, ROWS, COLUMNS, CHUNK
        )
        t = compared(
            t, cells, teacher_sizes, sample, rows, columns, teacher.heads, TEACHERS, ROWS, COLUMNS
        )
        s = compared(
            s, cells, student_sizes, sample, rows, columns, student.heads, STUDENTS, ROWS, COLUMNS
        )
        among = product(t, tl.trans(s), among)
        if GRAM:
            own = product(s, tl.trans(s), own)
        t_squares += tl.sum(t * t, axis=1)
        s_squares += tl.sum(s * s, axis=1)
        t_total += tl.sum(t, axis=1)
        s_total += tl.sum(s, axis=1)
        t_peak = tl.maximum(t_peak, tl.max(t, axis=1))
        s_peak = tl.maximum(s_peak, tl.max(s, axis=1))
    teachers, students = teacher.heads, student.heads
    put_matrix(products, among, program, teachers, students, TEACHERS, STUDENTS)
    if GRAM:
        put_matrix(gram, own, program, students, students, STUDENTS, STUDENTS)
    all_programs = tl.num_programs(0).to(tl.int64)
    put_heads(teacher_sums, t_squares, program, teachers, TEACHERS)
    put_heads(student_sums, s_squares, program, students, STUDENTS)
    put_heads(teacher_sums, t_total, all_programs + program, teachers, TEACHERS)
    put_heads(student_sums, s_total, all_programs + program, students, STUDENTS)
    put_heads(teacher_sums, t_peak, 2 * all_programs + program, teachers, TEACHERS)
    put_heads(student_sums, s_peak, 2 * all_programs + program, students, STUDENTS)
