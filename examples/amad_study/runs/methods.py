"""What a student is taught by: each method of the study as a `Distiller`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from amad_study.models.batches import Batch
from amad_torch import AttentionMatch, Distiller

RELATION_HEADS = 4
"""Into so many heads MiniLMv2's relations are cut, whatever heads a model has."""


@dataclass(frozen=True)
class Method:
    """One way of teaching.

    Attributes:
        attention: the library's name of the attention loss; `None`: attention is not taught.
        output: whether the teacher's answers are, where a cell gives them a weight.
        options: further keywords of the attention loss.
    """

    attention: str | None = None
    output: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "ground-truth": Method(output=False),
        "logits": Method(),
        **{
            f"{pairing}-{divergence}": Method(f"{name}_{divergence}")
            for pairing, name in (
                ("one-to-one", "one_to_one"),
                ("mean-head", "mean_head"),
                ("best-match", "best_match"),
                ("amad", "amad"),
            )
            for divergence in ("mse", "kl")
        },
        "amad-js": Method("amad_js"),
        "align-to-distill": Method("align_to_distill"),
        "squeezing-heads": Method("squeezing_heads"),
        "minilmv2-relation": Method(
            "minilmv2_relation", options={"relation_heads": RELATION_HEADS}
        ),
    }
)
"""By the name that plans and reports use."""


def make_distiller(
    name: str,
    *,
    teacher: nn.Module,
    student: nn.Module,
    example: Batch,
    attention_weight: float = 1.0,
    output_weight: float = 1.0,
    output_temperature: float = 2.0,
    temperature: float = 1.0,
    layers: str = "uniform",
    parts: tuple[str, ...] = (),
) -> Distiller:
    """The distiller of a method; every part of both models is compared, or the named ones.

    Args:
        name: a key of `METHODS`.
        teacher, student: of one family.
        example: a batch, for methods with parameters of their own.
        attention_weight, output_weight: 0 where the method does not teach it.
        output_temperature: of the softened answers.
        temperature: of AMAD's weights.
        layers: a layer map by its name.
        parts: paths that both models have, below which attention is compared.

    Raises:
        ValueError: an unknown method, or what `Distiller` refuses.
    """
    if name not in METHODS:
        raise ValueError(f"method is {name!r}, expected one of {', '.join(METHODS)}")
    method = METHODS[name]
    return Distiller(
        teacher=teacher,
        student=student,
        method=method.attention or "amad_kl",
        attention_weight=attention_weight if method.attention else 0.0,
        output_weight=output_weight if method.output else 0.0,
        output_temperature=output_temperature,
        temperature=temperature,
        matches=[AttentionMatch(teacher=part, student=part, layers=layers) for part in parts]
        or [AttentionMatch(layers=layers)],
        options=method.options,
        example=example,
    )
