"""The values that attention probabilities meet, and the axes of the heads' outputs."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import keras

from amad_keras.capture.axes import HEADS, KEYS, QUERIES, SAMPLES, WIDTH, Axes
from amad_keras.capture.later import Later
from amad_keras.capture.operation import Operation, attribute
from amad_keras.capture.products import letters
from amad_keras.capture.repeats import Repeat
from amad_keras.capture.tensors import Tensor, known_shape, lengths


class Product(NamedTuple):
    """Probabilities times values.

    Attributes:
        values: ``[B, Hk, K, d]``, or with samples and heads as one axis.
        order: which axis of its input each of theirs was.
        axes: of the output, the heads' outputs.
    """

    values: Later
    order: list[int]
    axes: Axes


def product_with_values(
    operation: Operation, place: int, axes: Axes, repeat: Repeat | None
) -> Product | None:
    """How probabilities at an input meet the values at the other.

    ``None`` where it cannot be read as a sum over keys, with values for groups of heads.
    """
    read = _of_einsum if operation.type == "Einsum" else _of_batches
    found = read(operation, place, axes)
    if found is None:
        return None
    values, order = found.values, found.order
    if repeat is not None and len(order) == 4 and order.index(repeat.axis) == 1:
        values = values.then(partial(every, repeat.times))
    if values.rank == 3 and axes.names[0] == SAMPLES:  # one head of values for all
        values = values.then(lambda one: one[:, None])
    elif values.rank > 4:
        values = values.then(_with_one_axis_of_heads)
    return found._replace(values=values)


def every(times: int, vectors: Tensor) -> Tensor:
    """Heads ``[B, H, L, d]`` without their repeats."""
    return vectors[:, ::times]


def _with_one_axis_of_heads(values: Tensor) -> Tensor:
    samples, *heads, keys, width = lengths(values)
    joined = 1
    for one in heads:
        joined = joined * one
    return keras.ops.reshape(values, [samples, joined, keys, width])


def _of_batches(operation: Operation, place: int, axes: Axes) -> Product | None:
    values = operation.inputs[1 - place]
    turned = [attribute(operation, name) for name in ("adj_x", "adj_y")]
    order = list(range(len(known_shape(values))))
    if len(order) != len(axes.names) or len(order) < 3 or axes.names[0][:1] not in (SAMPLES, ""):
        return None
    # The product sums over the last axis of its left and the last but one of its right side.
    maps_last, values_last = ((side == 0) != bool(turned[side]) for side in (place, 1 - place))
    summed, kept = axes.names[-1 if maps_last else -2], axes.names[-2 if maps_last else -1]
    lead = zip(axes.names[:-2], known_shape(values), strict=False)
    if axes.lettered(summed) not in (KEYS, "") or KEYS in kept:
        return None
    if not _is_grouped(axes, [name for name, length in lead if length != 1]):
        return None
    if values_last:
        order[-2:] = [order[-1], order[-2]]
    names = (*axes.names[:-2], kept, WIDTH) if place == 0 else (*axes.names[:-2], WIDTH, kept)
    return Product(
        Later(values, len(order)).transposed(order), order, _of_outputs(axes, names, values, order)
    )


def _of_einsum(operation: Operation, place: int, axes: Axes) -> Product | None:
    parsed, values = letters(operation), operation.inputs[1 - place]
    if parsed is None or axes.names[0][:1] not in (SAMPLES, ""):
        return None
    own, other, result = parsed[place], parsed[1 - place], parsed[2]
    by_letter = dict(zip(own, axes.names, strict=True))
    summed = [letter for letter in own if letter in other and letter not in result]
    width = [letter for letter in other if letter not in own]
    if len(summed) != 1 or len(width) != 1 or by_letter[summed[0]] not in (KEYS, ""):
        return None
    lead = [one for one in own if one not in summed and by_letter[one] != QUERIES]
    shared = [by_letter[one] for one in own if one in other and one not in summed]
    if QUERIES in "".join(shared) or own[0] not in other or not _is_grouped(axes, shared):
        return None
    order = [other.index(one) for one in (*lead, *summed, *width) if one in other]
    by_letter[width[0]] = WIDTH
    names = tuple(by_letter[letter] for letter in result)
    found = Later(values, len(order)).transposed(order)
    return Product(found, order, _of_outputs(axes, names, values, order))


def _of_outputs(axes: Axes, names: tuple[str, ...], values: Tensor, order: list[int]) -> Axes:
    return replace(axes, names=names, sizes={**axes.sizes, WIDTH: known_shape(values)[order[-1]]})


def _is_grouped(axes: Axes, shared: list[str]) -> bool:
    """Heads of maps share values in groups where what values have are the outermost axes."""
    heads = axes.lettered("".join(one for one in HEADS if one in axes.sizes))
    return heads.startswith("".join(one for one in "".join(shared) if one in heads))
