"""First sweep over maps: products of heads, norms, sums and peaks."""

import triton
import triton.language as tl

from amad_torch.kernels.programs.cells import counted, tile
from amad_torch.kernels.programs.small import of_heads, product, put_heads, put_matrix


@triton.jit
def map_sums(
    teacher, student, mask, divisors, wanted,
    products, gram, teacher_sums, student_sums,
    teacher_sample, teacher_head, student_sample, student_head,
    mask_sample, mask_query, mask_key,
    vectors_each, cells, keys, parts, blocks, teachers, students,
    MASKED: tl.constexpr, SCALED: tl.constexpr, GRAM: tl.constexpr, WIDE: tl.constexpr,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, CELLS: tl.constexpr,
):  # fmt: skip
    """``C = T Sᵀ`` and ``G = S Sᵀ`` (eq. 2, 4) over ``blocks * CELLS`` cells of one vector.

    ``products`` ``[V, parts, Ht, Hs]``, ``gram`` ``[V, parts, Hs, Hs]``; ``teacher_sums`` and
    ``student_sums`` ``[3, V, parts, H]``: squares, sums, peaks. The identity behind ``mse``:
    ``|t̂_i - Σ_j a_ij ŝ_j|²`` follows from these, so no mixture is made here.

    ``SCALED``: heads divided by ``divisors`` ``[V, Ht + Hs]`` first; only in vectors that are
    ``wanted`` ``[V]``, others keep what is there: whether scaling is needed is decided on the GPU,
    and nobody waits for the answer. ``WIDE``: products of float32, else of the maps' own dtype,
    whose products float32 holds exactly. Guarded by
    tests/kernels/interpreted/test_from_maps.py::test_sums.
    """
    program = tl.program_id(0).to(tl.int64)
    vector, part = program // parts, program % parts
    sample, row = vector // vectors_each, vector % vectors_each
    if SCALED:
        if tl.load(wanted + vector) == 0:
            return
        heads = vector * (teachers + students)
        by_teacher = of_heads(divisors + heads, 0, teachers, 1.0, TEACHERS)
        by_student = of_heads(divisors + heads + teachers, 0, students, 1.0, STUDENTS)
    among = tl.zeros((TEACHERS, STUDENTS), tl.float32)
    own = tl.zeros((STUDENTS, STUDENTS), tl.float32)
    t_squares, s_squares = tl.zeros((TEACHERS,), tl.float32), tl.zeros((STUDENTS,), tl.float32)
    t_total, s_total = tl.zeros((TEACHERS,), tl.float32), tl.zeros((STUDENTS,), tl.float32)
    t_peak, s_peak = tl.zeros((TEACHERS,), tl.float32), tl.zeros((STUDENTS,), tl.float32)
    for block in range(0, blocks):
        cell = (part * blocks + block) * CELLS + tl.arange(0, CELLS)
        flat = row * cells + cell
        kept = counted(
            mask, mask_sample, mask_query, mask_key, sample, flat, keys, cell < cells, MASKED
        )
        t = tile(teacher, teacher_sample, teacher_head, sample, flat, kept, teachers, TEACHERS)
        s = tile(student, student_sample, student_head, sample, flat, kept, students, STUDENTS)
        wide_t, wide_s = t.to(tl.float32), s.to(tl.float32)
        if SCALED:
            wide_t, wide_s = tl.div_rn(wide_t, by_teacher), tl.div_rn(wide_s, by_student)
        if WIDE or SCALED:
            t, s = wide_t, wide_s
        among = product(t, tl.trans(s), among)
        t_squares += tl.sum(wide_t * wide_t, axis=1)
        if GRAM:
            own = product(s, tl.trans(s), own)
        s_squares += tl.sum(wide_s * wide_s, axis=1)
        if not GRAM:
            t_total += tl.sum(wide_t, axis=1)
            s_total += tl.sum(wide_s, axis=1)
        t_peak = tl.maximum(t_peak, tl.max(wide_t, axis=1))
        s_peak = tl.maximum(s_peak, tl.max(wide_s, axis=1))
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
