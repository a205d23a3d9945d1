"""Heads of keys that a layer repeats for its groups of queries, and how to take them back."""

from typing import NamedTuple

from amad_keras.capture.operation import Operation
from amad_keras.capture.sources import static_value
from amad_keras.capture.tensors import known_shape


class Repeat(NamedTuple):
    """Along ``axis`` everything stands ``times`` times, one after another.

    ``is_apart``: as yet along an axis of its own, behind the one that it is a repeat of.
    """

    axis: int
    times: int
    is_apart: bool = False


def repeat_after(operation: Operation, before: Repeat | None) -> Repeat | None:
    """What is known of an operation's output, from what is known of its first input.

    ``tf.repeat`` tiles along a new axis, and joins it with the one before.
    """
    shapes = [known_shape(one) for one in (operation.inputs[0], operation.outputs[0])]
    old, new = operation.attributes.get("before", shapes[0]), shapes[1]
    if operation.type in ("Tile", "BroadcastTo") and len(old) == len(new):
        changed = [
            axis for axis, (one, other) in enumerate(zip(old, new, strict=True)) if one != other
        ]
        axis = changed[0] if len(changed) == 1 else 0
        times = new[axis]
        if axis and old[axis] == 1 and times:
            return Repeat(axis, times, is_apart=True)
    if operation.type == "Repeat":
        axis, times = operation.attributes["axis"], operation.attributes["times"]
        return Repeat(axis % len(old), times)
    if before is None:
        return None
    if before.is_apart:
        heads = old[before.axis - 1]
        joined = [*old[: before.axis - 1], heads and heads * before.times, *old[before.axis + 1 :]]
        fits = operation.type == "Reshape" and heads and new == joined
        return Repeat(before.axis - 1, before.times) if fits else None
    if operation.type in ("Cast", "Identity"):
        return before
    order = static_value(operation.inputs[1]) if operation.type == "Transpose" else None
    return None if order is None else before._replace(axis=order.tolist().index(before.axis))
