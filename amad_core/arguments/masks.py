"""What the makers of cell masks accept, and how they say no.

Standard library only: the adapters import this file so that the same mistake is answered with the
same words in every framework. ``None`` stands for a length that a graph does not know yet.
"""

from collections.abc import Collection, Mapping

from amad_core.arguments.words import Shape, integer

LARGEST_DROPPED = -1000.0
"""An additive mask drops a cell at this number or below: its exponential is 0 in float64."""

_AXES = ("batch", "queries", "keys")
_STATED_AXES = {
    "tokens": _AXES,
    "queries": ("batch", "queries"),
    "keys": ("batch", "keys"),
    "additive": _AXES,
    "maps": _AXES,
}
_BROADCAST = {("additive", "queries")}  # beside the batch, which every argument may give as 1


def check_mask_arguments(given: Collection[str], causal: object, window: object) -> None:
    """Raise unless the arguments given say of every cell whether it counts."""
    if not isinstance(causal, bool):
        raise TypeError(f"causal must be True or False; got {causal!r}")
    _check_window(window)
    if "tokens" in given:
        for argument in ("queries", "keys"):
            if argument in given:
                raise ValueError(
                    f"tokens is for self-attention and stands for queries and keys; got {argument} "
                    "as well (cross-attention: give queries and keys without tokens)"
                )
    for argument in ("keys", "additive"):
        if argument in given and not {"tokens", "queries"} & set(given):
            raise ValueError(
                f"{argument} must come with queries (cross-attention) or tokens (self-attention): "
                f"{argument} alone leaves padded query rows in; got neither (queries that are all "
                "real are a mask of ones)"
            )
    if "queries" in given and not {"keys", "additive"} & set(given):
        raise ValueError(
            "queries must come with keys or additive; got neither (self-attention: give tokens; "
            "keys that are all real are a mask of ones)"
        )
    if not given and (causal or window is not None):
        raise ValueError(
            f"{'causal' if causal else 'window'} needs to know how many queries and keys there "
            "are; got no maps, tokens, or queries and keys"
        )
    if set(given) <= {"maps"} and not causal and window is None:
        raise ValueError(
            "cell_mask needs at least one of tokens, queries, keys, causal, window "
            "and additive; got none"
        )


def check_padding(argument: str, dtype: object, is_countable: bool, shape: Shape) -> None:
    """Raise unless a padding mask is boolean or whole-numbered, with two axes."""
    if not is_countable:
        raise TypeError(
            f"{argument} must be boolean or integers, 1 for a real token and 0 for padding; got "
            f"dtype {dtype} (an additive mask belongs in additive; compare a mask of 0.0 and 1.0 "
            f"first, {argument} == 1)"
        )
    if len(shape) != 2:
        raise ValueError(
            f"{argument} must have 2 axes [batch, {argument}]; got {len(shape)} axes, "
            f"shape {list(shape)}"
        )


def bad_padding(argument: str, found: str) -> ValueError:
    """The error for a padding mask of other numbers than 0 and 1; ``found`` says what came."""
    return ValueError(
        f"{argument} must hold only 1 (a real token) and 0 (padding); got {found} "
        "(token, segment or document ids are no padding mask)"
    )


def check_additive(dtype: object, is_floating: bool, shape: Shape) -> None:
    """Raise unless an additive mask is floating-point ``[B, 1, Q, K]``; B and Q may be 1."""
    if not is_floating:
        raise TypeError(
            f"additive must hold floating-point numbers, 0 where a cell counts; got dtype {dtype} "
            "(a boolean mask [B, 1, Q, K] is mask[:, 0]: combine it with & instead)"
        )
    if len(shape) != 4 or shape[1] not in (1, None):
        raise ValueError(
            "additive must have shape [batch, 1, queries, keys], one mask for all heads; got "
            f"shape {list(shape)}"
        )


def bad_additive(found: str) -> ValueError:
    """The error for an additive mask that is no mask; ``found`` says what came."""
    return ValueError(
        "additive must hold 0 where a cell counts, somewhere, and large negative numbers (at most "
        f"{LARGEST_DROPPED}) or -inf elsewhere; got {found} (a position bias is no mask)"
    )


def check_mask_lengths(shapes: Mapping[str, Shape]) -> None:
    """Raise unless masks ``[B, Q, K]``, by argument, agree in what each of them states.

    A batch of 1 goes with every batch, and one query row of ``additive`` with every query.
    """
    for index, axis in enumerate(_AXES):
        stated: tuple[str, int] | None = None
        for argument, shape in shapes.items():
            length = shape[index]
            repeats = length == 1 and (axis == "batch" or (argument, axis) in _BROADCAST)
            if axis not in _STATED_AXES[argument] or length is None or repeats:
                continue
            if stated is not None and stated[1] != length:
                raise ValueError(
                    f"{stated[0]} and {argument} must agree in {axis}; got {stated[1]} and {length}"
                )
            stated = (argument, length)


def check_square(causal: bool, queries: int | None, keys: int | None) -> None:
    """Raise unless queries and keys stand at the same positions, as causal and window need."""
    if queries is not None and keys is not None and queries != keys:
        raise ValueError(
            f"{'causal' if causal else 'window'} needs as many queries as keys; got {queries} "
            f"queries and {keys} keys, so which key stands at which query is not known: combine "
            "a boolean mask of your own with & instead"
        )


def _check_window(window: object) -> None:
    if window is None:
        return
    if not isinstance(window, (tuple, list)) or len(window) != 2:
        raise TypeError(
            "window must be a pair (keys before, keys after) around the query's own position; got "
            f"{window!r} (a sliding window of w keys that ends at the query is (w - 1, 0))"
        )
    for number, length in enumerate(window):
        if not 0 <= integer(f"window[{number}]", length) < 2**31:
            raise ValueError(f"window[{number}] must be at least 0, in 31 bits; got {window!r}")
