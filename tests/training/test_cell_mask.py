"""The mask made from what a training loop holds is the mask of the cells that exist."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from amad_core import amad_loss
from tests.support.agreement import assert_agrees
from tests.support.training_port import Port

LENGTHS = st.integers(1, 5)
DROPPED = (-np.inf, np.finfo(np.float32).min, -1e9, -10000.0)


@st.composite
def mask_arguments(draw: st.DrawFn) -> dict[str, Any]:
    """Self-attention: any padding, causal, a window, an additive mask."""
    batch, length = draw(LENGTHS), draw(LENGTHS)
    arguments: dict[str, Any] = {"tokens": draw(arrays(np.int64, (batch, length), elements=BITS))}
    if draw(st.booleans()):
        arguments["causal"] = True
    if draw(st.booleans()):
        arguments["window"] = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    if draw(st.booleans()):
        shape = (draw(st.sampled_from([1, batch])), 1, draw(st.sampled_from([1, length])), length)
        kept = draw(arrays(np.bool_, shape))
        kept[0, 0, 0, 0] = True
        arguments["additive"] = np.where(kept, 0.0, draw(st.sampled_from(DROPPED)))
    return arguments


BITS = st.integers(0, 1)


def by_hand(
    tokens: Any, causal: bool = False, window: Any = None, additive: Any = None
) -> np.ndarray:
    """Cell by cell, in words: every condition that was given holds."""
    batch, length = tokens.shape
    mask = np.zeros((batch, length, length), dtype=bool)
    for sample, query, key in np.ndindex(mask.shape):
        counts = tokens[sample, query] == 1 and tokens[sample, key] == 1
        if causal and key > query:
            counts = False
        if window is not None and not query - window[0] <= key <= query + window[1]:
            counts = False
        if additive is not None:
            full = np.broadcast_to(additive, (batch, 1, length, length))
            counts = counts and full[sample, 0, query, key] == 0
        mask[sample, query, key] = counts
    return mask


@given(arguments=mask_arguments())
def test_every_condition_holds_in_every_cell(port: Port, arguments: dict[str, Any]) -> None:
    found = port.call("cell_mask", **arguments)
    assert found.dtype == bool
    assert_agrees(found, by_hand(**arguments), within=0)


@given(data=st.data(), batch=LENGTHS, queries=LENGTHS, keys=LENGTHS)
def test_cross_attention_has_the_padding_of_both_sides(
    port: Port, data: st.DataObject, batch: int, queries: int, keys: int
) -> None:
    rows = data.draw(arrays(np.bool_, (batch, queries)))
    columns = data.draw(arrays(np.bool_, (data.draw(st.sampled_from([1, batch])), keys)))
    found = port.call(
        "cell_mask", queries=rows, keys=columns, maps=np.ones((batch, 2, queries, keys))
    )
    assert_agrees(found, rows[:, :, np.newaxis] & columns[:, np.newaxis], within=0)


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
@given(
    lengths=st.lists(st.tuples(LENGTHS, LENGTHS), min_size=1, max_size=3),
    self_attention=st.booleans(),
    causal=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_a_padded_batch_is_its_samples_without_padding(
    port: Port,
    variant: str,
    lengths: list[tuple[int, int]],
    self_attention: bool,
    causal: bool,
    seed: int,
) -> None:
    """To 1e-15, whatever the padded rows and columns hold."""
    if self_attention:
        lengths = [(queries, queries) for queries, _ in lengths]
    causal = causal and self_attention
    random = np.random.default_rng(seed)
    samples = [random_maps(random, queries, keys, causal) for queries, keys in lengths]
    longest = tuple(max(sizes) + 1 for sizes in zip(*lengths, strict=True))
    teacher, student = (
        np.stack([padded(sample[role], longest, random) for sample in samples]) for role in (0, 1)
    )
    rows, columns = (
        (np.arange(longest[axis]) < np.array([[sizes[axis]] for sizes in lengths])).astype(int)
        for axis in (0, 1)
    )
    padding = {"tokens": rows} if self_attention else {"queries": rows, "keys": columns}
    mask = port.call("cell_mask", causal=causal, maps=student, **padding)
    options = {"variant": variant, "reduction": "none"}
    found = amad_loss(teacher=teacher, student=student, mask=mask, **options)
    wanted = [amad_loss(teacher=t[None], student=s[None], **options)[0] for t, s in samples]
    assert_agrees(found, wanted, within=2e-15)


def random_maps(random: Any, queries: int, keys: int, causal: bool) -> tuple[Any, Any]:
    maps = [random.dirichlet(np.ones(keys), size=(heads, queries)) for heads in (3, 2)]
    kept = np.tri(queries, keys) if causal else np.ones((queries, keys))
    normed = [kept * m / (kept * m).sum(axis=-1, keepdims=True) for m in maps]
    return normed[0], normed[1]


def padded(maps: Any, lengths: tuple[int, ...], random: Any) -> Any:
    longer = random.dirichlet(np.ones(lengths[1]), size=(maps.shape[0], lengths[0]))
    longer[:, : maps.shape[1], : maps.shape[2]] = maps
    return longer


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64"])
def test_padding_masks_of_every_dtype(port: Port, dtype: str) -> None:
    tokens = np.array([[1, 1, 0], [1, 0, 0]])
    found = port.call("cell_mask", tokens=port.array(tokens, dtype))
    assert_agrees(found, (tokens[:, :, None] * tokens[:, None]) == 1, within=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("dropped", ["-inf", "the smallest", "-10000"])
def test_additive_masks_of_every_dtype(port: Port, dtype: str, dropped: str) -> None:
    if dtype == "bfloat16" and port.name == "spec":
        pytest.skip("NumPy has no bfloat16")
    smallest = {"float16": -65504.0, "bfloat16": -3.3895e38, "float32": np.finfo("float32").min}
    number = {
        "-inf": -np.inf,
        "the smallest": smallest.get(dtype, np.finfo("float64").min),
        "-10000": -10000.0,
    }[dropped]
    kept = np.array([[True, True, False]])
    additive = port.array(np.where(kept, 0.0, number)[:, None, None], dtype)
    found = port.call("cell_mask", additive=additive, queries=np.ones((1, 2), int))
    assert_agrees(found, np.broadcast_to(kept, (1, 2, 3)), within=0)


ONES = np.ones((2, 3), int)
ADDITIVE = np.zeros((2, 1, 3, 3))
ERRORS = [
    ({}, ValueError, "needs at least one of tokens"),
    ({"maps": np.ones((2, 2, 3, 3))}, ValueError, "needs at least one of tokens"),
    ({"causal": True}, ValueError, "causal needs to know how many queries and keys"),
    ({"window": (1, 1)}, ValueError, "window needs to know how many queries and keys"),
    ({"keys": ONES}, ValueError, "keys must come with queries"),
    ({"additive": ADDITIVE}, ValueError, "additive must come with queries"),
    ({"queries": ONES}, ValueError, "queries must come with keys or additive"),
    ({"tokens": ONES, "keys": ONES}, ValueError, "tokens is for self-attention.*got keys"),
    ({"tokens": ONES, "queries": ONES}, ValueError, "tokens is for self-attention.*got queries"),
    ({"tokens": ONES, "causal": 1}, TypeError, "causal must be True or False; got 1"),
    ({"tokens": ONES, "window": 2}, TypeError, r"window must be a pair.*got 2.*\(w - 1, 0\)"),
    ({"tokens": ONES, "window": (1, True)}, TypeError, r"window\[1\] must be an integer; got True"),
    ({"tokens": ONES, "window": (1, -1)}, ValueError, r"window\[1\] must be at least 0"),
    ({"tokens": 1.0 * ONES}, TypeError, "tokens must be boolean or integers.*float64.*additive"),
    ({"tokens": ONES[0]}, ValueError, r"tokens must have 2 axes.*got 1 axes, shape \[3\]"),
    ({"tokens": ADDITIVE == 0}, ValueError, "tokens must have 2 axes.*got 4 axes"),
    ({"tokens": ONES + 1}, ValueError, "tokens must hold only 1.*got 2.*no padding mask"),
    ({"tokens": -ONES}, ValueError, "tokens must hold only 1.*got -1"),
    ({"keys": ONES, "queries": 3 * ONES}, ValueError, "queries must hold only 1.*got 3"),
    ({"additive": ADDITIVE == 0, "tokens": ONES}, TypeError, "additive.*dtype bool|torch.bool"),
    ({"additive": ADDITIVE[:, 0], "tokens": ONES}, ValueError, r"additive.*shape \[2, 3, 3\]"),
    (
        {"additive": np.zeros((2, 4, 3, 3)), "tokens": ONES},
        ValueError,
        r"additive must have shape \[batch, 1, queries, keys\].*got shape \[2, 4, 3, 3\]",
    ),
    ({"additive": ADDITIVE - 1e9, "tokens": ONES}, ValueError, "additive.*got no 0 at all"),
    ({"additive": ADDITIVE - 3.5, "tokens": ONES}, ValueError, "additive.*got -3.5.*position"),
    ({"additive": ADDITIVE + 1.0, "tokens": ONES}, ValueError, "additive.*got 1.0"),
    ({"additive": ADDITIVE * np.nan, "tokens": ONES}, ValueError, "additive.*got nan"),
    (
        {"tokens": ONES, "maps": np.ones((2, 2, 3, 4))},
        ValueError,
        "tokens and maps must agree in keys; got 3 and 4",
    ),
    (
        {"tokens": ONES, "maps": np.ones((4, 2, 3, 3))},
        ValueError,
        "tokens and maps must agree in batch; got 2 and 4",
    ),
    (
        {"queries": ONES[:, :1], "keys": ONES, "maps": np.ones((2, 2, 3, 3))},
        ValueError,
        "queries and maps must agree in queries; got 1 and 3",
    ),
    ({"tokens": ONES, "maps": ONES}, ValueError, r"maps must have 4 axes.*\[2, 3\]"),
    (
        {"queries": ONES, "keys": np.ones((2, 4), int), "causal": True},
        ValueError,
        "causal needs as many queries as keys; got 3 queries and 4 keys",
    ),
    (
        {"queries": ONES, "keys": np.ones((2, 4), int), "window": (1, 1)},
        ValueError,
        "window needs as many queries as keys; got 3 queries and 4 keys",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"), ERRORS, ids=[re.sub(r"\W+", "-", e[2])[:50] for e in ERRORS]
)
def test_what_leaves_it_open_is_refused(
    port: Port, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        port.call("cell_mask", **arguments)


def test_a_causal_mask_needs_no_more_than_the_maps(port: Port) -> None:
    found = port.call("cell_mask", causal=True, maps=np.ones((2, 4, 3, 3)))
    assert_agrees(found, np.broadcast_to(np.tri(3) == 1, (2, 3, 3)), within=0)


def test_the_masks_of_transformers() -> None:
    """A sliding window of ``w`` is ``(w - 1, 0)``; its 4-d masks read as they are meant."""
    torch = pytest.importorskip("torch")
    masking = pytest.importorskip("transformers.masking_utils")
    from transformers import MistralConfig

    from amad_torch.training.masks import cell_mask

    config = MistralConfig(sliding_window=2, attn_implementation="eager")
    tokens = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    additive = masking.create_sliding_window_causal_mask(
        config=config,
        inputs_embeds=torch.zeros(2, 5, 4),
        attention_mask=tokens,
        past_key_values=None,
        position_ids=torch.arange(5)[None],
    )
    found = cell_mask(additive=additive, tokens=tokens)
    wanted = cell_mask(tokens=tokens, causal=True, window=(1, 0))
    assert found.sum() == 9 + 5  # by hand: 1 + 2 + 2 + 2 + 2 cells, and 1 + 2 + 2
    assert torch.equal(found, wanted)
