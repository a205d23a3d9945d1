"""What the losses on a model's outputs accept, and how they say no.

Standard library only: the adapters import this file so that the same mistake is answered with the
same words in every framework. ``None`` stands for a length that a graph does not know yet.
"""

from amad_core.arguments.words import Shape, agree, shown


def check_logits(argument: str, shape: Shape) -> None:
    """Raise unless ``shape`` is ``[B, C]`` or ``[B, T, C]`` with something along every axis."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"{argument} must be logits [batch, classes] or [batch, tokens, classes]; got shape "
            f"{shown(shape)}"
        )
    if 0 in shape:
        raise ValueError(f"{argument} must not have an empty axis; got shape {shown(shape)}")
    if shape[-1] == 1:
        raise ValueError(
            f"{argument} must have at least 2 classes: a softmax over one is always 1 and its loss "
            f"always 0; got shape {shown(shape)}"
        )


def check_same_logits(teacher: Shape, student: Shape) -> None:
    """Raise unless teacher and student logits have one shape."""
    if not _same_shape(teacher, student):
        hint = ""
        if len(teacher) == len(student) and _same_shape(teacher[:-1], student[:-1]):
            hint = ": they must share their classes (one tokenizer; cut off padding of either's)"
        raise ValueError(
            f"teacher and student must be logits of one shape; got {shown(teacher)} and "
            f"{shown(student)}{hint}"
        )


def check_token_mask(dtype: object, is_boolean: bool, shape: Shape, logits: Shape) -> None:
    """Raise unless the mask is boolean and has the shape of the logits without their classes."""
    if not is_boolean:
        raise TypeError(
            f"mask must be boolean, true where a token counts; got dtype {dtype} "
            "(compare a 0/1 mask first, attention_mask == 1)"
        )
    if not _same_shape(shape, logits[:-1]):
        raise ValueError(
            f"mask must have the shape of the logits without their classes, {shown(logits[:-1])}; "
            f"got {shown(shape)}"
        )


def check_labels(dtype: object, is_integer: bool, shape: Shape, logits: Shape) -> None:
    """Raise unless labels are integers of the shape of the logits without their classes."""
    if not is_integer:
        raise TypeError(f"labels must be integers, the numbers of classes; got dtype {dtype}")
    if not _same_shape(shape, logits[:-1]):
        raise ValueError(
            f"labels must have the shape of the logits without their classes, "
            f"{shown(logits[:-1])}; got {shown(shape)}"
        )


def bad_labels(found: str, classes: int | None, ignore_index: int) -> ValueError:
    """The error for labels that name no class; ``found`` says what came."""
    most = "the last class" if classes is None else str(classes - 1)
    return ValueError(
        f"labels must be from 0 to {most}, or {ignore_index} to be ignored; got {found}"
    )


def bad_logits(argument: str, found: str) -> ValueError:
    """The error for logits that are not finite; ``found`` says what came."""
    return ValueError(f"{argument} must be finite where it counts; got {found}")


def _same_shape(shape: Shape, other: Shape) -> bool:
    return len(shape) == len(other) and all(map(agree, shape, other))
