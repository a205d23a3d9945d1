"""How much of a step one batch is, where several batches or processes make up one step.

A mean of means is not the mean over all: batches have unequal numbers of tokens. So each part of
the loss knows what it is a mean over, and is multiplied by its share of the whole step.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Part:
    """One part of the loss.

    Attributes:
        mean: over what counts in this batch.
        count: of that.
        of_labels: whether labels are counted, as trainers count them.
    """

    mean: Tensor
    count: Tensor | int
    of_labels: bool = False


@dataclass(frozen=True)
class Step:
    """What is known of all batches that make up one step.

    Attributes:
        items: labels that count, Transformers' ``num_items_in_batch``.
        samples: in this batch, and in all batches or ``None``.
    """

    items: Tensor | int | None
    samples: tuple[int, Tensor | int | None]

    def shares(self, parts: Iterable[Part], distiller: nn.Module) -> list[Tensor | float]:
        """What each part's mean is multiplied by, so that a step's losses make that of all."""
        if self.items is None and self.samples[1] is None:
            return _among_processes(list(parts), distiller)
        return [self._share(part) for part in parts]

    def _share(self, part: Part) -> Tensor | float:
        if part.of_labels and self.items is not None:
            items = torch.as_tensor(self.items, device=part.mean.device)
            return part.count / items.flatten()[0]
        here, everywhere = self.samples
        if everywhere is not None:
            return here / torch.as_tensor(everywhere, device=part.mean.device)
        return 1.0 / _batches_of_a_trainer()


def _among_processes(parts: list[Part], distiller: nn.Module) -> list[Tensor | float]:
    """1; or under DDP and FSDP, which average gradients, the share times their number."""
    if not shares_gradients(distiller):
        return [1.0] * len(parts)
    device = parts[0].mean.device
    counts = torch.stack([torch.as_tensor(part.count, device=device).long() for part in parts])
    total = counts.clone()
    dist.all_reduce(total)
    return list((counts * dist.get_world_size() / total.clamp(min=1)).unbind())


def shares_gradients(distiller: nn.Module) -> bool:
    """Whether DDP or FSDP is around the distiller or in it; a process alone must not wait."""
    if not (torch.is_grad_enabled() and dist.is_available() and dist.is_initialized()):
        return False
    return is_shared(distiller) or any(map(_is_wrapper, distiller.modules()))


def is_shared(distiller: nn.Module) -> bool:
    """Whether DDP is around the distiller, or FSDP2 is on it: on all that it trains."""
    around = getattr(DistributedDataParallel, "_get_active_ddp_module", lambda: None)()
    if around is not None and any(module is distiller for module in around.modules()):
        return True
    return _is_wrapper(distiller)


def _is_wrapper(module: nn.Module) -> bool:
    wrappers = {"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule"}
    return bool(wrappers & {kind.__name__ for kind in type(module).__mro__})


def _batches_of_a_trainer() -> int:
    """How many batches of how many processes the calling trainer adds up; 1 without one.

    Transformers' trainer tells a model the number of labels in a step, and then adds the losses of
    its batches up without dividing; how many there are only the trainer itself knows, and its last
    step of an epoch may have fewer than the others.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "compute_loss":
            trainer: Any = frame.f_locals.get("self")
            if hasattr(trainer, "current_gradient_accumulation_steps"):
                return _batches(trainer)
        frame = frame.f_back  # type: ignore[assignment]
    return 1


def _batches(trainer: Any) -> int:
    if getattr(trainer, "label_smoother", None) is not None:
        raise ValueError(
            "label_smoothing_factor makes the trainer put a loss of its own in place of the "
            "distiller's, which would be lost; set it to 0: output_weight softens the labels"
        )
    batches = trainer.current_gradient_accumulation_steps if torch.is_grad_enabled() else 1
    if not trainer.args.average_tokens_across_devices:
        return int(batches)
    # Gradients are averaged over the processes, and the trainer multiplies by their number.
    return int(batches * trainer.accelerator.num_processes // trainer.get_tp_size())
