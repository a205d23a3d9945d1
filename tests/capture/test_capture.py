"""Capture at its borders: graphs, checkpoints, compilation, exceptions, and no silence."""

import gc
import weakref
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn.modules import module as torch_module  # noqa: E402

from amad_torch import capture_attention, register_attention  # noqa: E402
from amad_torch.capture import registered  # noqa: E402
from tests.capture.families import IDS, REAL, SIZES, STATES, TEXT, ByHand  # noqa: E402


def bert(**settings: Any) -> Any:
    torch.manual_seed(1)
    return transformers.BertModel(transformers.BertConfig(**(SIZES | settings)))


def llama(**settings: Any) -> Any:
    torch.manual_seed(1)
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=2, **settings)
    return transformers.LlamaModel(config)


CALM = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def gradients(model: Any) -> dict[str, Any]:
    model.zero_grad()
    with capture_attention(model) as attention:
        output = model(**TEXT)
    loss = sum(maps.pow(2).sum() for maps in attention.maps()) + output[0].pow(2).sum()
    loss.backward()
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


def checkpoint(model: Any, **settings: bool) -> None:
    """By the name that the installed Transformers has for it."""
    old = model.gradient_checkpointing_enable
    getattr(model, "activation_checkpointing_enable", old)(settings)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    model = bert(**CALM).train()
    plain = {name: one.clone() for name, one in gradients(model).items()}
    checkpoint(model, use_reentrant=False)
    again = gradients(model)
    assert plain.keys() == again.keys()
    assert all(torch.allclose(plain[name], again[name], atol=1e-6) for name in plain)


def test_reentrant_checkpointing_is_refused() -> None:
    model = bert().train()
    checkpoint(model, use_reentrant=True)
    with (
        pytest.raises(RuntimeError, match="use_reentrant"),
        capture_attention(model),
    ):
        model(**TEXT)


@pytest.mark.parametrize("make", [bert, llama])
def test_a_compiled_model_is_seen_through_the_interface(make: Any) -> None:
    model = make().eval()
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        before = compiled(**TEXT)[0]
        with capture_attention(compiled) as attention:
            during = compiled(**TEXT)[0]
        with capture_attention(model) as plain:
            model(**TEXT)
        after = compiled(**TEXT)[0]
    assert torch.equal(before, during)
    assert torch.equal(before, after)
    assert list(attention) == list(plain)
    for one, other in zip(attention.values(), plain.values(), strict=True):
        assert torch.allclose(one.maps, other.maps, atol=1e-6)
        assert torch.allclose(one.values, other.values, atol=1e-6)
        with pytest.raises(ValueError, match="linear layer, not compiled"):
            _ = one.projection


def test_a_compiled_model_that_cannot_be_seen_is_refused() -> None:
    compiled = torch.compile(ByHand(), backend="eager")
    with pytest.raises(RuntimeError, match="compiled"), capture_attention(compiled):
        compiled(STATES)


def test_one_query_with_a_cache() -> None:
    model = llama().eval()
    with torch.no_grad():
        cache = model(**TEXT, use_cache=True).past_key_values
        whole = torch.cat([REAL, torch.ones(2, 1, dtype=REAL.dtype)], 1)
        with capture_attention(model) as attention:
            model(input_ids=IDS[:, :1], attention_mask=whole, past_key_values=cache)
    layer = attention.layers()[0]
    assert layer.shape == (2, 4, 1, 8)
    assert layer.keys.shape == (2, 2, 8, 8)  # grouped keys are not repeated
    assert layer.kind == "self"
    assert torch.equal(layer.maps[1, :, 0, 4:7], torch.zeros(4, 3))


def test_a_causal_order_is_part_of_the_mask() -> None:
    model = llama()
    with capture_attention(model) as attention:
        model(input_ids=IDS)
    mask = attention.layers()[0].mask
    assert mask is not None
    assert torch.equal(mask[0, 0], torch.ones(7, 7, dtype=torch.bool).tril())


def test_nothing_is_left_behind_after_an_exception() -> None:
    model = bert()
    interface = transformers.modeling_utils.AttentionInterface
    table = dict(interface._global_mapping)
    before = (
        interface.get_interface, nn.MultiheadAttention.forward, nn.TransformerEncoder.forward,
        nn.TransformerEncoderLayer.forward, len(torch_module._global_forward_hooks),
        len(torch_module._global_forward_pre_hooks), torch._C._len_torch_function_stack(),
    )  # fmt: skip
    with pytest.raises(IndexError), capture_attention(model):
        model(input_ids=torch.tensor([[999]]))
    assert before == (
        interface.get_interface, nn.MultiheadAttention.forward, nn.TransformerEncoder.forward,
        nn.TransformerEncoderLayer.forward, len(torch_module._global_forward_hooks),
        len(torch_module._global_forward_pre_hooks), torch._C._len_torch_function_stack(),
    )  # fmt: skip
    assert dict(interface._global_mapping) == table
    assert not any(module._forward_hooks for module in model.modules())


def test_an_exception_of_the_block_is_not_hidden_by_an_empty_capture() -> None:
    with pytest.raises(ZeroDivisionError), capture_attention(bert()):
        raise ZeroDivisionError


def test_no_reference_cycle_keeps_anything_alive() -> None:
    model = bert()
    with capture_attention(model) as attention:
        model(**TEXT)
    kept = [weakref.ref(attention), weakref.ref(attention.layers()[0]), weakref.ref(model)]
    gc.collect()
    gc.disable()
    try:
        del attention, model
        assert [one() for one in kept[:2]] == [None, None]
    finally:
        gc.enable()


def test_two_captures_at_once_see_one_model_each() -> None:
    teacher, student = bert(), bert(num_attention_heads=2)
    with capture_attention(teacher) as teachers, capture_attention(student) as students:
        teacher(**TEXT)
        student(**TEXT)
    assert [layer.shape[1] for layer in teachers.values()] == [4, 4]
    assert [layer.shape[1] for layer in students.values()] == [2, 2]


def test_a_second_run_has_a_name_of_its_own() -> None:
    model = ByHand()
    with capture_attention(model) as attention:
        model(STATES)
        model(STATES)
    assert list(attention) == ["", "#2"]


def test_globs_and_paths_narrow() -> None:
    model = bert()
    for modules in (["*.layer.1.*"], ["encoder.layer.1"]):
        with capture_attention(model, modules=modules) as attention:
            model(**TEXT)
        assert list(attention) == ["encoder.layer.1.attention.self"]
    with capture_attention(model) as attention:
        model(**TEXT)
    assert len(attention.maps(kind="self", under="encoder.layer.0")) == 1
    with pytest.raises(ValueError, match=r"kind='cross'.*encoder\.layer\.0"):
        attention.maps(kind="cross")
    with pytest.raises(KeyError, match="captured were"):
        attention["encoder"]


class TestSilenceIsImpossible:
    def test_nothing_captured(self) -> None:
        with (
            pytest.raises(RuntimeError, match="no attention was captured"),
            capture_attention(bert()),
        ):
            pass

    def test_another_model_ran(self) -> None:
        with (
            pytest.raises(RuntimeError, match="did the block run this model"),
            capture_attention(bert()),
        ):
            bert()(**TEXT)

    def test_an_unknown_module(self) -> None:
        with (
            pytest.raises(ValueError, match=r"no module matches 'decoder\.\*'"),
            capture_attention(bert(), modules=["decoder.*"]),
        ):
            pass

    def test_a_named_module_that_attends_to_nothing(self) -> None:
        model = bert()
        with (
            pytest.raises(RuntimeError, match="none of them attended"),
            capture_attention(model, modules=["encoder.layer.0", "embeddings"]),
        ):
            model(**TEXT)

    def test_scores_that_are_taken_for_probabilities(self, forget_registered: None) -> None:
        class Scored(nn.Module):
            def forward(self, states: Any) -> Any:
                self.scores = (states @ states.mT)[:, None]
                return self.scores.sum()

        register_attention(Scored, lambda module, args, kwargs, output: module.scores)
        model = Scored()
        with capture_attention(model) as attention:
            model(STATES)
        with pytest.raises(ValueError, match="rows that sum to 1; got"):
            attention.maps()

    def test_a_module_whose_queries_are_unknown(self) -> None:
        class Odd(nn.Module):
            def forward(self, states: Any) -> Any:
                maps = torch.sin(states @ states.mT)[:, None].softmax(-1)
                return maps @ states[:, None]

        model = Odd()
        with capture_attention(model) as attention:
            model(STATES)
        assert attention[""].maps.shape == (2, 1, 7, 7)
        with pytest.raises(ValueError, match="queries and keys of '' are not known"):
            _ = attention[""].queries

    def test_no_module_at_all(self) -> None:
        with pytest.raises(TypeError, match=r"torch\.nn\.Module; got int"), capture_attention(3):
            pass


@pytest.fixture
def forget_registered() -> Any:
    before = dict(registered.REGISTERED)
    yield
    registered.REGISTERED.clear()
    registered.REGISTERED.update(before)


def test_a_registered_function_may_give_queries_and_keys(forget_registered: None) -> None:
    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(32, 16)

        def forward(self, states: Any) -> Any:
            return self.project(states).cumsum(1)

    def told(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        queries, keys = module.project(args[0])[:, None].chunk(2, -1)
        return {"queries": queries, "keys": keys, "kind": "cross"}

    register_attention(Linear, told)
    model = Linear()
    with capture_attention(model) as attention:
        model(STATES)
    layer = attention[""]
    assert (layer.kind, layer.scale, layer.shape) == ("cross", 8**-0.5, (2, 1, 7, 7))
    layer.maps[..., 0].sum().backward()
    assert model.project.weight.grad is not None


@pytest.mark.parametrize("bad", [(3, lambda *_: None), (nn.Linear, 3)])
def test_registering_nonsense_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"module_class|function"):
        register_attention(*bad)
