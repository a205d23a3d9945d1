"""Inputs for every peer, drawn to hurt: the shared strategies for maps, else any sign."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from amad_core.attention.inputs import BoolArray, FloatArray
from amad_core.conformance.strategies import GENTLE_SCALES, amad_inputs, cell_masks
from amad_core.peers import PEERS
from tests.peers.peer_oracles import squeezed

NAMES = tuple(PEERS)
EQUAL_HEADS = ("tinybert_scores", "minilm_attention", "minilm_value_relation")


class PeerCase(NamedTuple):
    """Arguments of one call."""

    name: str
    teacher: FloatArray
    student: FloatArray
    mask: BoolArray | None
    options: dict[str, Any]

    def arguments(self) -> dict[str, Any]:
        """Keywords of ``distillation_loss``."""
        named = {"name": self.name, "teacher": self.teacher, "student": self.student}
        return {**named, "mask": self.mask, **self.options}


@st.composite
def peer_cases(draw: st.DrawFn, name: str, *, smooth: bool = False) -> PeerCase:
    """A call of the peer; ``smooth`` keeps maps off zero, where every derivative exists."""
    teacher_heads, student_heads = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    if name in EQUAL_HEADS:
        student_heads = teacher_heads
    if name == "squeezing_heads":
        student_heads, teacher_heads = sorted((teacher_heads, student_heads))
    masked = draw(st.booleans())
    kind = PEERS[name].inputs
    if kind == "maps":
        teacher, student, mask = draw(
            amad_inputs(
                teacher_heads=teacher_heads,
                student_heads=student_heads,
                masked=masked,
                scales=GENTLE_SCALES,
                exact=True,
                empty_rows=not smooth and draw(st.booleans()),
            )
        )
        if smooth:
            teacher, student = teacher + 1 / 16, student + 1 / 16
    else:
        teacher, student, mask = draw(_numbers(kind, teacher_heads, student_heads, masked))
    case = PeerCase(name, teacher, student, mask, draw(_options(name, teacher, student)))
    if name == "squeezing_heads":
        assume(not _share_on_an_edge(case))
    return case


def _share_on_an_edge(case: PeerCase) -> bool:
    """Whether a merged head has a share of 0 or 1 by arithmetic, not by clamping.

    Rounded the other way, the merged head has 1e-16 of mass where it has none, and under an empty
    student cell the loss is infinite; or it depends on the sum of two opposite values that is 0 but
    for rounding. Both answers are right. Such shares are tested by hand.
    """
    for b, (teacher, values) in enumerate(
        zip(case.teacher, case.options["teacher_values"], strict=True)
    ):
        cells = None if case.mask is None else case.mask[b]
        _, shares = squeezed(teacher, cells, values, case.student.shape[1])
        if any(abs(share) < 1e-6 or abs(share - 1) < 1e-6 or abs(share) > 1e6 for share in shares):
            return True
    return False


def seeded_case(name: str, *, masked: bool, seed: int = 0) -> PeerCase:
    """A dense case with pairwise different sizes: layout mistakes show."""
    generator = np.random.default_rng(seed)
    batch, queries, keys = 3, 4, 6
    teacher_heads, student_heads = (5, 5) if name in EQUAL_HEADS else (5, 3)
    kind = PEERS[name].inputs
    shapes = {
        "maps": [(batch, heads, queries, keys) for heads in (teacher_heads, student_heads)],
        "scores": [(batch, teacher_heads, queries, keys)] * 2,
        "vectors": [(batch, teacher_heads, queries, 6), (batch, student_heads, queries, 4)],
        "logits": [(batch, queries, keys)] * 2,
    }[kind]
    arrays_ = [generator.standard_normal(shape) for shape in shapes]
    if kind == "maps":
        powers = [np.exp(array) for array in arrays_]
        arrays_ = [power / power.sum(axis=-1, keepdims=True) for power in powers]
    cells = {"vectors": (batch, queries, queries), "logits": (batch, queries)}
    mask = generator.random(cells.get(kind, (batch, queries, keys))) < 0.7 if masked else None
    if mask is not None:
        mask[1] = False
    options: dict[str, Any] = {}
    if name == "minilmv2_relation":
        options = {"relation_heads": 6}
    if name == "align_to_distill":
        options = {
            "weight": generator.standard_normal((teacher_heads, student_heads)),
            "bias": generator.standard_normal(teacher_heads),
        }
    if name == "squeezing_heads":
        options = {
            "teacher_values": generator.standard_normal((batch, teacher_heads, keys, 7)),
            "temperature": 2.0,
        }
    if name == "logits_kl":
        options = {"temperature": 3.0}
    return PeerCase(name, arrays_[0], arrays_[1], mask, options)


def with_garbage(case: PeerCase) -> PeerCase:
    """NaN and infinities wherever nothing counts."""
    mask = np.asarray(case.mask)
    kind = PEERS[case.name].inputs
    if kind == "vectors":
        hidden = ~(mask.any(axis=1) | mask.any(axis=2))[:, np.newaxis, :, np.newaxis]
    elif kind == "logits":
        hidden = ~mask[..., np.newaxis]
    else:
        hidden = ~mask[:, np.newaxis]
    options = dict(case.options)
    if "teacher_values" in options:
        unused = ~mask.any(axis=1)[:, np.newaxis, :, np.newaxis]
        options["teacher_values"] = np.where(unused, np.nan, options["teacher_values"])
    return case._replace(
        teacher=np.where(hidden, np.inf, case.teacher),
        student=np.where(hidden, np.nan, case.student),
        options=options,
    )


def numbers(shape: tuple[int, ...]) -> st.SearchStrategy[FloatArray]:
    """Multiples of 1/8 from -4 to 4: every dtype holds them."""
    return arrays(np.int64, shape, elements=st.integers(-32, 32)).map(lambda whole: whole / 8)


@st.composite
def _numbers(
    draw: st.DrawFn, kind: str, teacher_heads: int, student_heads: int, masked: bool
) -> tuple[FloatArray, FloatArray, BoolArray | None]:
    batch, length, other = (draw(st.integers(1, largest)) for largest in (3, 4, 5))
    if kind == "logits":
        shape: tuple[int, ...] = (batch, other) if draw(st.booleans()) else (batch, length, other)
        teacher, student = draw(numbers(shape)), draw(numbers(shape))
        mask = draw(arrays(np.bool_, shape[:-1])) if masked else None
        hidden = None if mask is None else ~mask[..., np.newaxis]
    elif kind == "scores":
        shape = (batch, teacher_heads, length, other)
        teacher, student = draw(numbers(shape)), draw(numbers(shape))
        mask = draw(cell_masks(batch=batch, queries=length, keys=other)) if masked else None
        hidden = None if mask is None else ~mask[:, np.newaxis]
    else:
        widths = [2 * draw(st.integers(1, 2)) for _ in range(2)]  # 2 relation heads divide them
        teacher = draw(numbers((batch, teacher_heads, length, widths[0])))
        student = draw(numbers((batch, student_heads, length, widths[1])))
        mask = draw(cell_masks(batch=batch, queries=length, keys=length)) if masked else None
        hidden = None
        if mask is not None:
            unused = ~(mask.any(axis=1) | mask.any(axis=2))
            hidden = unused[:, np.newaxis, :, np.newaxis]
    if hidden is not None:
        teacher, student = np.where(hidden, np.nan, teacher), np.where(hidden, np.inf, student)
    return teacher, student, mask


@st.composite
def _options(
    draw: st.DrawFn, name: str, teacher: FloatArray, student: FloatArray
) -> dict[str, Any]:
    if name == "align_to_distill":
        shape = (teacher.shape[1], student.shape[1])
        return {"weight": draw(numbers(shape)), "bias": draw(numbers(shape[:1]))}
    if name == "squeezing_heads":
        values = (teacher.shape[0], teacher.shape[1], teacher.shape[3], draw(st.integers(1, 3)))
        return {
            "teacher_values": draw(numbers(values)),
            "temperature": draw(st.sampled_from((1.0, 0.5, 2.0, 4.0))),
        }
    if name == "minilmv2_relation":
        return {"relation_heads": draw(st.sampled_from((1, 2)))}
    if name == "logits_kl":
        return {"temperature": draw(st.sampled_from((1.0, 0.5, 4.0)))}
    return {}
