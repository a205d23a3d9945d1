"""Families of timm and torchvision, whose packages need a PyTorch of their own build."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from tests.capture.families import IMAGE, Family, torch_truth

IMAGES = {"x": IMAGE["pixel_values"]}


def _timm(module: str, name: str, **settings: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from importlib import import_module

        built: nn.Module = getattr(import_module(f"timm.models.{module}"), name)(
            img_size=32, num_classes=5, **settings
        )
        return built

    return make


def _timm_truth(model: nn.Module, inputs: Mapping[str, Any]) -> list[Tensor]:
    """What meets the dropout behind timm's own softmax, its fused attention switched off."""
    kept: list[Tensor] = []
    for name, module in model.named_modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
        if name.endswith("attn_drop"):
            module.register_forward_pre_hook(lambda _, given: kept.append(given[0]))
    model(**inputs)
    return kept


def _torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    built: nn.Module = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=40
    )
    return built


def _torchvision_swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    built: nn.Module = SwinTransformer(
        patch_size=[4, 4], embed_dim=16, depths=[1, 1], num_heads=[2, 4], window_size=[4, 4],
        stochastic_depth_prob=0.0,
    )  # fmt: skip
    return built


def _torchvision_swin_truth(model: nn.Module, inputs: Mapping[str, Any]) -> list[Tensor]:
    """What the function that shifts windows gives its dropout."""
    from torchvision.models import swin_transformer

    kept: list[Tensor] = []
    functional = swin_transformer.F

    class Listening:
        def __getattr__(self, name: str) -> Any:
            return getattr(functional, name)

        def dropout(self, given: Tensor, *args: Any, **options: Any) -> Tensor:
            if given.dim() == 4 and given.shape[-1] == given.shape[-2]:
                kept.append(given)
            return functional.dropout(given, *args, **options)

    swin_transformer.F = Listening()
    try:
        model(**inputs)
    finally:
        swin_transformer.F = functional
    return kept


_VIT = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2}
_BEHIND = "the softmax before its dropout, fused attention off"

IMAGE_FAMILIES: dict[str, Family] = {
    "timm ViT": Family(
        _timm("vision_transformer", "VisionTransformer", **_VIT),
        IMAGES, "ss", _timm_truth, _BEHIND, "sdpa", package="timm",
    ),
    "timm BEiT": Family(
        _timm("beit", "Beit", use_rel_pos_bias=True, **_VIT),
        IMAGES, "ss", _timm_truth, _BEHIND, "sdpa", package="timm",
    ),
    "timm EVA": Family(
        _timm("eva", "Eva", use_rot_pos_emb=True, **_VIT),
        IMAGES, "ss", _timm_truth, _BEHIND, "sdpa", package="timm",
    ),
    "timm Swin": Family(
        _timm("swin_transformer", "SwinTransformer", patch_size=4, embed_dim=16, depths=(2, 1),
              num_heads=(2, 4), window_size=4),
        IMAGES, "sss", _timm_truth, _BEHIND, "its own", package="timm",
    ),
    "torchvision ViT": Family(
        _torchvision_vit, IMAGES, "ss", torch_truth,
        "weights that `nn.MultiheadAttention` returns", "PyTorch's own", package="torchvision",
    ),
    "torchvision Swin": Family(
        _torchvision_swin, IMAGES, "ss", _torchvision_swin_truth,
        "what meets its dropout", "its own", package="torchvision",
    ),
}  # fmt: skip
