"""The PyTorch adapter compiled: inductor for two variants, the others through AOT autograd."""

from typing import Any

import numpy as np
import pytest

from tests.support.adapter_calls import assert_agrees_with_specification
from tests.support.variants import arguments

torch = pytest.importorskip("torch")


def case(batch: int, queries: int, keys: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(batch)
    maps = generator.dirichlet(np.ones(keys), size=(batch, 5, queries))
    mask = generator.random((batch, queries, keys)) < 0.8
    return {"teacher": maps[:, :3], "student": maps[:, 3:], "mask": mask}


def compiled(variant: str, **settings: Any) -> Any:
    from amad_torch import amad_loss

    torch.compiler.reset()
    return torch.compile(
        lambda **inputs: amad_loss(variant=variant, **inputs), fullgraph=True, **settings
    )


def check(function: Any, variant: str, inputs: dict[str, np.ndarray], dtype: str) -> None:
    options = arguments(variant, inputs["student"], **inputs)
    options.pop("variant")
    call = {**options, "function": lambda variant, **rest: function(**rest)}
    assert_agrees_with_specification("torch", dtype, variant=variant, **call)


@pytest.mark.thin(2)
@pytest.mark.parametrize("variant", ["projected", "token", "js"])
def test_one_graph_with_dynamic_lengths(variant: str) -> None:
    function = compiled(variant, backend="aot_eager", dynamic=True)
    for sizes in ((2, 3, 4), (3, 5, 2)):
        check(function, variant, case(*sizes), "float64")


@pytest.mark.thin(2)
@pytest.mark.parametrize(("variant", "dynamic"), [("mse", None), ("kl", True)])
def test_inductor(variant: str, dynamic: bool | None) -> None:
    function = compiled(variant, dynamic=dynamic)
    for sizes in ((2, 3, 4), (3, 5, 2)) if dynamic else ((2, 3, 4),):
        check(function, variant, case(*sizes), "float32")


def test_compiled_maps_may_be_tiny() -> None:
    """In a compiled graph the maps are scaled by another branch; 2^-600 squared is 0."""
    inputs = case(2, 3, 4)
    inputs["student"] = inputs["student"] * 2.0**-600
    check(compiled("kl", backend="aot_eager"), "kl", inputs, "float64")
