"""What is captured of every family is what the model attends to, and nothing else moves."""

import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from amad_torch import capture_attention  # noqa: E402
from amad_torch.streaming.queries_keys import attention_maps  # noqa: E402
from tests.capture.families import (  # noqa: E402
    FAMILIES,
    REAL,
    ByHand,
    Family,
    Flat,
    TalkingHeads,
    eager_truth,
)
from tests.capture.image_families import IMAGE_FAMILIES  # noqa: E402
from tests.capture.table import PAGE, page_with_table  # noqa: E402
from tests.support.beside import missing, prelude  # noqa: E402

WITHIN = 5e-5
"""Float32 maps that the model computes by another kernel, or in another order."""


def built(family: Family) -> nn.Module:
    torch.manual_seed(3)
    model = family.make().eval()
    for parameter in model.parameters():
        # Fresh models attend almost evenly, and then every mistake is small.
        if parameter.dim() > 1:
            parameter.data.mul_(4).add_(torch.randn_like(parameter), alpha=0.05)
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation(family.implementation)
    return model


def tensors(output: Any) -> list[Tensor]:
    values = [output] if isinstance(output, Tensor) else output.values()
    return [value for value in values if isinstance(value, Tensor)]


def nearest(maps: Tensor, captured: list[Tensor], padded_rows: bool) -> float:
    """Largest difference to the captured maps that are most like them, in rows that see a key."""
    distances = []
    for other in captured:
        if other.shape == maps.shape:
            seen = other.sum(-1, keepdim=True) > 0
            if not padded_rows:
                seen = seen & (REAL == 1)[:, None, :, None]
            distances.append(float(((other - maps) * seen).abs().max()))
    return min(distances, default=float("inf"))


RUNNING = {
    name: family
    for name, family in (FAMILIES | IMAGE_FAMILIES).items()
    if find_spec(family.package) and (family.package == "transformers" or find_spec("torchvision"))
}


@pytest.fixture(scope="module", params=RUNNING)
def family(request) -> Family:
    return RUNNING[request.param]


def test_maps_are_what_the_model_attends_to(family: Family) -> None:
    model = built(family)
    with torch.no_grad():
        before = tensors(model(**family.inputs))
        with capture_attention(model) as attention:
            during = tensors(model(**family.inputs))
        assert all(torch.equal(one, other) for one, other in zip(before, during, strict=True))
        assert "".join(layer.kind[0] for layer in attention.values()) == family.kinds
        truth = (family.truth or eager_truth)(model, family.inputs)
    captured = attention.maps()
    assert truth
    for maps in truth:
        assert nearest(maps, captured, family.padded_rows) < WITHIN
    for layer in attention.values():
        if layer.knows_queries_and_keys:
            assert float((attention_maps(layer.attended) - layer.maps).abs().max()) < WITHIN


def test_train_mode_maps_are_differentiable_and_free_of_dropout(family: Family) -> None:
    if family.implementation == "flex_attention":
        pytest.skip("flex attention does not train on this device")
    model = built(family)
    with torch.no_grad(), capture_attention(model) as calm:
        model(**family.inputs)
    model.train()
    with capture_attention(model) as attention:
        model(**family.inputs)
    first, expected = next(iter(attention.values())), next(iter(calm.values()))
    assert first.shape == expected.shape
    sums = first.maps.sum(-1)
    if first.sinks is None if first.knows_queries_and_keys else True:
        assert float(torch.where(sums == 0, 0.0, sums - 1).abs().max()) < 1e-5
    gradients = torch.autograd.grad(
        sum(layer.maps.pow(2).sum() for layer in attention.values()),
        [one for one in model.parameters() if one.requires_grad],
        allow_unused=True,
    )
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def test_values_and_projection_give_what_the_attention_adds(family: Family) -> None:
    """``Σ_i maps_i V_i W_i + b`` is what the module of the output projection computes."""
    model = built(family)
    if type(model) in (nn.TransformerEncoder, nn.TransformerDecoder):
        model.train()  # no fast path, which calls no module; there is no dropout in these models
    computed: dict[int, list[tuple[Tensor, Any]]] = {}

    def keep(module: Any, given: Any, output: Any) -> None:
        owner = module.out_proj if isinstance(module, nn.MultiheadAttention) else module
        value = output[0] if isinstance(output, tuple) else output
        computed.setdefault(owner.weight.data_ptr(), []).append((value, owner))

    for module in model.modules():
        if hasattr(module, "out_proj" if isinstance(module, nn.MultiheadAttention) else "weight"):
            module.register_forward_hook(keep)
    with torch.no_grad(), capture_attention(model) as attention:
        output = model(**family.inputs)
    for layer in attention.values():
        batch, heads, queries, _ = layer.shape
        assert heads % layer.values.shape[1] == 0
        if type(model) in (ByHand, Flat):  # which end with the heads side by side
            values = layer.maps @ layer.values
            truth, found = [output], values.transpose(1, 2).reshape(output.shape)
        elif family.make is IMAGE_FAMILIES["torchvision Swin"].make:
            continue  # its projection is a function's argument: no module computes it
        elif type(model) is TalkingHeads or family.make is FAMILIES["XLNet"].make:
            with pytest.raises(ValueError, match=r"output projection of .* is not known"):
                _ = layer.projection
            continue
        else:
            found = (layer.maps @ layer.head_outputs).sum(1)
            truth = [
                value if getattr(owner, "bias", None) is None else value - owner.bias
                for value, owner in computed[layer.projection.data_ptr()]
            ]
        seen = layer.maps.sum((1, 3)) > 0
        distances = [
            float((one.reshape(batch, queries, -1) - found)[seen].detach().abs().max())
            for one in truth
            if one.numel() == found.numel()
        ]
        assert min(distances) < WITHIN * float(found.abs().max())


@pytest.mark.skipif(bool(find_spec("torchvision")), reason="they are among the others")
def test_families_that_are_not_importable_here() -> None:
    """In a process of their own, with what lies beside the environment on its path."""
    if reason := missing():
        pytest.skip(reason)
    asked = ["-q", "-p", "no:cacheprovider", "-k", "timm or torchvision", __file__]
    code = f"{prelude()}\nimport pytest\nsys.exit(pytest.main({asked!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert f"{3 * len(IMAGE_FAMILIES)} passed" in done.stdout


def test_the_page_lists_every_family() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_table(page) == page, "run python -m tests.capture.table"
    assert len(FAMILIES) >= 40
