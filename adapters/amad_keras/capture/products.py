"""Products of queries and keys, as TensorFlow computes them: which operand is which."""

from dataclasses import dataclass

from amad_keras.capture.later import Later
from amad_keras.capture.operation import Operation, attribute
from amad_keras.capture.sources import static_value
from amad_keras.capture.tensors import rank

BATCHED = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}


@dataclass(frozen=True)
class Operands:
    """``[..., Q, d]`` and ``[..., K, d]``, and at which inputs of the product they stood.

    The leading axes are in the order of those of the scores; keys may lack some (grouped queries).
    ``orders``: which axis of its input each of their axes was.
    """

    queries: Later
    keys: Later
    places: tuple[int, int]
    orders: tuple[list[int], list[int]]


def operands_of(operation: Operation) -> Operands | None:
    """Of a product of activations; ``None`` where an operand has no axis of samples."""
    if operation.type == "Einsum":
        return _of_einsum(operation)
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
    return Operands(left.transposed(orders[0]), right.transposed(orders[1]), (0, 1), orders)


def letters(operation: Operation) -> tuple[str, str, str] | None:
    """The axes of an einsum of two tensors and of its result; ``None`` of any other."""
    equation = str(attribute(operation, "equation")).replace(" ", "")
    inputs, arrow, result = equation.partition("->")
    names = inputs.split(",")
    if not arrow or len(names) != 2 or "." in equation:
        return None
    return names[0], names[1], result


def transposed_einsum(einsum: Operation, further: Operation) -> Operation | None:
    """An einsum, and a transpose of its result if that is what follows; ``None``: in any order."""
    operands, _, result = str(attribute(einsum, "equation")).replace(" ", "").partition("->")
    if further.type != "Transpose":
        return einsum
    order = static_value(further.inputs[1])
    if order is None or not result:
        return None
    equation = f"{operands}->{''.join(result[axis] for axis in order)}"
    return einsum._replace(attributes={"equation": equation})


def _of_einsum(operation: Operation) -> Operands | None:
    parsed = letters(operation)
    if parsed is None or len(parsed[2]) < 3:
        return None
    result = parsed[2]
    places = (1, 0) if result[-1] in parsed[0] else (0, 1)
    of_queries, of_keys = (parsed[place] for place in places)
    lead, query, key = result[:-2], result[-2], result[-1]
    summed = "".join(one for one in of_queries if one in of_keys and one not in result)
    fits = (
        len(summed) == 1
        and lead[0] in of_keys
        and sorted(of_queries) == sorted(lead + query + summed)
        and set(of_keys) <= {*lead, key, summed}
        and key in of_keys
    )
    if not fits:
        return None
    shared = "".join(one for one in lead if one in of_keys)
    orders = (
        [of_queries.index(one) for one in lead + query + summed],
        [of_keys.index(one) for one in shared + key + summed],
    )
    queries, keys = (
        Later(operation.inputs[place], len(order)).transposed(order)
        for place, order in zip(places, orders, strict=True)
    )
    return Operands(queries, keys, places, orders)
