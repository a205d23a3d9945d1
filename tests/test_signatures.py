"""The specification and its adapters, side by side: same names, same order, same defaults."""

import inspect

import pytest

import amad_core

ADAPTERS = ["torch", pytest.param("tensorflow", marks=pytest.mark.xdist_group("tensorflow"))]


def adapter(name: str):
    return pytest.importorskip(f"amad_{name}")


def test_the_gradient_takes_what_the_loss_takes() -> None:
    loss = inspect.signature(amad_core.amad_loss).parameters
    both = inspect.signature(amad_core.amad_loss_and_grad).parameters
    assert list(both) == [*loss, "with_respect_to"]
    assert [both[name].default for name in loss] == [loss[name].default for name in loss]


@pytest.mark.parametrize("name", ADAPTERS)
def test_classes_have_the_options_of_the_function(name: str) -> None:
    module = adapter(name)
    function = inspect.signature(module.amad_loss).parameters
    options = inspect.signature(module.AMADLoss).parameters
    for keyword in ("variant", "temperature", "eps"):
        assert options[keyword].default == function[keyword].default
        assert options[keyword].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_module_is_called_with_keywords() -> None:
    forward = inspect.signature(adapter("torch").AMADLoss.forward).parameters
    assert [
        name for name, parameter in forward.items() if parameter.kind.name == "KEYWORD_ONLY"
    ] == [
        "teacher",
        "student",
        "mask",
    ]


@pytest.mark.parametrize("name", ADAPTERS)
def test_variants_are_the_same_in_the_same_order(name: str) -> None:
    variants = __import__(f"amad_{name}.attention.variants", fromlist=["VARIANTS"]).VARIANTS
    assert list(variants) == list(amad_core.VARIANTS)
    for key, variant in variants.items():
        specified = amad_core.VARIANTS[key]
        assert variant.projected == specified.projected
        assert variant.layout.__name__ == specified.layout.__name__
        assert variant.normalisation.__name__ == specified.normalisation.value.__name__
        assert variant.divergence.__name__ == specified.divergence.value.__name__
