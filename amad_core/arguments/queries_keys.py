"""What queries, keys and what goes with them must be, and how the answer is no."""

import math
from collections.abc import Collection, Mapping, Sequence

from amad_core.arguments.words import Shape, described, integer, listed, real, shown

_AXES = {
    "queries": "[batch, heads, queries, head size]",
    "keys": "[batch, key heads, keys, head size]",
}


def check_queries_and_keys(side: str, queries: Shape, keys: Shape) -> None:
    """Raise unless they are those of one attention: ``[B, H, Q, d]`` and ``[B, Hk, K, d]``."""
    for name, shape in (("queries", queries), ("keys", keys)):
        if len(shape) != 4 or 0 in shape:
            raise ValueError(
                f"{side}.{name} must have 4 axes {_AXES[name]}, none of them empty; got shape "
                f"{shown(shape)}"
            )
    for axis, index in (("batch", 0), ("head size", 3)):
        if queries[index] != keys[index]:
            raise ValueError(
                f"{side}: queries and keys must agree in {axis}; got queries {shown(queries)}, "
                f"keys {shown(keys)}"
            )
    if (queries[1] or 1) % (keys[1] or 1):
        raise ValueError(
            f"{side}.keys must have a number of heads that divides that of the queries; got "
            f"{keys[1]} for {queries[1]}"
        )


def check_scores(
    side: str, scale: object, softcap: object, log_sum_exp_fits: bool, sinks_fit: bool
) -> None:
    """Raise unless scale and soft cap are numbers, and what has a row or a head fits it."""
    if scale is not None and not math.isfinite(real(f"{side}.scale", scale)):
        raise ValueError(f"{side}.scale must be finite; got {scale!r}")
    if softcap is not None and not 0 < real(f"{side}.softcap", softcap) < math.inf:
        raise ValueError(f"{side}.softcap must be finite and greater than 0; got {softcap!r}")
    if not log_sum_exp_fits:
        raise ValueError(f"{side}.log_sum_exp must have one number a row, [batch, heads, queries]")
    if not sinks_fit:
        raise ValueError(f"{side}.sinks must have one number a head, [heads]")


def check_broadcasts(side: str, maps: Shape, given: Mapping[str, Shape]) -> None:
    """Raise unless masks and biases have 4 axes that broadcast to ``[B, H, Q, K]``."""
    for name, shape in given.items():
        fits = len(shape) == 4 and all(
            length in (1, wanted) for length, wanted in zip(shape, maps, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{side}.{name} must have 4 axes that broadcast to [batch, heads, queries, keys] = "
                f"{shown(maps)}; got shape {shown(shape)} (for keys of each sample write "
                f"{name}[:, None, None, :], for one of all samples and heads {name}[None, None])"
            )


def check_window(side: str, window: object, causal: bool, queries: int, keys: int) -> None:
    """Raise unless an order of queries and keys is one: as many of both, a pair of integers."""
    if window is not None and not (
        isinstance(window, tuple | list)
        and len(window) == 2
        and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in window)
    ):
        raise ValueError(
            f"{side}.window must be two integers, (before, after), at least 0; got "
            f"{described(window)}"
        )
    if (causal or window is not None) and queries != keys:
        raise ValueError(
            f"{side}: causal and window need as many queries as keys; got {queries} and {keys}: "
            "say with mask which keys are seen"
        )


def check_streamed(variant: str, streamed: Collection[str]) -> None:
    """Raise where a variant needs whole maps."""
    if variant not in streamed:
        raise ValueError(
            f"variant must be one of {listed(streamed)} from queries and keys; got {variant!r}, "
            "which multiplies whole maps by a learned matrix: take the amad_loss of maps"
        )


def check_at_once(queries_at_once: object) -> None:
    """Raise unless it is ``None`` or a number of queries."""
    if queries_at_once is not None and integer("queries_at_once", queries_at_once) < 1:
        raise ValueError(f"queries_at_once must be at least 1; got {queries_at_once!r}")


def not_finite(inputs: Sequence[str]) -> ValueError:
    """The error for a loss that is NaN; ``inputs`` names those that are not finite."""
    if inputs:
        return ValueError(
            f"{', '.join(inputs)} must be finite where cells count; got NaN or infinity, and the "
            "loss is NaN"
        )
    return ValueError(
        "scores of queries and keys must be finite in the dtype of their products; got some beyond "
        "it, and the loss is NaN"
    )
