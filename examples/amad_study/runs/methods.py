"""What a student is taught by: each method of the study as a `Distiller`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from amad_study.models.batches import Batch
from amad_study.runs import losses
from amad_study.runs.losses import MapsLoss
from amad_torch import AttentionMatch, Distiller
from amad_torch.distillation.teaching import Teacher
from amad_torch.peers import METHODS as LIBRARY

RELATION_HEADS = 4
"""Into so many heads MiniLMv2's relations are cut, whatever heads a model has."""

_PLAIN = {"implementation": "plain"}
"""Rounds the same in every release, as fast ways need not; among so few tokens it is as fast."""


@dataclass(frozen=True)
class Method:
    """One way of teaching.

    Attributes:
        attention: the library's name of the attention loss, or a loss of maps, or a class of
            such, of which every distiller has its own; `None`: attention is not taught.
        output: whether the teacher's answers are, where a cell gives them a weight.
        options: further keywords of the attention loss.
    """

    attention: str | MapsLoss | type[nn.Module] | None = None
    output: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_temperature(self) -> bool:
        """Whether a cell's temperature does anything."""
        return isinstance(self.attention, str) and self.attention.startswith("amad_")

    @property
    def can_be_remembered(self) -> bool:
        """Whether the teacher's maps and answers are all that it learns from."""
        if isinstance(self.attention, str):
            of_maps = LIBRARY[self.attention].inputs == "maps"
            return of_maps and self.attention != "squeezing_heads"
        return self.output

    def loss(self) -> str | MapsLoss:
        """As a distiller takes it; a name where attention is not taught."""
        if isinstance(self.attention, type):
            made: MapsLoss = self.attention()
            return made
        return self.attention or "amad_kl"


_PEERS: Mapping[str, str | MapsLoss] = {
    f"{pairing}-{divergence}": f"{name}_{divergence}"
    for pairing, name in (
        ("one-to-one", "one_to_one"),
        ("mean-head", "mean_head"),
        ("best-match", "best_match"),
    )
    for divergence in ("mse", "kl")
} | {
    "one-to-one-js": losses.one_to_one_js,
    "mean-head-js": losses.mean_head_js,
    "best-match-js": losses.best_match_js,
    "grouped-means-kl": losses.grouped_means_kl,
    "align-to-distill": "align_to_distill",
    "squeezing-heads": "squeezing_heads",
}

_CHANGED: Mapping[str, MapsLoss | type[nn.Module]] = {
    "amad-kl-without-sinks": losses.amad_kl_without_sinks,
    "amad-kl-learned-temperature": losses.LearnedTemperature,
    "amad-kl-detached": losses.AMADWithWeights(losses.detached),
    "amad-kl-permuted": losses.AMADWithWeights(losses.permuted),
    "amad-kl-uniform": losses.AMADWithWeights(losses.uniform),
}

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "ground-truth": Method(output=False),
        "logits": Method(),
        **{
            f"amad-{variant}": Method(f"amad_{variant}", options=_PLAIN)
            for variant in ("mse", "kl", "js")
        },
        **{name: Method(loss) for name, loss in {**_PEERS, **_CHANGED}.items()},
        "minilmv2-relation": Method(
            "minilmv2_relation", options={"relation_heads": RELATION_HEADS}
        ),
    }
)
"""By the name that plans and reports use."""


def make_distiller(
    name: str,
    *,
    teacher: Teacher,
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
        teacher, student: of one family; or what remembers the teacher.
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
        method=method.loss(),
        attention_weight=attention_weight if method.attention else 0.0,
        output_weight=output_weight if method.output else 0.0,
        output_temperature=output_temperature,
        temperature=temperature,
        matches=[AttentionMatch(teacher=part, student=part, layers=layers) for part in parts]
        or [AttentionMatch(layers=layers)],
        options=method.options,
        example=example,
    )
