"""Second sweep over queries and keys of ``kl`` and ``js``: mixtures, made and dropped."""

import triton
import triton.language as tl

from amad_torch.kernels.programs.divergence import slope_of, value_of
from amad_torch.kernels.programs.scores import compared, probabilities
from amad_torch.kernels.programs.small import matrix, product, put_heads, put_matrix


@triton.jit
def score_divergences(
    teacher, student, cells, teacher_sizes, student_sizes, mixing, values, by_weight, parts,
    eps, log_eps, tiny,
    KIND: tl.constexpr, DERIVATIVE: tl.constexpr, TEACHER_WIDE: tl.constexpr,
    STUDENT_WIDE: tl.constexpr, TEACHERS: tl.constexpr, STUDENTS: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Eq. 9 over some query rows and a part of their keys: ``Σ div(p_i, m_i)``, ``m = w S``.

    ``values`` ``[B, blocks * parts, Ht]``; ``by_weight`` ``[B, blocks * parts, Ht, Hs]`` is
    ``slope Sᵀ``, from which ``∂L/∂w_ij = factor Σ_cells slope_i s_j`` follows: no mixture is kept
    for the derivative. Guarded by tests/kernels/interpreted/test_from_queries_keys.py.
    """
    program = tl.program_id(0).to(tl.int64)
    each = tl.cdiv(cells.queries, ROWS) * parts
    sample, part = program // each, program % parts
    first = (program % each) // parts * ROWS
    rows = first + tl.arange(0, ROWS)
    weights = matrix(mixing, sample, teacher.heads, student.heads, TEACHERS, STUDENTS)
    loss = tl.zeros((TEACHERS,), tl.float32)
    of_weights = tl.zeros((TEACHERS, STUDENTS), tl.float32)
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
        mixture = product(weights, s, tl.zeros((TEACHERS, ROWS * COLUMNS), tl.float32))
        slope = slope_of(t, mixture, eps, KIND)
        loss += tl.sum(value_of(t, mixture, slope, eps, log_eps, tiny, KIND), axis=1)
        if DERIVATIVE:
            of_weights = product(slope, tl.trans(s), of_weights)
    put_heads(values, loss, program, teacher.heads, TEACHERS)
    if DERIVATIVE:
        put_matrix(by_weight, of_weights, program, teacher.heads, student.heads, TEACHERS, STUDENTS)
