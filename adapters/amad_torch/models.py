"""What is asked of any model: what it takes, what it gives, which labels its loss counts."""

import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

IGNORED = -100
"""The label of a token that does not count, in Transformers and in PyTorch's cross-entropy."""

_ANY_NAME = inspect.Parameter.VAR_KEYWORD


def unwrapped(model: nn.Module) -> Any:
    """The model under what PEFT, DDP and ``torch.compile`` put around it."""
    while True:
        if isinstance(model, DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        elif callable(base := getattr(model, "get_base_model", None)):
            model = base()
        else:
            return model


def check_apart(teacher: nn.Module, student: nn.Module) -> None:
    """An error where freezing the teacher would freeze a part of the student.

    Raises:
        ValueError: a parameter that is to be trained is the teacher's too.
    """
    of_teacher = {id(one) for one in teacher.parameters()}
    for name, one in student.named_parameters():
        if one.requires_grad and id(one) in of_teacher:
            raise ValueError(
                "teacher and student must not share parameters, as the teacher is frozen; got "
                f"{name!r} in both: give the teacher a copy (copy.deepcopy)"
            )


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """In eval mode, random state kept; afterwards every module in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    devices = {one.device for one in model.parameters() if one.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=list(devices)):
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def signature(model: nn.Module, also: Collection[str] = ()) -> inspect.Signature:
    """Of the forward pass, with further names that it takes besides."""
    found = inspect.signature(unwrapped(model).forward)
    parameters = list(found.parameters.values())
    any_name = parameters[-1:] if parameters and parameters[-1].kind is _ANY_NAME else []
    further = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in also
        if name not in found.parameters
    ]
    return found.replace(
        parameters=[*parameters[: len(parameters) - len(any_name)], *further, *any_name]
    )


def taken(
    model: nn.Module, batch: Mapping[str, Any], left_out: Collection[str] = ()
) -> dict[str, Any]:
    """The entries of a batch that a model's forward pass takes.

    ``left_out`` are entries that it takes only where it names them, not where it takes any.
    """
    parameters = signature(model).parameters.values()
    names = {one.name for one in parameters}
    any_name = any(one.kind is _ANY_NAME for one in parameters)
    return {
        name: value
        for name, value in batch.items()
        if name in names or (any_name and name not in left_out)
    }


def entry(output: Any, name: str) -> Any:
    """An entry of a model's output; ``None`` where it has none of this name."""
    if isinstance(output, Mapping):
        return output.get(name)
    return getattr(output, name, None)


def logits_of(output: Any) -> Tensor | None:
    """A model's logits, or its output where that is a tensor of their rank."""
    if isinstance(output, Tensor):
        return output if output.dim() in (2, 3) else None
    found = entry(output, "logits")
    return found if isinstance(found, Tensor) else None


def zero_of(output: Any) -> Tensor | None:
    """0, with every tensor of an output in its graph; ``None``: none has one."""
    values = list(output.values()) if isinstance(output, Mapping) else output
    zeros = [
        one.masked_fill(torch.ones_like(one, dtype=torch.bool), 0.0).sum().float()
        for one in (values if isinstance(values, list | tuple) else [values])
        if isinstance(one, Tensor) and one.requires_grad
    ]
    return torch.stack(zeros).sum() if zeros else None


def keys_of(output: Any) -> str:
    """What an output holds, for errors."""
    if isinstance(output, Mapping):
        return ", ".join(map(repr, output)) or "nothing"
    return f"a {type(output).__name__}"


def shifts_labels(model: nn.Module) -> bool:
    """Whether position ``t`` predicts the label of ``t + 1``: a causal model of Transformers."""
    base = unwrapped(model)
    losses = sys.modules.get("transformers.loss.loss_utils")
    if losses is None or not hasattr(base, "loss_type"):
        return False
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    if getattr(getattr(base, "config", None), "is_encoder_decoder", False):
        return False
    loss = losses.LOSS_MAPPING.get(base.loss_type)
    causal = type(base).__name__.removeprefix("FSDP") in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return loss is losses.ForCausalLMLoss or (loss is None and causal)


def counted_labels(model: nn.Module, batch: Mapping[str, Any]) -> Tensor | None:
    """True where a label counts, laid out as the positions that predict them; ``None``: no labels.

    ``labels`` that are not -100, moved one position to the left where the model's loss does so; or
    ``shift_labels``, which are moved already.
    """
    moved, labels = batch.get("shift_labels"), batch.get("labels")
    if isinstance(moved, Tensor):
        return moved != IGNORED
    if not isinstance(labels, Tensor):
        return None
    counts = labels != IGNORED
    if not shifts_labels(model):
        return counts
    return torch.cat([counts[..., 1:], torch.zeros_like(counts[..., :1])], dim=-1)


def with_a_label(batch: Mapping[str, Any], counts: Tensor | None) -> dict[str, Any]:
    """The batch, with one label where none counts: a mean over none of them would be NaN.

    Whoever asks takes that mean 0 times. Without a branch, which would wait for the device.
    """
    given = dict(batch)
    for name in ("labels", "shift_labels"):
        labels = batch.get(name)
        if counts is None or not isinstance(labels, Tensor) or not labels.numel():
            continue
        if not labels.is_floating_point():
            given[name] = labels.clone(memory_format=torch.contiguous_format)
            given[name].view(-1)[-1:].masked_fill_(~counts.any(), 0)
    return given
