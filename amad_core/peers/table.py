"""The peers by name, one row each, and one call for all of them and for AMAD's own variants."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from amad_core.arguments.peers import check_options, check_with_respect_to
from amad_core.arguments.words import check_choice
from amad_core.attention.gradient import DIFFERENTIABLE, amad_loss_and_grad
from amad_core.attention.inputs import FloatArray
from amad_core.attention.loss import amad_loss
from amad_core.attention.variants import VARIANTS
from amad_core.peers import head_merging, head_pairs, learned_alignment, logits, minilm, tinybert


class Peer(NamedTuple):
    """One method.

    Attributes:
        loss: the value, ``loss(*, teacher, student, reduction, mask, **options)``.
        gradient: the gradients of the sum over the batch by name, same arguments but the reduction.
        inputs: what ``teacher`` and ``student`` are: ``"maps"``, ``"scores"`` (before the softmax),
            ``"vectors"`` (queries, keys or values) or ``"logits"``.
        learned: arguments that are parameters to train along with the student.
    """

    loss: Callable[..., FloatArray]
    gradient: Callable[..., Mapping[str, FloatArray]]
    inputs: str = "maps"
    learned: tuple[str, ...] = ()


def _amad_gradient(variant: str, **arguments: Any) -> Mapping[str, FloatArray]:
    names = DIFFERENTIABLE if VARIANTS[variant].projected else DIFFERENTIABLE[:1]
    return {
        name: amad_loss_and_grad(
            variant=variant, reduction="sum", with_respect_to=name, **arguments
        )[1]
        for name in names
    }


PEERS: Mapping[str, Peer] = MappingProxyType(
    {
        "one_to_one_mse": Peer(head_pairs.one_to_one_mse, head_pairs.one_to_one_mse_gradient),
        "one_to_one_kl": Peer(head_pairs.one_to_one_kl, head_pairs.one_to_one_kl_gradient),
        "mean_head_mse": Peer(head_pairs.mean_head_mse, head_pairs.mean_head_mse_gradient),
        "mean_head_kl": Peer(head_pairs.mean_head_kl, head_pairs.mean_head_kl_gradient),
        "best_match_mse": Peer(head_pairs.best_match_mse, head_pairs.best_match_mse_gradient),
        "best_match_kl": Peer(head_pairs.best_match_kl, head_pairs.best_match_kl_gradient),
        "align_to_distill": Peer(
            learned_alignment.align_to_distill,
            learned_alignment.align_to_distill_gradient,
            learned=("weight", "bias"),
        ),
        "squeezing_heads": Peer(
            head_merging.squeezing_heads, head_merging.squeezing_heads_gradient
        ),
        "tinybert_scores": Peer(
            tinybert.tinybert_scores, tinybert.tinybert_scores_gradient, inputs="scores"
        ),
        "minilm_attention": Peer(minilm.minilm_attention, minilm.minilm_attention_gradient),
        "minilm_value_relation": Peer(
            minilm.minilm_value_relation, minilm.minilm_value_relation_gradient, inputs="vectors"
        ),
        "minilmv2_relation": Peer(
            minilm.minilmv2_relation, minilm.minilmv2_relation_gradient, inputs="vectors"
        ),
        "logits_kl": Peer(logits.logits_kl, logits.logits_kl_gradient, inputs="logits"),
    }
)

METHODS: Mapping[str, Peer] = MappingProxyType(
    {
        f"amad_{variant}": Peer(
            partial(amad_loss, variant=variant),
            partial(_amad_gradient, variant),
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
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    **options: Any,
) -> FloatArray:
    """The loss of any method by its name: a key of ``PEERS``, or ``"amad_"`` and a variant.

    Args:
        name: a key of ``METHODS``.
        teacher, student: what the method compares, see ``METHODS[name].inputs``.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, true where a cell (of logits: a position) counts.
        options: the method's own keywords.

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64.

    Raises:
        TypeError: an option that the method does not have, or lacks; as the method.
        ValueError: an unknown name; as the method.
    """
    method = _method(name, options)
    return method.loss(teacher=teacher, student=student, reduction=reduction, mask=mask, **options)


def distillation_loss_and_grad(
    *,
    name: str,
    teacher: ArrayLike,
    student: ArrayLike,
    reduction: str = "mean",
    mask: ArrayLike | None = None,
    with_respect_to: str = "student",
    **options: Any,
) -> tuple[FloatArray, FloatArray]:
    """The loss of ``distillation_loss``, and its exact gradient in closed form.

    Args:
        name, teacher, student, reduction, mask, options: as in ``distillation_loss``.
        with_respect_to: ``"student"``, or one of ``METHODS[name].learned``.

    Returns:
        The loss, and the gradient, float64, of the shape of what it is taken with respect to. With
        ``reduction="none"`` it is the gradient of the sum over the batch, so each sample holds the
        gradient of its own loss.

    Raises:
        TypeError, ValueError: as ``distillation_loss``; nothing to differentiate of that name.
    """
    method = _method(name, options)
    check_with_respect_to(with_respect_to, ("student", *method.learned), name)
    inputs = {"teacher": teacher, "student": student, "mask": mask, **options}
    loss = method.loss(reduction=reduction, **inputs)
    gradient = method.gradient(**inputs)[with_respect_to]
    if reduction == "mean":
        gradient = gradient / np.shape(teacher)[0]
    return loss, gradient


def _method(name: str, options: Mapping[str, object]) -> Peer:
    check_choice("name", name, METHODS)
    method = METHODS[name]
    check_options(name, options, method.loss)
    return method
