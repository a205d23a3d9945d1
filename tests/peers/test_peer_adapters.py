"""The adapters' peers against the specification: values and gradients, every dtype, compiled."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amad_core.attention.inputs import FloatArray
from amad_core.peers import METHODS, distillation_loss_and_grad
from tests.peers.peer_cases import NAMES, PeerCase, peer_cases, seeded_case, with_garbage
from tests.peers.peer_oracles import oracle
from tests.support.adapter_calls import ACCUMULATION, rounded, tiny
from tests.support.agreement import assert_agrees
from tests.support.frameworks import ADAPTERS, FRAMEWORKS, tensors_of

VALUE = {"float64": 1e-12, "float32": 2e-5, "bfloat16": 2e-5, "float16": 2e-5}
"""Half precision is accumulated in float32, so its value is as good as float32's."""

GRADIENT = {"float64": 1e-11, "float32": 1e-4, "bfloat16": 1e-2, "float16": 2e-3}
"""Relative to the largest entry; a gradient comes back rounded to the dtype of its input."""


Result = tuple[FloatArray, Mapping[str, FloatArray]]


def call(
    adapter: str, case: PeerCase, dtype: str, wrap: Callable[..., Any] | None = None
) -> Result:
    """Unreduced losses, and the gradients of their sum by the student and what is learned.

    ``wrap`` compiles the loss; the teacher is watched too and must get no gradient.
    """
    pytest.importorskip(adapter)
    given = case.arguments()
    arrays = {name: value for name, value in given.items() if isinstance(value, np.ndarray)}
    settings = {name: value for name, value in given.items() if name not in arrays}
    distillation_loss = import_module(f"amad_{adapter}.peers").distillation_loss
    found = FRAMEWORKS[adapter].differentiate(
        partial(distillation_loss, **settings, reduction="none"),
        tensors_of(FRAMEWORKS[adapter], arrays, dtype),
        ["teacher", "student", *METHODS[case.name].learned],
        wrap,
    )
    gradients = dict(found.gradients)
    assert gradients.pop("teacher") is None
    assert found.dtypes == {"loss": ACCUMULATION[dtype], **dict.fromkeys(gradients, dtype)}
    return found.loss, gradients


def floored(case: PeerCase, dtype: str) -> PeerCase:
    """The case with the floor of the adapter, where the method has one."""
    if "eps" not in inspect.signature(METHODS[case.name].loss).parameters:
        return case
    return case._replace(options={**case.options, "eps": tiny(dtype)})


def assert_is_the_specifications(found: Result, case: PeerCase, dtype: str) -> None:
    options = {name: rounded(dtype, value) for name, value in case.options.items()}
    maps = {name: rounded(dtype, getattr(case, name)) for name in ("teacher", "student")}
    case = floored(case._replace(**maps, options=options), dtype)
    losses, gradients = found
    if case.name.startswith("best_match") and _has_ties(case):
        choices = oracle(case.name, case.teacher, case.student, case.mask, case.options)
        for loss, possible in zip(losses, choices, strict=True):
            nearest = min(possible, key=lambda value, loss=loss: abs(value - loss))
            assert_agrees(loss, nearest, within=VALUE[dtype])
        return
    for argument, gradient in gradients.items():
        wanted_loss, wanted = distillation_loss_and_grad(
            **case.arguments(), reduction="none", with_respect_to=argument
        )
        assert_agrees(losses, wanted_loss, within=VALUE[dtype])
        size = max(1.0, float(np.abs(wanted).max()))
        assert_agrees(gradient, wanted, within=GRADIENT[dtype], size=size)


def _has_ties(case: PeerCase) -> bool:
    choices = oracle("best_match_mse", case.teacher, case.student, case.mask, {})
    return any(len(values) > 1 for values in choices)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(data=st.data())
def test_torch_agrees(name: str, dtype: str, data: st.DataObject) -> None:
    case = data.draw(peer_cases(name))
    assert_is_the_specifications(call("torch", case, dtype), case, dtype)


@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(data=st.data())
def test_tensorflow_agrees(name: str, data: st.DataObject) -> None:
    case, dtype = data.draw(peer_cases(name)), data.draw(st.sampled_from(("float64", "float32")))
    assert_is_the_specifications(call("tensorflow", case, dtype), case, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_dtype(name: str, adapter: str, dtype: str) -> None:
    case = with_garbage(seeded_case(name, masked=True))
    assert_is_the_specifications(call(adapter, case, dtype), case, dtype)


@pytest.mark.thin(3)
@pytest.mark.parametrize("name", ["squeezing_heads", "minilmv2_relation", "best_match_kl"])
def test_torch_compiled(name: str) -> None:
    torch = pytest.importorskip("torch")

    def compiled(loss: Any) -> Any:
        # The graph as torch.compile traces it, without the minutes that a C++ compiler takes.
        return torch.compile(loss, backend="aot_eager")

    case = seeded_case(name, masked=True)
    assert_is_the_specifications(call("torch", case, "float32", compiled), case, "float32")


@pytest.mark.thin(2)
@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("name", ["best_match_mse", "squeezing_heads", "minilmv2_relation"])
@pytest.mark.parametrize("xla", [False, True])
def test_tensorflow_compiled(name: str, xla: bool) -> None:
    tf = pytest.importorskip("tensorflow")

    def compiled(run: Any) -> Any:
        return tf.function(run, jit_compile=xla)

    case = seeded_case(name, masked=True)
    assert_is_the_specifications(call("tensorflow", case, "float32", compiled), case, "float32")


@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("name", ["one_to_one_mse", "logits_kl", "minilm_value_relation"])
def test_tensorflow_unknown_lengths(name: str) -> None:
    tf = pytest.importorskip("tensorflow")

    def compiled(run: Any) -> Any:
        def call_with_unknown_lengths(**tensors: Any) -> Any:
            specs = {
                key: tf.TensorSpec(
                    [None, tensor.shape[1], None, None] if tensor.shape.rank == 4 else
                    [None] * tensor.shape.rank, tensor.dtype)
                for key, tensor in tensors.items()
            }  # fmt: skip
            return tf.function(run).get_concrete_function(**specs)(**tensors)

        return call_with_unknown_lengths

    case = seeded_case(name, masked=True)
    assert_is_the_specifications(call("tensorflow", case, "float32", compiled), case, "float32")


@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 2), (7, 7), (12, 8), (8, 12)])
def test_tensorflow_assignment_is_optimal(shape: tuple[int, int]) -> None:
    tf = pytest.importorskip("tensorflow")
    from scipy.optimize import linear_sum_assignment

    from amad_tensorflow.peers.assignment import assignment

    generator = np.random.default_rng(0)
    cosines = generator.random((20, *shape))
    cosines[:5] = generator.integers(0, 3, (5, *shape))  # ties
    rows, columns = (indices.numpy() for indices in assignment(tf.constant(cosines)))
    for sample, i, j in zip(cosines, rows, columns, strict=True):
        assert len(set(i)) == len(set(j)) == min(shape)
        best = sample[linear_sum_assignment(sample, maximize=True)].sum()
        assert_agrees(sample[i, j].sum(), best, within=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_torch_autocast_keeps_full_precision(name: str) -> None:
    """To the last bit, of the loss and of a ``backward()`` inside."""
    torch = pytest.importorskip("torch")
    case = seeded_case(name, masked=True)
    wanted = call("torch", case, "float32")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = call("torch", case, "float32")
    assert_agrees(found[0], wanted[0], within=0)
    for argument, gradient in wanted[1].items():
        assert_agrees(found[1][argument], gradient, within=0)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("heads", [(12, 8), (9, 3), (4, 4)])
def test_squeezing_any_number_of_heads(heads: tuple[int, int], adapter: str) -> None:
    generator = np.random.default_rng(0)
    teacher, student = (generator.dirichlet(np.ones(4), (2, number, 3)) for number in heads)
    values = {"teacher_values": generator.standard_normal((2, heads[0], 4, 5))}
    case = PeerCase("squeezing_heads", teacher, student, None, values)
    assert_is_the_specifications(call(adapter, case, "float64"), case, "float64")


def test_torch_autocast_does_not_round_the_cosines_that_match() -> None:
    torch = pytest.importorskip("torch")
    from amad_torch.peers import best_match_mse

    teacher = torch.tensor([[[[0.7, 0.3]]]])
    student = torch.tensor([[[[0.68, 0.32]], [[0.69, 0.31]]]])  # cosines both 1 in bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = best_match_mse(teacher=teacher, student=student)
    assert_agrees(loss, 1e-4, within=1e-9)  # the second head is nearer, off by 1/100


@pytest.mark.parametrize("name", NAMES)
def test_torch_makes_no_nan_on_the_way(name: str) -> None:
    torch = pytest.importorskip("torch")
    with pytest.warns(UserWarning, match="Anomaly"), torch.autograd.detect_anomaly():
        call("torch", with_garbage(seeded_case(name, masked=True)), "float32")


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("name", ["best_match_mse", "best_match_kl"])
def test_nan_without_a_check_gives_nan_and_an_answer(name: str, adapter: str) -> None:
    """As in a graph or on a device, where values are not looked at: no hang, no foreign error."""
    teacher, student = np.full((2, 3, 2, 2), 0.5), np.full((2, 2, 2, 2), 0.5)
    student[0, :, 0, 0] = np.nan
    if adapter == "torch":
        import torch

        from amad_torch.peers import distillation_loss

        maps = {"teacher": torch.tensor(teacher), "student": torch.tensor(student)}
        found = distillation_loss(name=name, **maps, reduction="none", check_values=False).numpy()
    else:
        import tensorflow as tf

        from amad_tensorflow.peers import distillation_loss

        loss = tf.function(
            lambda t, s: distillation_loss(name=name, teacher=t, student=s, reduction="none")
        )
        found = loss(tf.constant(teacher), tf.constant(student)).numpy()
    assert np.isnan(found).tolist() == [True, False]
