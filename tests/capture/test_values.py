"""Values and output projections: grouped, registered, compiled, and where they cannot be told."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from amad_torch import capture_attention, register_attention  # noqa: E402
from tests.capture.families import STATES, TEXT  # noqa: E402
from tests.capture.test_capture import forget_registered, llama  # noqa: E402, F401


def test_grouped_values_are_not_repeated_and_have_a_gradient() -> None:
    model = llama()
    with capture_attention(model) as attention:
        model(**TEXT)
    layer = attention.layers()[1]
    assert layer.values.shape == (2, 2, 7, 8)
    assert layer.head_outputs.shape == (2, 4, 7, 32)
    layer.values.pow(2).sum().backward()
    assert bool(model.layers[1].self_attn.v_proj.weight.grad.any())


def test_keys_that_a_torch_module_adds_have_values() -> None:
    torch.manual_seed(2)
    module = nn.MultiheadAttention(
        32, 4, batch_first=True, add_bias_kv=True, add_zero_attn=True, kdim=32, vdim=32
    )
    for parameter in module.parameters():
        parameter.data.normal_()
    with torch.no_grad(), capture_attention(module) as attention:
        output = module(STATES, STATES.flip(0), STATES.flip(1))[0]
    layer = attention[""]
    assert layer.values.shape == (2, 4, 9, 8)
    found = (layer.maps @ layer.head_outputs).sum(1) + module.out_proj.bias
    assert torch.allclose(found, output, atol=1e-3)


def test_an_adapter_beside_the_projection_makes_it_unknown() -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["o_proj"])
    model = peft.get_peft_model(llama(), config)
    with capture_attention(model) as attention:
        model(**TEXT)
    with pytest.raises(ValueError, match=r"without an adapter.*got 2"):
        _ = attention.layers()[0].projection
    assert attention.layers()[0].values.shape == (2, 2, 7, 8)


class Written(nn.Module):
    """Attention by hand in one of several ways to meet the values."""

    def __init__(self, meet: Any) -> None:
        super().__init__()
        self.projection, self.meet = nn.Linear(32, 96), meet

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = (
            part.reshape(*part.shape[:2], 4, 8).transpose(1, 2)
            for part in self.projection(states).chunk(3, dim=-1)
        )
        return self.meet((query @ key.mT / 8**0.5).softmax(-1), value)


WAYS = {
    "transposed twice": lambda maps, value: (value.mT @ maps.transpose(-2, -1)).mT,
    "permuted": lambda maps, value: value.mT.matmul(maps.permute(0, 1, 3, 2)).mT,
    "heads in the batch": lambda maps, value: torch.bmm(
        maps.flatten(0, 1), value.flatten(0, 1)
    ).reshape(value.shape),
    "einsum of turned maps": lambda maps, value: torch.einsum(
        "bkhq,bhkd->bhqd", maps.permute(0, 3, 1, 2), value
    ),
    "einsum, values first": lambda maps, value: torch.einsum("bhkd,bhqk->bhqd", value, maps),
}


@pytest.mark.parametrize("way", WAYS)
def test_however_maps_meet_values(way: str) -> None:
    model = Written(WAYS[way])
    with torch.no_grad(), capture_attention(model) as attention:
        output = model(STATES)
    assert torch.allclose(attention[""].maps @ attention[""].values, output, atol=1e-6)


def test_what_is_mixed_over_queries_are_no_values() -> None:
    model = Written(lambda maps, value: maps.transpose(-2, -1) @ value)
    with torch.no_grad(), capture_attention(model) as attention:
        model(STATES)
    with pytest.raises(ValueError, match="values of '' are not known"):
        _ = attention[""].values


@pytest.mark.parametrize("wrong", [(2, 1, 6, 4), (2, 3, 7, 4), (7, 4)])
def test_values_may_be_registered_and_must_fit(
    wrong: tuple[int, ...],
    forget_registered: None,  # noqa: F811
) -> None:
    class Told(nn.Module):
        values, projection = torch.ones(2, 1, 7, 4), torch.eye(5, 8)

        def forward(self, states: Tensor) -> Tensor:
            return states

    def told(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        queries = output.reshape(2, 7, 2, 16).transpose(1, 2)
        return {
            "queries": queries, "keys": queries[:, :1], "values": module.values,
            "projection": module.projection,
        }  # fmt: skip

    register_attention(Told, told)
    model = Told()
    with capture_attention(model) as attention:
        model(STATES)
    assert attention[""].head_outputs.shape == (2, 2, 7, 5)
    assert attention[""].head_outputs[0, :, 0].tolist() == [[1, 1, 1, 1, 0], [0, 0, 0, 0, 1]]
    model.values = torch.ones(wrong)
    with capture_attention(model) as attention:
        model(STATES)
    with pytest.raises(ValueError, match="values of '' are not known"):
        _ = attention[""].values
