"""What the peers accept beyond attention maps, and how they say no.

``None`` in a shape stands for a length that a graph does not know yet.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from amad_core.arguments.words import Shape, agree, integer, listed, shown

COMMON_ARGUMENTS = ("teacher", "student", "reduction", "mask")
"""What every method takes; the rest of its arguments are its options."""

_VECTOR_AXES = ("batch", "heads", "tokens", "features")


def check_equal_heads(method: str, teacher: Shape, student: Shape) -> None:
    """Raise unless both have the same number of heads."""
    if not agree(teacher[1], student[1]):
        raise ValueError(
            f"teacher and student must agree in heads for {method!r}; got teacher {teacher[1]}, "
            f"student {student[1]} (shapes {shown(teacher)} and {shown(student)})"
        )


def check_vector_shapes(teacher: Shape, student: Shape) -> None:
    """Raise unless both are ``[B, H, L, d]`` with no empty axis, alike in batch and tokens."""
    axes = f"[{', '.join(_VECTOR_AXES)}]"
    for argument, shape in (("teacher", teacher), ("student", student)):
        if len(shape) != 4:
            raise ValueError(
                f"{argument} must have 4 axes {axes}; got {len(shape)} axes, shape {shown(shape)}"
            )
        _check_not_empty(argument, shape, _VECTOR_AXES)
    for axis, index in (("batch", 0), ("tokens", 2)):
        if not agree(teacher[index], student[index]):
            raise ValueError(
                f"teacher and student must agree in {axis}; got teacher {teacher[index]}, "
                f"student {student[index]} (shapes {shown(teacher)} and {shown(student)}, "
                f"axes {axes})"
            )


def check_relation_heads(relation_heads: object, teacher: Shape, student: Shape) -> None:
    """Raise unless the features of all heads together split evenly into the relation heads."""
    number = integer("relation_heads", relation_heads)
    if number < 1:
        raise ValueError(f"relation_heads must be at least 1; got {relation_heads}")
    for argument, shape in (("teacher", teacher), ("student", student)):
        heads, features = shape[1], shape[3]
        if heads is None or features is None:
            raise ValueError(
                f"{argument} must have known heads and features to be split into relation heads; "
                f"got shape {shown(shape)}"
            )
        if heads * features % number:
            raise ValueError(
                f"relation_heads must divide the {heads * features} features (heads * features) "
                f"of the {argument}; got {relation_heads} (shape {shown(shape)})"
            )


def check_head_alignment(
    weight: Shape | None, bias: Shape | None, teacher: Shape, student: Shape
) -> None:
    """Raise unless ``weight`` is ``[Ht, Hs]`` and ``bias`` is ``[Ht]``."""
    wanted = {"weight": (teacher[1], student[1]), "bias": (teacher[1],)}
    for argument, found in (("weight", weight), ("bias", bias)):
        shape = wanted[argument]
        fits = found is not None and len(found) == len(shape)
        if found is None or not (fits and all(map(agree, found, shape))):
            raise ValueError(
                f"{argument} must have shape {shown(shape)} (teacher heads {teacher[1]}, student "
                f"heads {student[1]}); got {None if found is None else shown(found)}"
            )


def check_squeezable(teacher: Shape, student: Shape, values: Shape) -> None:
    """Raise unless the teacher has no fewer heads, and its values are ``[B, Ht, K, D]``."""
    teacher_heads, student_heads = teacher[1], student[1]
    if teacher_heads is None or student_heads is None:
        raise ValueError(
            "teacher and student must have a known number of heads for 'squeezing_heads'; got "
            f"shapes {shown(teacher)} and {shown(student)}"
        )
    if student_heads > teacher_heads:
        raise ValueError(
            "student must have no more heads than the teacher for 'squeezing_heads'; got teacher "
            f"{teacher_heads}, student {student_heads}"
        )
    wanted = (teacher[0], teacher_heads, teacher[3])
    if len(values) != 4 or not all(map(agree, values[:3], wanted)):
        raise ValueError(
            "teacher_values must have shape [batch, teacher heads, keys, features] = "
            f"[{shown(wanted)[1:-1]}, any]; got shape {shown(values)}"
        )
    _check_not_empty("teacher_values", values, ("batch", "teacher heads", "keys", "features"))


def check_logit_shapes(teacher: Shape, student: Shape) -> None:
    """Raise unless both are ``[B, C]`` or ``[B, L, C]`` of the same lengths, no axis empty."""
    for argument, shape in (("teacher", teacher), ("student", student)):
        if len(shape) not in (2, 3):
            raise ValueError(
                f"{argument} must have axes [batch, classes] or [batch, tokens, classes]; got "
                f"{len(shape)} axes, shape {shown(shape)}"
            )
        axes = ("batch", "classes") if len(shape) == 2 else ("batch", "tokens", "classes")
        _check_not_empty(argument, shape, axes)
    if len(teacher) != len(student) or not all(map(agree, teacher, student)):
        raise ValueError(
            "teacher and student must have logits of the same shape; got "
            f"{shown(teacher)} and {shown(student)}"
        )


def not_finite(argument: str, found: str) -> ValueError:
    """The error for numbers of any sign that are not finite; ``found`` says what came."""
    return ValueError(f"{argument} must be finite where it counts; got {found}")


def check_options(name: str, options: Mapping[str, object], loss: Callable[..., Any]) -> None:
    """Raise unless ``options`` are keywords of ``loss``, and none that it needs is missing."""
    parameters = inspect.signature(loss).parameters
    allowed = [key for key in parameters if key not in (*COMMON_ARGUMENTS, "variant")]
    for option in options:
        if option not in allowed:
            known = listed(allowed) if allowed else "none"
            raise TypeError(
                f"{option} is no option of {name!r}; got {option}={_shortly(options[option])} "
                f"(options: {known})"
            )
    for option in allowed:
        if parameters[option].default is inspect.Parameter.empty and option not in options:
            raise TypeError(f"{option} must be given for {name!r}; got options {list(options)}")


def _shortly(value: object) -> str:
    plain = isinstance(value, bool | int | float | str | None)
    return repr(value) if plain else f"a {type(value).__name__}"


def _check_not_empty(argument: str, shape: Shape, axes: Sequence[str]) -> None:
    for axis, length in zip(axes, shape, strict=True):
        if length == 0:
            raise ValueError(
                f"{argument} must have at least 1 along {axis}; got shape {shown(shape)}"
            )


def check_with_respect_to(with_respect_to: object, allowed: Collection[str], name: str) -> None:
    """Raise unless the method has a gradient of that name."""
    if with_respect_to not in allowed:
        raise ValueError(
            f"with_respect_to must be one of {listed(allowed)} for {name!r}; "
            f"got {with_respect_to!r}"
        )
