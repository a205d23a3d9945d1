"""``amad_torch.AMADLoss`` as a module: options, parameters, copies, state."""

import copy

import pytest
import torch

from amad_torch import AMADLoss, amad_loss
from tests.adapters.test_torch_autograd import maps
from tests.support.variants import ALL, UNPROJECTED

MASK = torch.tensor([True, True, False, True])


@pytest.mark.parametrize("variant", UNPROJECTED)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_module_is_the_function(variant: str, reduction: str) -> None:
    teacher, student = maps(3), maps(2)
    options = {"variant": variant, "temperature": 0.5, "reduction": reduction, "eps": 1e-3}
    found = AMADLoss(**options)(teacher=teacher, student=student, mask=MASK)
    wanted = amad_loss(teacher=teacher, student=student, mask=MASK, **options)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert found.shape == ((2,) if reduction == "none" else ())


def test_defaults_are_those_of_the_function() -> None:
    teacher, student = maps(3), maps(2)
    found = AMADLoss()(teacher=teacher, student=student)
    torch.testing.assert_close(found, amad_loss(teacher=teacher, student=student), rtol=0, atol=0)


def test_projected_begins_as_kl() -> None:
    teacher, student = maps(3), maps(2)
    module = AMADLoss(variant="projected", cells=12)
    kl = amad_loss(teacher=teacher, student=student, variant="kl")
    torch.testing.assert_close(module(teacher=teacher, student=student), kl)
    assert {name: tuple(value.shape) for name, value in module.named_parameters()} == {
        "weight": (12, 12),
        "bias": (12,),
    }


def test_state_goes_through_state_dict_and_deepcopy() -> None:
    module = AMADLoss(variant="projected", cells=12)
    with torch.no_grad():
        module.weight.add_(0.1)
        module.bias.add_(0.2)
    teacher, student = maps(3), maps(2)
    wanted = module(teacher=teacher, student=student)
    restored = AMADLoss(variant="projected", cells=12)
    restored.load_state_dict(module.state_dict())
    for other in (restored, copy.deepcopy(module)):
        torch.testing.assert_close(other(teacher=teacher, student=student), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("variant", UNPROJECTED)
def test_without_a_projection_there_is_no_state(variant: str) -> None:
    assert AMADLoss(variant=variant).state_dict() == {}


def test_representation_names_the_options() -> None:
    text = repr(AMADLoss(variant="kl", temperature=0.5, reduction="sum"))
    assert text == "AMADLoss(variant='kl', temperature=0.5, reduction='sum')"


def test_options_are_checked_when_the_module_is_made() -> None:
    for options in (
        {"variant": "KL"},
        {"reduction": "batchmean"},
        {"temperature": 0.0},
        {"eps": -1.0},
        {"variant": "projected"},
        {"variant": "projected", "cells": 0},
        {"variant": "projected", "cells": True},
        {"variant": "kl", "cells": 12},
    ):
        with pytest.raises((ValueError, TypeError), match=r"must be|belongs to"):
            AMADLoss(**options)


def test_a_projection_that_would_not_fit_says_how_large_it_is() -> None:
    with pytest.raises(ValueError, match=f"cells must be small enough .* {4 * 32769**2:,} bytes"):
        AMADLoss(variant="projected", cells=32769)


def test_a_mask_that_may_be_a_padding_mask_is_refused() -> None:
    for variant in ALL:
        module = AMADLoss(variant=variant, cells=9 if variant == "projected" else None)
        inputs = {"teacher": torch.ones(3, 3, 3, 3), "student": torch.ones(3, 2, 3, 3)}
        with pytest.raises(ValueError, match="mask must have 3 axes where its first may be"):
            module(**inputs, mask=torch.ones(3, 3, dtype=torch.bool))


def test_check_values_reaches_the_function() -> None:
    bad = -maps(2)
    for variant in ALL:
        cells = 12 if variant == "projected" else None
        with pytest.raises(ValueError, match="student must be finite and non-negative"):
            AMADLoss(variant=variant, cells=cells)(teacher=maps(3), student=bad)
        AMADLoss(variant=variant, cells=cells, check_values=False)(teacher=maps(3), student=bad)
