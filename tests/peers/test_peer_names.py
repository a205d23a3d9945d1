"""One table each in the specification and the adapters, and one call that swaps one for another."""

import importlib
import inspect
from types import ModuleType

import numpy as np
import pytest

import amad_core.peers as specification
from amad_core import VARIANTS, amad_loss, amad_loss_and_grad
from tests.support.agreement import assert_agrees

ADAPTERS = [
    "amad_torch",
    pytest.param("amad_tensorflow", marks=pytest.mark.xdist_group("tensorflow")),
]
_MAPS = np.random.default_rng(0).dirichlet(np.ones(4), (2, 2, 3, 3))
TEACHER, STUDENT = _MAPS


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> ModuleType:
    pytest.importorskip(request.param.removeprefix("amad_"))
    return importlib.import_module(f"{request.param}.peers")


def test_tables_agree(adapter: ModuleType) -> None:
    assert list(adapter.PEERS) == list(specification.PEERS)
    assert list(adapter.METHODS) == list(specification.METHODS)
    for name, method in specification.METHODS.items():
        there = adapter.METHODS[name]
        assert (there.inputs, there.learned) == (method.inputs, method.learned)


def test_functions_go_by_their_names(adapter: ModuleType) -> None:
    for module in (specification, adapter):
        for name, peer in module.PEERS.items():
            assert getattr(module, name) is peer.loss
            assert name in module.__all__
            assert "Source:" in peer.loss.__doc__


def test_gradient_takes_what_the_loss_takes() -> None:
    for peer in specification.PEERS.values():
        loss = dict(inspect.signature(peer.loss).parameters)
        del loss["reduction"]
        assert list(inspect.signature(peer.gradient).parameters) == list(loss)


@pytest.mark.parametrize("variant", VARIANTS)
def test_amads_variants_answer_to_the_same_call(variant: str) -> None:
    options = {}
    if variant == "projected":
        options = {"weight": np.eye(12), "bias": np.full(12, 0.01), "eps": 1e-6}
    arguments = {"teacher": TEACHER, "student": STUDENT, **options}
    name = f"amad_{variant}"
    wanted = amad_loss(**arguments, variant=variant)
    assert specification.distillation_loss(name=name, **arguments) == wanted
    for argument in ("student", *specification.METHODS[name].learned):
        loss, gradient = specification.distillation_loss_and_grad(
            name=name, **arguments, with_respect_to=argument
        )
        direct = amad_loss_and_grad(**arguments, variant=variant, with_respect_to=argument)
        assert loss == wanted
        assert_agrees(gradient, direct[1], within=1e-15)


def test_one_line_swaps_a_method_for_another() -> None:
    losses = [
        float(specification.distillation_loss(name=name, teacher=TEACHER, student=STUDENT))
        for name in ("amad_mse", "amad_kl", "one_to_one_mse", "mean_head_kl", "best_match_kl")
    ]
    assert len(set(losses)) == len(losses)
    assert min(losses) > 0
