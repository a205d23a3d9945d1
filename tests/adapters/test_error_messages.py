"""Bad calls: the specification and both adapters refuse them in the same words."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support.frameworks import ADAPTERS, TENSORFLOW


class BadCall(NamedTuple):
    """A call that has to be refused, and what the message says."""

    name: str
    error: type[Exception]
    message: str  # what came and what was expected, naming the argument
    changes: dict[str, Any]


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape)


def square(batch: int) -> dict[str, np.ndarray]:
    """Maps of self-attention over 5 tokens."""
    return {"teacher": ones(batch, 4, 5, 5), "student": ones(batch, 3, 5, 5)}


MAPS_4 = "must have 4 axes [batch, heads, queries, keys]"
MASK_SHAPE = "mask must broadcast to [batch, queries, keys] = [2, 5, 7]"
MASK_AXES = "mask must have 3 axes where its first may be the batch; got shape"
VARIANTS = "'mse', 'kl', 'projected', 'token', 'js'"
SHAPES = "(shapes [2, 4, 5, 7] and {}, axes [batch, heads, queries, keys])"

BAD_CALLS = [
    BadCall("rank 3", ValueError, f"student {MAPS_4}; got 3 axes, shape [2, 5, 7]",
            {"student": ones(2, 5, 7)}),
    BadCall("averaged heads", ValueError, "average_attn_weights=False", {"teacher": ones(2, 5, 7)}),
    BadCall("rank 5", ValueError, f"teacher {MAPS_4}; got 5 axes, shape [1, 2, 4, 5, 7] (maps of "
            "several layers are a list for amad_layers_loss", {"teacher": ones(1, 2, 4, 5, 7)}),
    BadCall("no heads", ValueError,
            "student must have at least 1 along heads; got shape [2, 0, 5, 7]",
            {"student": ones(2, 0, 5, 7)}),
    BadCall("no keys", ValueError,
            "teacher must have at least 1 along keys; got shape [2, 4, 5, 0]",
            {"teacher": ones(2, 4, 5, 0), "student": ones(2, 3, 5, 0)}),
    BadCall("no samples", ValueError,
            "teacher must have at least 1 along batch; got shape [0, 4, 5, 7]",
            {"teacher": ones(0, 4, 5, 7), "student": ones(0, 3, 5, 7)}),
    BadCall("other batch", ValueError,
            "teacher and student must agree in batch; got teacher 2, student 3 "
            + SHAPES.format("[3, 3, 5, 7]"), {"student": ones(3, 3, 5, 7)}),
    BadCall("other queries", ValueError,
            "teacher and student must agree in queries; got teacher 5, student 6 "
            + SHAPES.format("[2, 3, 6, 7]"), {"student": ones(2, 3, 6, 7)}),
    BadCall("other keys", ValueError,
            "teacher and student must agree in keys; got teacher 7, student 8 "
            + SHAPES.format("[2, 3, 5, 8]"), {"student": ones(2, 3, 5, 8)}),
    BadCall("windows", ValueError, "(attention in windows gives a sample for each window: put the "
            "windows of an image together", {"student": ones(8, 3, 5, 7)}),
    BadCall("class tokens", ValueError, "(class, distillation and register tokens that one side "
            "lacks: cut them off, maps[:, :, n:, n:]; patches of another size: resize one grid to "
            "the other; two tokenizers: sum and average over the words they share)",
            {"student": ones(2, 3, 6, 8)}),
    BadCall("band", ValueError, "(a band of local attention: put its cells where their keys stand; "
            "keys of a cache or prefix: cut them off; keys that were pooled: pool those of the "
            "other side alike)", {"student": ones(2, 3, 5, 3)}),
    BadCall("integer maps", TypeError,
            "student must hold real floating-point numbers; got dtype",
            {"student": np.ones((2, 3, 5, 7), np.int64)}),
    BadCall("complex maps", TypeError,
            "teacher must hold real floating-point numbers; got dtype",
            {"teacher": np.ones((2, 4, 5, 7), np.complex128)}),
    BadCall("boolean maps", TypeError,
            "teacher must hold real floating-point numbers; got dtype",
            {"teacher": np.ones((2, 4, 5, 7), bool)}),
    BadCall("negative", ValueError, "student must be finite and non-negative where it counts; got",
            {"student": -ones(2, 3, 5, 7)}),
    BadCall("NaN", ValueError, "teacher must be finite and non-negative where it counts; got",
            {"teacher": ones(2, 4, 5, 7) * np.nan}),
    BadCall("infinite", ValueError, "student must be finite and non-negative where it counts; got",
            {"student": ones(2, 3, 5, 7) * np.inf}),
    BadCall("float mask", TypeError, "mask must be boolean, true where a cell counts; got dtype",
            {"mask": ones(2, 5, 7)}),
    BadCall("long mask", ValueError, f"{MASK_SHAPE}; got shape [2, 5, 6]",
            {"mask": np.ones((2, 5, 6), bool)}),
    BadCall("padding mask [B, K]", ValueError,
            f"{MASK_SHAPE}; got shape [2, 7] (a padding mask: cell_mask(queries=..., keys=mask))",
            {"mask": np.ones((2, 7), bool)}),
    BadCall("padding mask [B, Q]", ValueError, f"{MASK_SHAPE}; got shape [2, 5] (a padding mask of "
            "the queries: cell_mask(queries=mask, keys=...))", {"mask": np.ones((2, 5), bool)}),
    BadCall("padding mask [B, L]", ValueError, "got shape [2, 5] (a padding mask: "
            "cell_mask(tokens=mask))", {"mask": np.ones((2, 5), bool), **square(2)}),
    BadCall("padding mask of integers", TypeError, "shape [2, 5] (a padding mask: "
            "cell_mask(tokens=mask))", {"mask": np.ones((2, 5), np.int64), **square(2)}),
    BadCall("mask of 0 and 1", TypeError, "shape [2, 5, 7] (compare it first: mask == 1)",
            {"mask": np.ones((2, 5, 7), np.int64)}),
    BadCall("mask of 4 axes", ValueError, f"{MASK_SHAPE}; got shape [2, 1, 5, 7] (a boolean mask "
            "with an axis for heads: mask[:, 0]", {"mask": np.ones((2, 1, 5, 7), bool)}),
    BadCall("additive mask", TypeError, "cell_mask(additive=mask, tokens=...)",
            {"mask": np.zeros((2, 1, 5, 7), np.float32)}),
    BadCall("padding mask of 4 axes", ValueError, f"{MASK_SHAPE}; got shape [2, 1, 1, 7] (a "
            "padding mask with two axes more: cell_mask(tokens=mask[:, 0, 0])",
            {"mask": np.ones((2, 1, 1, 7), bool)}),
    BadCall("a mask for each head", ValueError, "one mask is for all heads",
            {"mask": np.ones((2, 3, 5, 7), bool)}),
    BadCall("a mask for each head in one axis", ValueError, "3 masks for each sample: one is for "
            "all heads, mask.reshape(2, 3, ...)[:, 0]", {"mask": np.ones((6, 5, 7), bool)}),
    BadCall("mask of images", ValueError, "maps of windows have their samples 4 times",
            {"mask": np.ones((2, 5, 5), bool), **square(8)}),
    BadCall("[Q, K] or [B, K]", ValueError, f"{MASK_AXES} [5, 5] for [batch, queries, keys] = "
            "[5, 5, 5], which may be [queries, keys] or [batch, keys] (for cells of every sample "
            "write mask[None], for keys of each sample mask[:, None, :], for a padding mask of "
            "tokens, queries among them, cell_mask(tokens=mask))",
            {"mask": np.ones((5, 5), bool), **square(5)}),
    BadCall("[1, K] of one sample", ValueError, f"{MASK_AXES} [1, 5]",
            {"mask": np.ones((1, 5), bool), **square(1)}),
    BadCall("[Q, 1] or [B, 1]", ValueError, f"{MASK_AXES} [5, 1]",
            {"mask": np.ones((5, 1), bool), **square(5)}),
    BadCall("[K] or [B]", ValueError, f"{MASK_AXES} [5] for [batch, queries, keys] = [5, 5, 5], "
            "which may be [keys] or [batch] (for keys of every sample write mask[None, None, :], "
            "for samples mask[:, None, None])", {"mask": np.ones(5, bool), **square(5)}),
    BadCall("unknown variant", ValueError, f"variant must be one of {VARIANTS}; got 'KL'",
            {"variant": "KL"}),
    BadCall("variant of no string", TypeError,
            f"variant must be a string, one of {VARIANTS}; got 2 of type int", {"variant": 2}),
    BadCall("unknown reduction", ValueError,
            "reduction must be one of 'none', 'sum', 'mean'; got 'batchmean'",
            {"reduction": "batchmean"}),
    BadCall("reduction of no string", TypeError,
            "reduction must be a string, one of 'none', 'sum', 'mean'; got None of type NoneType",
            {"reduction": None}),
    BadCall("temperature 0", ValueError,
            "temperature must be finite and greater than 0; got 0", {"temperature": 0}),
    BadCall("negative temperature", ValueError,
            "temperature must be finite and greater than 0; got -1.5", {"temperature": -1.5}),
    BadCall("infinite temperature", ValueError,
            "temperature must be finite and greater than 0; got inf", {"temperature": np.inf}),
    BadCall("temperature NaN", ValueError,
            "temperature must be finite and greater than 0; got nan", {"temperature": np.nan}),
    BadCall("temperature of no number", TypeError,
            "temperature must be a real number; got 'hot' of type str", {"temperature": "hot"}),
    BadCall("boolean temperature", TypeError,
            "temperature must be a real number; got True of type bool", {"temperature": True}),
    BadCall("negative eps", ValueError,
            "eps must be finite and at least 0; got -1e-08", {"eps": -1e-8}),
    BadCall("eps of no number", TypeError,
            "eps must be a real number; got '0' of type str", {"eps": "0"}),
    BadCall("temperature beyond floats", ValueError, "temperature must be finite and within the "
            "range of a float; got a int beyond it", {"temperature": 10**400}),
    BadCall("eps beyond floats", ValueError, "eps must be finite and within the range of a float",
            {"eps": Fraction(10**400)}),
    BadCall("eps that rounds to 0", ValueError, "eps must be finite and at least 0; got Fraction",
            {"eps": Fraction(1, 10**400)}),
    BadCall("weight NaN", ValueError, "weight must be finite; got", {"variant": "projected",
            "weight": np.diag([np.nan, *np.ones(34)]), "bias": ones(35)}),
    BadCall("bias that ReLU would hide", ValueError, "bias must be finite; got", {"variant":
            "projected", "weight": ones(35, 35), "bias": np.append(ones(34), -np.inf)}),
    BadCall("no weight", ValueError,
            "weight must be given for the variant 'projected', of shape [35, 35] "
            "(queries * keys = 35 cells); got None", {"variant": "projected"}),
    BadCall("no bias", ValueError,
            "bias must be given for the variant 'projected', of shape [35] "
            "(queries * keys = 35 cells); got None",
            {"variant": "projected", "weight": ones(35, 35)}),
    BadCall("small weight", ValueError,
            "weight must have shape [35, 35] (queries * keys = 35 cells); got [7, 7]",
            {"variant": "projected", "weight": ones(7, 7), "bias": ones(35)}),
    BadCall("bias of 2 axes", ValueError,
            "bias must have shape [35] (queries * keys = 35 cells); got [35, 1]",
            {"variant": "projected", "weight": ones(35, 35), "bias": ones(35, 1)}),
    BadCall("integer weight", TypeError,
            "weight must hold real floating-point numbers; got dtype",
            {"variant": "projected", "weight": np.ones((35, 35), np.int64), "bias": ones(35)}),
    BadCall("misplaced weight", ValueError,
            "weight belongs to the variant 'projected'; got it with 'kl'",
            {"variant": "kl", "weight": ones(35, 35)}),
    BadCall("misplaced bias", ValueError,
            "bias belongs to the variant 'projected'; got it with 'mse'",
            {"variant": "mse", "bias": ones(35)}),
]  # fmt: skip

OF_WEIGHTS = [
    bad for bad in BAD_CALLS if set(bad.changes) <= {"teacher", "student", "mask", "temperature"}
]


def implementation(name: str, function: str) -> Callable[..., Any]:
    if name == "specification":
        import amad_core

        return getattr(amad_core, function)
    if name == "torch":
        import torch

        import amad_torch

        adapter, tensor = amad_torch, torch.tensor
    else:
        import tensorflow as tf

        import amad_tensorflow

        adapter, tensor = amad_tensorflow, tf.constant

    def call(**options: Any) -> Any:
        given = {
            key: tensor(value) if isinstance(value, np.ndarray) else value
            for key, value in options.items()
        }
        return getattr(adapter, function)(**given)

    return call


@pytest.mark.parametrize("name", ["specification", *ADAPTERS])
@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: bad.name)
def test_loss(bad: BadCall, name: str) -> None:
    call = {"teacher": ones(2, 4, 5, 7), "student": ones(2, 3, 5, 7)}
    loss = implementation(name, "amad_loss")
    loss(**call)
    with pytest.raises(bad.error, match=re.escape(bad.message)):
        loss(**call | bad.changes)


@pytest.mark.parametrize("name", ["specification", *ADAPTERS])
@pytest.mark.parametrize("bad", OF_WEIGHTS, ids=lambda bad: bad.name)
def test_weights(bad: BadCall, name: str) -> None:
    call = {"teacher": ones(2, 4, 5, 7), "student": ones(2, 3, 5, 7)}
    weights = implementation(name, "alignment_weights")
    with pytest.raises(bad.error, match=re.escape(bad.message)):
        weights(**call | bad.changes)


@pytest.mark.parametrize("bad", BAD_CALLS, ids=lambda bad: bad.name)
def test_gradient_of_the_specification(bad: BadCall) -> None:
    call = {"teacher": ones(2, 4, 5, 7), "student": ones(2, 3, 5, 7)}
    with pytest.raises(bad.error, match=re.escape(bad.message)):
        implementation("specification", "amad_loss_and_grad")(**call | bad.changes)


def test_with_respect_to() -> None:
    gradient = implementation("specification", "amad_loss_and_grad")
    call = {"teacher": ones(2, 4, 5, 7), "student": ones(2, 3, 5, 7)}
    for value in ("weight", "teacher"):
        with pytest.raises(ValueError, match=f"with_respect_to must be one of .*; got '{value}'"):
            gradient(**call, with_respect_to=value)
    learned = {"variant": "projected", "weight": ones(35, 35), "bias": ones(35)}
    with pytest.raises(ValueError, match="'student', 'weight', 'bias'; got 'teacher'"):
        gradient(**call, **learned, with_respect_to="teacher")


def test_what_came_is_found() -> None:
    """The specification says where the first bad cell lies, or the smallest value."""
    loss = implementation("specification", "amad_loss")
    teacher = ones(1, 1, 2, 2)
    for value, found in ((np.nan, "nan at index (0, 0, 1, 0)"), (-2.0, "a smallest value of -2.0")):
        student = ones(1, 1, 2, 2)
        student[0, 0, 1, 0] = value
        with pytest.raises(ValueError, match=re.escape(f"where it counts; got {found}")):
            loss(teacher=teacher, student=student)
    learned = {"variant": "projected", "weight": np.full((4, 4), np.inf), "bias": ones(4)}
    with pytest.raises(
        ValueError, match=re.escape("weight must be finite; got inf at index (0, 0)")
    ):
        loss(teacher=teacher, student=teacher, **learned)


@pytest.mark.parametrize("value", [[[1.0], [1.0, 2.0]], [[10**400, 1.0]], object()])
def test_what_is_no_array_is_refused_in_words_of_ours(value: Any) -> None:
    from amad_core import cell_mask, total_loss

    loss, name = implementation("specification", "amad_loss"), type(value).__name__
    with pytest.raises(TypeError, match=f"student must .*got (dtype object|{name})"):
        loss(teacher=ones(1, 1, 2, 2), student=value)
    with pytest.raises(TypeError, match=f"mask must .*got (dtype object|{name})"):
        loss(teacher=ones(1, 1, 2, 2), student=ones(1, 1, 2, 2), mask=value)
    with pytest.raises(TypeError, match=f"tokens must .*got (dtype object|{name})"):
        cell_mask(tokens=value)
    with pytest.raises(TypeError, match=f"task must .*got (dtype object|{name})"):
        total_loss(task=value)


def test_what_came_is_found_by_torch() -> None:
    loss = implementation("torch", "amad_loss")
    teacher, student = ones(1, 1, 2, 2), ones(1, 1, 2, 2)
    student[0, 0, 1, 0] = -2.0
    with pytest.raises(ValueError, match=re.escape("got values from -2.0 to 1.0")):
        loss(teacher=teacher, student=student)
    loss(teacher=teacher, student=student, check_values=False)
    with pytest.raises(TypeError, match=re.escape("student must be a torch.Tensor; got list")):
        loss(teacher=teacher, student=[1.0])
    with pytest.raises(TypeError, match=re.escape("mask must be a torch.Tensor; got list")):
        loss(teacher=teacher, student=teacher, mask=[True, True])


@TENSORFLOW
def test_what_came_is_found_by_tensorflow() -> None:
    loss = implementation("tensorflow", "amad_loss")
    teacher, student = ones(1, 1, 2, 2), ones(1, 1, 2, 2)
    for value, found in (
        (np.nan, "NaN"),
        (np.inf, "values from 1.0 to inf"),
        (-2.0, "values from -2.0 to 1.0"),
    ):
        student[0, 0, 1, 0] = value
        with pytest.raises(ValueError, match=re.escape(f"where it counts; got {found}")):
            loss(teacher=teacher, student=student)
    loss(teacher=teacher, student=student, check_values=False)
    for value, name in ((object(), "object"), ([[1.0], [1.0, 2.0]], "list")):
        with pytest.raises(TypeError, match=f"student must be a tf.Tensor .* one; got {name}"):
            loss(teacher=teacher, student=value)
