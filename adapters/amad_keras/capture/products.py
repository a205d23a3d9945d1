"""Products of queries and keys, as TensorFlow computes them: which operand is which."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import ascii_letters

from amad_keras.capture.later import Later
from amad_keras.capture.operation import Operation, attribute
from amad_keras.capture.sources import static_value
from amad_keras.capture.tensors import known_shape, rank

BATCHED = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}


@dataclass(frozen=True)
class Operands:
    """``[..., Q, d]`` and ``[..., K, d]``, and at which inputs of the product they stood.

    The leading axes are samples and heads; keys may lack some (grouped queries).
    ``orders``: which axis of its input each of their axes was. ``of_scores``: which axis of the
    product each of ``[B, H, Q, K]`` is. ``is_sure``: whether heads and queries can be told apart.
    """

    queries: Later
    keys: Later
    places: tuple[int, int]
    orders: tuple[list[int], list[int]]
    of_scores: list[int]
    is_sure: bool = True


def operands_of(operation: Operation, heads: int | None) -> Operands | None:
    """Of a product of activations; ``None`` where an operand has no axis of samples.

    ``heads``: how many the layer says it has.
    """
    if operation.type == "Einsum":
        return _of_einsum(operation, heads)
    axes, others = (rank(one) for one in operation.inputs)
    if axes is None or axes < 3 or axes != others:
        return None
    kept = list(range(axes - 2))
    swapped, straight = [*kept, axes - 1, axes - 2], [*kept, axes - 2, axes - 1]
    left, right = (Later(one, axes) for one in operation.inputs)
    orders = (
        swapped if attribute(operation, "adj_x") else straight,
        straight if attribute(operation, "adj_y") else swapped,
    )
    order, is_sure = list(range(axes)), True
    shapes = [known_shape(one) for one in operation.inputs]
    if axes == 4 and shapes[0][1] != 1 == shapes[1][1]:  # All heads share keys, on either axis.
        lengths = shapes[0][1], shapes[0][orders[0][2]]
        is_sure = heads is not None and lengths.count(heads) == 1
        if is_sure and lengths[1] == heads:
            order = [0, 2, 1, 3]
            orders = [orders[0][axis] for axis in order], orders[1]
    sides = left.transposed(orders[0]), right.transposed(orders[1])
    return Operands(*sides, (0, 1), orders, order, is_sure)


def letters(operation: Operation) -> tuple[str, str, str] | None:
    """The axes of an einsum of two tensors and of its result; ``None`` of any other."""
    equation = str(attribute(operation, "equation")).replace(" ", "")
    inputs, arrow, result = equation.partition("->")
    names = inputs.split(",")
    if not arrow or len(names) != 2:
        return None
    if "..." in equation:  # stands for the axes that the letters leave
        axes = [rank(one) for one in operation.inputs]
        left = [(a or 0) - len(name) + 3 for a, name in zip(axes, names, strict=True)]
        free = [one for one in ascii_letters if one not in equation][: max(left)]
        names = [
            name.replace("...", "".join(free[len(free) - more :]))
            for more, name in zip(left, names, strict=True)
        ]
        result = result.replace("...", "".join(free))
    return names[0], names[1], result


def transposed_einsum(einsum: Operation, further: Operation) -> Operation | None:
    """An einsum, and a transpose of its result if that is what follows; ``None``: in any order."""
    if further.type != "Transpose":
        return einsum
    parsed, order = letters(einsum), static_value(further.inputs[1])
    if order is None or parsed is None:
        return None
    left, right, result = parsed
    equation = f"{left},{right}->{''.join(result[axis] for axis in order)}"
    return einsum._replace(attributes={"equation": equation})


def _of_einsum(operation: Operation, heads: int | None) -> Operands | None:
    """Axes of both operands are samples and heads; of one alone queries or keys, or groups of
    heads, which keys lack."""
    parsed = letters(operation)
    if parsed is None or len(parsed[2]) < 3:
        return None
    sides, result = parsed[:2], parsed[2]
    both = [one for one in result if one in sides[0] and one in sides[1]]
    alone = [[one for one in result if one in side and one not in both] for side in sides]
    summed = [one for one in sides[0] if one in sides[1] and one not in result]
    of_keys = [place for place in (0, 1) if len(alone[place]) == 1]
    whole = all(
        set(side) == {*both, *mine, *summed} for side, mine in zip(sides, alone, strict=True)
    )
    if len(summed) != 1 or not whole or not all(alone) or not of_keys:
        return None
    place = max(of_keys, key=lambda one: result.index(alone[one][0]))
    key, candidates = alone[place][0], alone[1 - place]
    its_shape = dict(zip(sides[1 - place], known_shape(operation.inputs[1 - place]), strict=True))
    sure = candidates if len(candidates) == 1 else _placed_as(key, candidates, sides, place)
    if len(sure) != 1:
        among = [one for one in both if one != sides[0][0]]
        sure = [
            one
            for one in candidates
            if heads and heads == _length(its_shape, {*among, *candidates} - {one})
        ]
    query = sure[0] if len(sure) == 1 else candidates[-1]
    samples = sides[0][0] if sides[0][0] == sides[1][0] else result[0]
    if samples not in both:
        return None
    others = (one for one in result if one not in query + key)
    lead = sorted(others, key=lambda one: (one != samples, one not in both))
    lead_of_keys = [one for one in lead if one in both]
    orders = (
        [sides[1 - place].index(one) for one in (*lead, query, *summed)],
        [sides[place].index(one) for one in (*lead_of_keys, key, *summed)],
    )
    places = 1 - place, place
    queries, keys = (
        Later(operation.inputs[at], len(order)).transposed(order)
        for at, order in zip(places, orders, strict=True)
    )
    of_scores = [result.index(one) for one in (*lead, query, key)]
    return Operands(queries, keys, places, orders, of_scores, len(sure) == 1)


def _placed_as(key: str, candidates: list[str], sides: tuple[str, ...], place: int) -> list[str]:
    """Axes of queries alone that stand behind the same axes as the keys' own: not the groups."""
    side, keys = sides[1 - place], sides[place]
    before = set(keys[: keys.index(key)])
    return [one for one in candidates if set(side[: side.index(one)]) & set(keys) == before]


def _length(shape: Mapping[str, int | None], names: Iterable[str]) -> int | None:
    """Of axes together, where it is known."""
    found = [shape[name] for name in names]
    return None if None in found else math.prod(one for one in found if one is not None)
