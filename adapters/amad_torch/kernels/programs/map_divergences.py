"""Second sweep over maps: mixtures, cell by cell, for the loss and its derivative by weights."""

import triton
import triton.language as tl

from amad_torch.kernels.programs.cells import counted, tile
from amad_torch.kernels.programs.divergence import slope_of, value_of
from amad_torch.kernels.programs.small import matrix, of_heads, product, put_heads, put_matrix


@triton.jit
def map_divergences(
    teacher, student, mask, divisors, factors, mixing, wanted,
    values, by_weight,
    teacher_sample, teacher_head, student_sample, student_head,
    mask_sample, mask_query, mask_key,
    vectors_each, cells, keys, parts, blocks, teachers, students, eps, log_eps, tiny,
    MASKED: tl.constexpr, KIND: tl.constexpr, DERIVATIVE: tl.constexpr,
    TEACHERS: tl.constexpr, STUDENTS: tl.constexpr, CELLS: tl.constexpr,
):  # fmt: skip
    """Eq. 9 over ``blocks * CELLS`` cells: ``Σ div(p_i, m_i)``, each ``m = a S`` made and dropped.

    ``p`` and ``S`` are heads divided by ``divisors`` and times ``factors``, ``[V, Ht + Hs]``:
    L1-normalised for ``kl`` and ``js``, L2 for ``squares``. ``values`` ``[V, parts, Ht]``;
    ``by_weight`` ``[V, parts, Ht, Hs]`` is ``slope Sᵀ``, from which
    ``∂L/∂a_ij = factor Σ_cells slope_i s_j`` follows: no mixture is kept for the derivative.

    ``squares`` is eq. 4 as it stands, only in vectors that are ``wanted`` ``[V]`` (others keep what
    is there): those where the identity of ``map_sums`` loses digits. Guarded by
    tests/kernels/interpreted/test_from_maps.py::test_the_public_loss and test_near_maps.
    """
    program = tl.program_id(0).to(tl.int64)
    vector, part = program // parts, program % parts
    sample, row = vector // vectors_each, vector % vectors_each
    if KIND == "squares":  # noqa: SIM102  (known when it is compiled, unlike what is loaded)
        if tl.load(wanted + vector) == 0:
            return
    heads = vector * (teachers + students)
    t_divisor = of_heads(divisors + heads, 0, teachers, 1.0, TEACHERS)
    s_divisor = of_heads(divisors + heads + teachers, 0, students, 1.0, STUDENTS)
    t_factor = of_heads(factors + heads, 0, teachers, 0.0, TEACHERS)
    s_factor = of_heads(factors + heads + teachers, 0, students, 0.0, STUDENTS)
    weights = matrix(mixing, vector, teachers, students, TEACHERS, STUDENTS)
    loss = tl.zeros((TEACHERS,), tl.float32)
    of_weights = tl.zeros((TEACHERS, STUDENTS), tl.float32)
    for block in range(0, blocks):
        cell = (part * blocks + block) * CELLS + tl.arange(0, CELLS)
        flat = row * cells + cell
        kept = counted(
            mask, mask_sample, mask_query, mask_key, sample, flat, keys, cell < cells, MASKED
        )
        t = tile(teacher, teacher_sample, teacher_head, sample, flat, kept, teachers, TEACHERS)
        s = tile(student, student_sample, student_head, sample, flat, kept, students, STUDENTS)
        target = tl.div_rn(t.to(tl.float32), t_divisor) * t_factor
        unit = tl.div_rn(s.to(tl.float32), s_divisor) * s_factor
        mixture = product(weights, unit, tl.zeros((TEACHERS, CELLS), tl.float32))
        if KIND == "squares":
            loss += tl.sum((target - mixture) * (target - mixture), axis=1)
        else:
            slope = slope_of(target, mixture, eps, KIND)
            loss += tl.sum(value_of(target, mixture, slope, eps, log_eps, tiny, KIND), axis=1)
            if DERIVATIVE:
                of_weights = product(slope, tl.trans(unit), of_weights)
    put_heads(values, loss, program, teachers, TEACHERS)
    if DERIVATIVE:
        put_matrix(by_weight, of_weights, program, teachers, students, TEACHERS, STUDENTS)
