"""What maps and the options of the loss must be, and how the answer is no."""

import math

from amad_core.arguments.words import Shape, agree, check_choice, integer, real, shown

REDUCTIONS = ("none", "sum", "mean")
"""Reductions over the batch. Dividing by heads, rows or cells is no reduction of AMAD."""

IMPLEMENTATIONS = ("auto", "plain", "fused")
"""Of the loss in an adapter: the formulas as they stand, or their closed forms."""

LARGEST_WEIGHT_BYTES = 4 * 2**30
"""A learned projection of more cells than fit here is taken for a mistake."""


_MAP_AXES = "[batch, heads, queries, keys]"

_OTHER_AXES = {
    3: (
        " (an average over heads has none left to align: torch.nn.MultiheadAttention takes "
        "average_attn_weights=False; a map of one head is maps[:, None])"
    ),
    5: " (maps of several layers are a list for amad_layers_loss, one map a layer)",
}


def check_temperature(temperature: object) -> None:
    """Raise unless the softmax temperature is a finite real number above zero."""
    if not 0 < real("temperature", temperature) < math.inf:
        raise ValueError(f"temperature must be finite and greater than 0; got {temperature!r}")


def check_implementation(implementation: object, variant: str) -> None:
    """Raise unless there is such a form of the loss, and the variant has it."""
    check_choice("implementation", implementation, IMPLEMENTATIONS)
    if implementation == "fused" and variant == "projected":
        raise ValueError(
            "implementation must be 'auto' or 'plain' with the variant 'projected', which has no "
            "closed form; got 'fused'"
        )


def check_eps(eps: object) -> None:
    """Raise unless the floor inside the logarithm is a finite real number, zero or more."""
    floor = real("eps", eps)
    if not 0 <= floor < math.inf or (floor == 0 and eps != 0):  # a fraction that a float rounds
        raise ValueError(f"eps must be finite and at least 0; got {eps!r}")


def check_floating(argument: str, dtype: object, is_floating: bool) -> None:
    """Raise unless an array holds real floating-point numbers."""
    if not is_floating:
        raise TypeError(f"{argument} must hold real floating-point numbers; got dtype {dtype}")


def check_map_shape(argument: str, shape: Shape) -> None:
    """Raise unless it is ``[B, H, Q, K]`` with no empty axis."""
    if len(shape) != 4:
        raise ValueError(
            f"{argument} must have 4 axes {_MAP_AXES}; got {len(shape)} axes, "
            f"shape {shown(shape)}{_OTHER_AXES.get(len(shape), '')}"
        )
    for axis, length in zip(("batch", "heads", "queries", "keys"), shape, strict=True):
        if length == 0:
            raise ValueError(
                f"{argument} must have at least 1 along {axis}; got shape {shown(shape)}"
            )


def check_map_shapes(teacher: Shape, student: Shape) -> None:
    """Raise unless both are ``[B, H, Q, K]`` with no empty axis and agree in all but the heads."""
    check_map_shape("teacher", teacher)
    check_map_shape("student", student)
    for axis, index in (("batch", 0), ("queries", 2), ("keys", 3)):
        if not agree(teacher[index], student[index]):
            raise ValueError(
                f"teacher and student must agree in {axis}; got teacher {teacher[index]}, "
                f"student {student[index]} (shapes {shown(teacher)} and {shown(student)}, "
                f"axes {_MAP_AXES}){_same_cells(teacher, student)}; docs/different-lengths.md"
            )


def _same_cells(teacher: Shape, student: Shape) -> str:
    """What can be done about maps whose cells do not stand for the same."""
    batch, queries, keys = (agree(teacher[axis], student[axis]) for axis in (0, 2, 3))
    if not batch:
        return (
            ": sample i of the one has to be sample i of the other (attention in windows gives a "
            "sample for each window: put the windows of an image together, or compare models with "
            "the same windows)"
        )
    if queries != keys:
        return (
            ": a cell has to be the same query and key in both (a band of local attention: put its "
            "cells where their keys stand; keys of a cache or prefix: cut them off; keys that were "
            "pooled: pool those of the other side alike)"
        )
    return (
        ": a cell has to be the same query and key in both (class, distillation and register "
        "tokens that one side lacks: cut them off, maps[:, :, n:, n:]; patches of another size: "
        "resize one grid to the other; two tokenizers: sum and average over the words they share)"
    )


def check_projection(variant: str, weight: Shape | None, bias: Shape | None, maps: Shape) -> None:
    """Raise unless ``weight`` is ``[n, n]`` and ``bias`` ``[n]``, with ``n`` = queries * keys."""
    if variant != "projected":
        for argument, shape in (("weight", weight), ("bias", bias)):
            if shape is not None:
                raise ValueError(
                    f"{argument} belongs to the variant 'projected'; got it with {variant!r}"
                )
        return
    queries, keys = maps[2], maps[3]
    cells = None if queries is None or keys is None else queries * keys
    for argument, found, wanted in (("weight", weight, (cells, cells)), ("bias", bias, (cells,))):
        if found is None:
            raise ValueError(
                f"{argument} must be given for the variant 'projected', "
                f"of shape {shown(wanted)} (queries * keys = {cells} cells); got None"
            )
        fits = len(found) == len(wanted) and all(map(agree, found, wanted))
        if not fits:
            raise ValueError(
                f"{argument} must have shape {shown(wanted)} (queries * keys = {cells} cells); "
                f"got {shown(found)}"
            )


def check_cells(variant: str, cells: object) -> None:
    """Raise unless a module's cell count goes with its variant and its weight fits in memory."""
    if variant != "projected":
        if cells is not None:
            raise ValueError(
                f"cells belongs to the variant 'projected'; got {cells!r} with {variant!r}"
            )
        return
    number = integer("cells", cells, ", queries * keys, for the variant 'projected'")
    if number < 1:
        raise ValueError(f"cells must be at least 1; got {cells}")
    size = 4 * number**2
    if size > LARGEST_WEIGHT_BYTES:
        raise ValueError(
            f"cells must be small enough for a weight of cells * cells float32 numbers; got "
            f"{cells}, a weight of {size:,} bytes (the most is {LARGEST_WEIGHT_BYTES:,})"
        )


def bad_parameter(argument: str, found: str) -> ValueError:
    """The error for a learned parameter that is not finite; ``found`` says what came."""
    return ValueError(f"{argument} must be finite; got {found}")


def bad_values(argument: str, found: str) -> ValueError:
    """The error for maps that hold what no attention map holds; ``found`` says what came."""
    return ValueError(f"{argument} must be finite and non-negative where it counts; got {found}")
