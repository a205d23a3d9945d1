"""The peers by name, one row each, and one call for all of them and for AMAD's own variants."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from amad_core.arguments.peers import check_options
from amad_core.arguments.words import check_choice
from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.loss import amad_loss
from amad_tensorflow.attention.variants import VARIANTS
from amad_tensorflow.peers import (
    head_merging,
    head_pairs,
    learned_alignment,
    logits,
    minilm,
    tinybert,
)


class Peer(NamedTuple):
    """One method.

    Attributes:
        loss: the value, ``loss(*, teacher, student, reduction, mask, **options)``.
        inputs: what ``teacher`` and ``student`` are: ``"maps"``, ``"scores"`` (before the softmax),
            ``"vectors"`` (queries, keys or values) or ``"logits"``.
        learned: arguments that are parameters to train along with the student.
    """

    loss: Callable[..., Tensor]
    inputs: str = "maps"
    learned: tuple[str, ...] = ()


PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        "one_to_one_mse": Peer(head_pairs.one_to_one_mse),
        "one_to_one_kl": Peer(head_pairs.one_to_one_kl),
        "mean_head_mse": Peer(head_pairs.mean_head_mse),
        "mean_head_kl": Peer(head_pairs.mean_head_kl),
        "best_match_mse": Peer(head_pairs.best_match_mse),
        "best_match_kl": Peer(head_pairs.best_match_kl),
        "align_to_distill": Peer(learned_alignment.align_to_distill, learned=("weight", "bias")),
        "squeezing_heads": Peer(head_merging.squeezing_heads),
        "tinybert_scores": Peer(tinybert.tinybert_scores, inputs="scores"),
        "minilm_attention": Peer(minilm.minilm_attention),
        "minilm_value_relation": Peer(minilm.minilm_value_relation, inputs="vectors"),
        "minilmv2_relation": Peer(minilm.minilmv2_relation, inputs="vectors"),
        "logits_kl": Peer(logits.logits_kl, inputs="logits"),
    }
)

METHODS: Mapping[str, Peer] = MappingProxyType(
    {
        f"amad_{variant}": Peer(
            partial(amad_loss, variant=variant),
            learned=("weight", "bias") if row.projected else (),
        )
        for variant, row in VARIANTS.items()
    }
    | dict(PEERS)
)
"""AMAD's variants, as ``"amad_mse"`` and so on, and the peers."""


def distillation_loss(
    *,
    name: str,
    teacher: Tensor,
    student: Tensor,
    reduction: str = "mean",
    mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """The loss of any method by its name: a key of ``PEERS``, or ``"amad_"`` and a variant.

    Args:
        name: a key of ``METHODS``.
        teacher, student: what the method compares, see ``METHODS[name].inputs``.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, true where a cell (of logits: a position) counts.
        options: the method's own keywords, ``check_values`` among them.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where an input is float64, else
        float32.

    Raises:
        TypeError: an option that the method does not have, or lacks; as the method.
        ValueError: an unknown name; as the method.
    """
    check_choice("name", name, METHODS)
    loss = METHODS[name].loss
    check_options(name, options, loss)
    return loss(teacher=teacher, student=student, reduction=reduction, mask=mask, **options)
