"""The backward sweep over maps: each input read once, the gradient written once."""

import triton
import triton.language as tl

from amad_torch.kernels.programs.cells import counted, tile
from amad_torch.kernels.programs.divergence import slope_of
from amad_torch.kernels.programs.small import matrix, of_heads, product


@triton.jit
def map_gradient(
    teacher, student, mask, divisors, factors, mixing, back, from_teacher, from_student, shift,
    gradient,
    teacher_sample, teacher_head, student_sample, student_head, gradient_sample, gradient_head,
    mask_sample, mask_query, mask_key,
    vectors_each, cells, keys, parts, blocks, teachers, students, eps, most,
    MASKED: tl.constexpr, KIND: tl.constexpr,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, CELLS: tl.constexpr,
):  # fmt: skip
    """``dS = from_teacher T + from_student S`` (eq. 4), or, of eq. 9 and 12, with two terms more.

    ``mse`` is quadratic in unit vectors, so two products of small matrices with the heads are its
    whole gradient, and no mixture is made. The others have ``back slope`` for the mixture,
    ``from_student`` ``[V, Hs]`` and a ``shift`` of all cells for the L1 norms. Saturates at
    ``most``. Guarded by tests/kernels/interpreted/test_from_maps.py::test_the_public_loss.
    """
    program = tl.program_id(0).to(tl.int64)
    vector, part = program // parts, program % parts
    sample, row = vector // vectors_each, vector % vectors_each
    heads = vector * (teachers + students)
    t_divisor = of_heads(divisors + heads, 0, teachers, 1.0, TEACHERS)
    s_divisor = of_heads(divisors + heads + teachers, 0, students, 1.0, STUDENTS)
    by_teacher = matrix(from_teacher, vector, students, teachers, STUDENTS, TEACHERS)
    if KIND == "squares":
        by_student = matrix(from_student, vector, students, students, STUDENTS, STUDENTS)
    else:
        t_factor = of_heads(factors + heads, 0, teachers, 0.0, TEACHERS)
        s_factor = of_heads(factors + heads + teachers, 0, students, 0.0, STUDENTS)
        weights = matrix(mixing, vector, teachers, students, TEACHERS, STUDENTS)
        by_slope = matrix(back, vector, students, teachers, STUDENTS, TEACHERS)
        own = of_heads(from_student, vector, students, 0.0, STUDENTS)
        same = of_heads(shift, vector, students, 0.0, STUDENTS)
    head = tl.arange(0, STUDENTS)
    for block in range(0, blocks):
        cell = (part * blocks + block) * CELLS + tl.arange(0, CELLS)
        flat, inside = row * cells + cell, cell < cells
        kept = counted(mask, mask_sample, mask_query, mask_key, sample, flat, keys, inside, MASKED)
        t = tile(teacher, teacher_sample, teacher_head, sample, flat, kept, teachers, TEACHERS)
        s = tile(student, student_sample, student_head, sample, flat, kept, students, STUDENTS)
        target = tl.div_rn(t.to(tl.float32), t_divisor)
        unit = tl.div_rn(s.to(tl.float32), s_divisor)
        found = tl.zeros((STUDENTS, CELLS), tl.float32)
        if KIND == "squares":
            found = product(by_student, unit, found)
        else:
            target, unit = target * t_factor, unit * s_factor
            mixture = product(weights, unit, tl.zeros((TEACHERS, CELLS), tl.float32))
            found = product(by_slope, slope_of(target, mixture, eps, KIND), unit * own + same)
        found = product(by_teacher, target, found)
        found = tl.minimum(tl.maximum(found, -most), most)
        found = tl.minimum(tl.maximum(tl.div_rn(found, s_divisor), -most), most)
        found = tl.where(kept[None, :], found, 0.0)
        place = head.to(tl.int64)[:, None] * gradient_head + flat[None, :]
        tl.store(
            gradient + sample * gradient_sample + place,
            found.to(gradient.dtype.element_ty),
            mask=(head < students)[:, None] & inside[None, :],
        )
