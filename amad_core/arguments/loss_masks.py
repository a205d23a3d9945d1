"""What the mask of a loss must be, and how the answer is no: with what to write instead.

A mask of fewer axes than it needs is aligned from the right, as everywhere in these frameworks. So
``[m, n]`` is read as ``[queries, keys]``, and a padding mask ``[batch, keys]`` has the same axes;
where ``m`` may be the batch, nothing tells them apart, and the mask is refused [D21].
"""

from amad_core.arguments.words import Shape, agree, shown


def check_mask(dtype: object, is_boolean: bool, shape: Shape, maps: Shape) -> None:
    """Raise unless the mask is boolean and broadcasts to ``[B, Q, K]`` of maps ``[B, H, Q, K]``.

    Of fewer than 3 axes, the first must not have the length of the batch, nor one that a graph does
    not know.
    """
    if not is_boolean:
        raise TypeError(
            f"mask must be boolean, true where a cell counts; got dtype {dtype}, shape "
            f"{shown(shape)} ({_instead(shape, maps) or 'compare it first: mask == 1'})"
        )
    target = (maps[0], maps[2], maps[3])
    if not broadcasts(shape, target):
        instead = _instead(shape, maps)
        raise ValueError(
            f"mask must broadcast to [batch, queries, keys] = {shown(target)}; got shape "
            f"{shown(shape)}{instead and f' ({instead})'}"
        )
    if may_begin_with_batch(shape, target):
        raise ValueError(
            "mask must have 3 axes where its first may be the batch; got shape "
            f"{shown(shape)} for [batch, queries, keys] = {shown(target)}, which "
            + (
                "may be [keys] or [batch] (for keys of every sample write mask[None, None, :], for "
                "samples mask[:, None, None])"
                if len(shape) == 1
                else "may be [queries, keys] or [batch, keys] (for cells of every sample write "
                "mask[None], for keys of each sample mask[:, None, :], for a padding mask of "
                "tokens, queries among them, cell_mask(tokens=mask))"
            )
        )


def check_position_mask(dtype: object, is_boolean: bool, shape: Shape, logits: Shape) -> None:
    """Raise unless the mask is boolean and broadcasts to the positions of the logits.

    Of fewer axes than they have, the first must not have the length of the batch.
    """
    target = tuple(logits[:-1])
    if not is_boolean:
        raise TypeError(
            f"mask must be boolean, true where a position counts; got dtype {dtype} "
            "(compare a 0/1 mask first: mask == 1)"
        )
    if not broadcasts(shape, target):
        raise ValueError(
            "mask must broadcast to the positions of the logits "
            f"{shown(target)}; got shape {shown(shape)}"
        )
    if may_begin_with_batch(shape, target):
        raise ValueError(
            "mask must have 2 axes where its first may be the batch; got shape "
            f"{shown(shape)} for [batch, tokens] = {shown(target)}, which may be [tokens] or "
            "[batch] (for tokens of every sample write mask[None], for samples mask[:, None])"
        )


def broadcasts(shape: Shape, target: Shape) -> bool:
    """Whether an array of ``shape``, aligned from the right, may broadcast to ``target``."""
    padded = (1,) * (len(target) - len(shape)) + tuple(shape)
    return len(shape) <= len(target) and all(
        length == 1 or agree(length, wanted) for length, wanted in zip(padded, target, strict=True)
    )


def may_begin_with_batch(shape: Shape, target: Shape) -> bool:
    """Whether an array that lacks axes of ``target`` may have the batch as its first."""
    return 0 < len(shape) < len(target) and agree(shape[0], target[0])


def _instead(shape: Shape, maps: Shape) -> str:
    """What to write for the masks that other functions take; nothing for a shape of no such."""
    batch, _, queries, keys = maps
    if len(shape) == 2 and (shape[0] == 1 or agree(shape[0], batch)):
        if not agree(queries, keys) and agree(shape[1], queries):
            return "a padding mask of the queries: cell_mask(queries=mask, keys=...)"
        if agree(shape[1], keys):
            return "a padding mask: " + (
                "cell_mask(tokens=mask)"
                if agree(queries, keys)
                else "cell_mask(queries=..., keys=mask)"
            )
    if len(shape) == 4 and shape[1] == 1 and shape[2] == 1:
        return (
            "a padding mask with two axes more: cell_mask(tokens=mask[:, 0, 0]), or one that is "
            "added to the scores: cell_mask(additive=mask, tokens=...)"
        )
    if len(shape) == 4 and shape[1] == 1:
        return (
            "a boolean mask with an axis for heads: mask[:, 0]; one of 0 and 1: mask[:, 0] == 1; "
            "one that is added to the scores: cell_mask(additive=mask, tokens=...)"
        )
    if len(shape) == 4:
        return "one mask is for all heads: mask[:, 0] where every head has the same"
    if len(shape) == 3 and shape[0] and batch and agree(shape[1], queries):
        if batch % shape[0] == 0 and batch != shape[0]:
            return (
                f"maps of windows have their samples {batch // shape[0]} times: repeat the mask of "
                f"each image ({batch // shape[0]} times in a row), or tile that of the windows"
            )
        if shape[0] % batch == 0 and batch != shape[0]:
            return (
                f"{shape[0] // batch} masks for each sample: one is for all heads, "
                f"mask.reshape({batch}, {shape[0] // batch}, ...)[:, 0] where every head has it"
            )
    return ""
