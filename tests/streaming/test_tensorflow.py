"""TensorFlow's streamed loss: the specification's numbers, in every mode, and no map in a graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.streaming.cases import KINDS, Case, cases, side, with_log_sum_exp
from tests.support.agreement import assert_agrees
from tests.support.frameworks import TENSORFLOW

tf = pytest.importorskip("tensorflow")
pytestmark = TENSORFLOW

VARIANTS = ("mse", "kl", "token", "js")
FEW = settings(max_examples=max(settings.default.max_examples // 4, 1))


def in_tensorflow(attended: Any) -> Any:
    """The same queries and keys."""
    from amad_tensorflow import QueriesKeys

    given = {field.name: getattr(attended, field.name) for field in fields(QueriesKeys)}
    return QueriesKeys(
        **{
            name: tf.constant(value.detach().numpy()) if isinstance(value, torch.Tensor) else value
            for name, value in given.items()
        }
    )


def streamed(case: Case, wrap: Any = None) -> tuple[Any, list[Any]]:
    """As ``Case.streamed``: losses, and the gradient of the sum of their squares."""
    from amad_tensorflow import amad_loss_from_queries_and_keys

    teacher, student = in_tensorflow(case.teacher), in_tensorflow(case.student)
    names = [
        name for name in ("queries", "keys", "bias", "sinks") if getattr(student, name) is not None
    ]
    options = dict(case.options)
    mask = options.pop("mask", None)
    mask = None if mask is None else tf.constant(mask.numpy())

    def run(*leaves: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            losses = amad_loss_from_queries_and_keys(
                teacher=teacher,
                student=replace(student, **dict(zip(names, leaves, strict=True))),
                mask=mask,
                queries_at_once=case.queries_at_once,
                reduction="none",
                **options,
            )
            total = tf.reduce_sum(tf.square(losses))
        return losses, tape.gradient(total, leaves)

    return (wrap(run) if wrap else run)(*(getattr(student, name) for name in names))


def assert_is_specified(case: Case, within: float, wrap: Any = None) -> None:
    (losses, gradients), (wanted, wanted_gradients) = streamed(case, wrap), case.specified()
    assert_agrees(losses.numpy(), wanted, within=within)
    assert len(gradients) == len(wanted_gradients)
    for found, expected in zip(gradients, wanted_gradients, strict=True):
        # Where supports miss each other losses are of size log(tiny): so are their roundings.
        size = max(1.0, float(expected.abs().max()), float(wanted.abs().max()) ** 2)
        assert_agrees(found.numpy(), expected, within=within, size=size)


@contextmanager
def untraced() -> Iterator[None]:
    """Tracing a graph for each example would take seconds."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.mark.thin(4)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("variant", VARIANTS)
@FEW
@given(st.data())
def test_any_shapes_and_masks(variant: str, dtype: str, data: st.DataObject) -> None:
    case = data.draw(cases(variant, getattr(torch, dtype)))
    with untraced():
        assert_is_specified(case, {"float64": 1e-11, "float32": 2e-5}[dtype])


def case_of(kind: str, variant: str) -> Case:
    """Both models have it; five blocks of unequal length, all sizes different."""
    numbers = torch.Generator().manual_seed(1)
    shapes = (2, 5, 5, 7, 13, 13), (2, 6, 3, 4, 13, 13)
    teacher, student = (
        side(shape, kind, numbers, torch.float64, leaves=leaves)
        for shape, leaves in zip(shapes, (False, True), strict=True)
    )
    mask = torch.rand(2, 13, 13, generator=numbers) < 0.8
    options = {"variant": variant, "temperature": 0.5, "mask": mask, "eps": 1e-5}
    return Case(teacher, student, options, 3)


@pytest.mark.thin(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_kind_of_attention(variant: str, kind: str) -> None:
    with untraced():
        assert_is_specified(case_of(kind, variant), 1e-11)


@pytest.mark.thin(2)
@pytest.mark.parametrize("variant", VARIANTS)
def test_eager_calls_and_graphs_agree(variant: str) -> None:
    case = case_of("everything", variant)
    assert_is_specified(case, 1e-11)
    assert_is_specified(case, 1e-11, wrap=tf.function)


@pytest.mark.thin(2)
@pytest.mark.parametrize(("variant", "kind"), [("mse", "lowest"), ("token", "everything")])
def test_xla(variant: str, kind: str) -> None:
    case = case_of(kind, variant)
    assert_is_specified(case, 1e-11, wrap=lambda run: tf.function(run, jit_compile=True))


@pytest.mark.parametrize("at_once", [3, None])
@pytest.mark.parametrize("variant", ["kl", "token"])
def test_what_does_not_count_may_be_anything(variant: str, at_once: int | None) -> None:
    """A padded query, and a padded key that nobody sees; streamed and built."""
    case = case_of("everything", variant)._replace(queries_at_once=at_once)
    seen = case.student.mask
    assert seen is not None
    case.options["mask"][1, 3], seen[1, ..., 4] = False, False
    with untraced():
        wanted, wanted_gradients = streamed(case)
        for content in (1e200, torch.nan):
            with torch.no_grad():
                case.student.queries[1, :, 3], case.student.keys[1, :, 4] = content, torch.inf
            losses, gradients = streamed(case)
            assert_agrees(losses.numpy(), wanted.numpy(), within=1e-13)
            for found, expected in zip(gradients, wanted_gradients, strict=True):
                assert_agrees(found.numpy(), expected.numpy(), within=1e-13)


def step(variant: str, at_once: int | None = None) -> Any:
    """One forward and one backward pass, of whatever shapes."""
    from amad_tensorflow import QueriesKeys, amad_loss_from_queries_and_keys

    def run(t_queries: Any, t_keys: Any, queries: Any, keys: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([queries, keys])
            loss = amad_loss_from_queries_and_keys(
                teacher=QueriesKeys(t_queries, t_keys, causal=True),
                student=QueriesKeys(queries, keys, causal=True),
                variant=variant,
                queries_at_once=at_once,
            )
        return loss, tape.gradient(loss, [queries, keys])

    return run


def tensors(batch: int, tokens: int, generator: Any) -> list[Any]:
    return [
        tf.constant(generator.standard_normal((batch, heads, tokens, size)), tf.float32)
        for heads, size in ((5, 3), (5, 3), (4, 6), (2, 6))
    ]


@pytest.mark.parametrize("variant", ["kl", "token"])
def test_one_graph_for_all_lengths(variant: str) -> None:
    """Batch, heads and tokens are unknown to it; the numbers are those of maps."""
    from amad_tensorflow import QueriesKeys, amad_loss
    from amad_tensorflow.streaming.built import attention_maps

    run = tf.function(step(variant), input_signature=[tf.TensorSpec([None] * 4)] * 4)
    generator = np.random.default_rng(0)
    for batch, tokens in ((2, 5), (1, 11), (3, 4)):
        given = tensors(batch, tokens, generator)
        loss, gradients = run(*given)
        with tf.GradientTape() as tape:
            tape.watch(given[2:])
            maps = [
                attention_maps(QueriesKeys(*pair, causal=True)) for pair in (given[:2], given[2:])
            ]
            wanted = amad_loss(teacher=maps[0], student=maps[1], variant=variant)
        assert_agrees(loss.numpy(), wanted.numpy(), within=1e-5)
        for one, other in zip(gradients, tape.gradient(wanted, given[2:]), strict=True):
            assert_agrees(one.numpy(), other.numpy(), within=1e-5)
    assert run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(("variant", "kind"), [("mse", "everything"), ("kl", "sinks")])
def test_few_cells_are_built_and_others_streamed(
    variant: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers, whatever they are compared with."""
    from amad_tensorflow.streaming import loss

    case = case_of(kind, variant)._replace(queries_at_once=None)
    if kind == "sinks":
        sides = (with_log_sum_exp(one) for one in (case.teacher, case.student))
        case = Case(*sides, case.options, None)
    built: list[Any] = []
    maps = loss.attention_maps
    monkeypatch.setattr(loss, "attention_maps", lambda given: built.append(given) or maps(given))
    cells = 2 * (5 + 6) * 13 * 13
    for most, times in ((cells, 2), (cells - 1, 0)):
        monkeypatch.setattr(loss, "BUILT_CELLS", most)
        with untraced():
            assert_is_specified(case, 1e-11)
        assert len(built) == times
        built.clear()


@pytest.mark.parametrize("variant", ["mse", "kl", "token"])
def test_no_map_is_in_the_graph(variant: str) -> None:
    """Forward and backward; a map of one head alone has ``TOKENS**2`` cells."""
    tokens, at_once = 96, 4
    given = tensors(1, tokens, np.random.default_rng(0))
    graph = tf.function(step(variant, at_once)).get_concrete_function(*given).graph
    sizes = list(_sizes(graph.as_graph_def(add_shapes=True)))
    assert 5 * at_once * tokens <= max(sizes) < tokens**2


def _sizes(definition: Any) -> Iterator[int]:
    """The cells of all tensors of a graph and of the functions that it calls, where known."""
    functions = (function.node_def for function in definition.library.function)
    for node in (node for nodes in (definition.node, *functions) for node in nodes):
        for shape in node.attr["_output_shapes"].list.shape:
            lengths = [axis.size for axis in shape.dim]
            if -1 not in lengths:
                yield int(np.prod(lengths))


def test_a_second_derivative_is_refused_in_words() -> None:
    given = tensors(1, 4, np.random.default_rng(0))
    with untraced(), tf.GradientTape() as tape:
        tape.watch(given)
        _, gradients = step("kl", 2)(*given)
        total = tf.reduce_sum(tf.square(gradients[0]))
    with pytest.raises(RuntimeError, match="no second derivative: take the amad_loss of maps"):
        tape.gradient(total, given[3])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"teacher": np.ones((2, 4, 5, 6))}, "teacher must be QueriesKeys.*maps go to amad_loss"),
        ({"student": {"keys": np.ones((2, 3, 6, 3))}}, "student.keys.*divides.*got 3 for 4"),
        ({"student": {"mask": np.ones((2, 4, 5, 6))}}, "student.mask must be boolean"),
        ({"student": {"bias": np.ones((4, 5, 6))}}, "student.bias must have 4 axes"),
        ({"student": {"sinks": np.ones(5)}}, "student.sinks must have one number a head"),
        ({"student": {"causal": True}}, "student: causal and window need as many queries"),
        ({"student": {"queries": np.full((2, 4, 5, 3), np.nan)}}, "student.queries must be finite"),
        ({"variant": "projected"}, "variant must be one of.*'projected', which multiplies whole"),
        ({"variant": "kl", "eps": 0.0}, "eps must be between .* and 1 from queries and keys"),
        ({"queries_at_once": 0}, "queries_at_once must be at least 1"),
        ({"mask": np.ones((2, 6), bool)}, "a padding mask"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], said: str) -> None:
    from amad_tensorflow import QueriesKeys, amad_loss_from_queries_and_keys

    right = {"queries": np.ones((2, 4, 5, 3)), "keys": np.ones((2, 2, 6, 3))}
    sides = {
        name: QueriesKeys(**right | value) if isinstance(value, dict) else value
        for name in ("teacher", "student")
        for value in [given.get(name, {})]
    }
    options = {name: value for name, value in given.items() if name not in sides}
    with untraced(), pytest.raises((TypeError, ValueError), match=said):
        amad_loss_from_queries_and_keys(**sides, **options)
