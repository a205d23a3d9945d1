"""What trainers and users ask a model for is the student's."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from amad_torch.distillation.output import DistillationOutput
from amad_torch.models import shifts_labels, signature


class _Forward:
    """``forward`` with the student's own signature, by which trainers choose a batch's entries."""

    def __get__(self, model: "AsStudent | None", owner: type["AsStudent"]) -> Any:
        if model is None:
            return _unbound
        bound = partial(model.distil)
        also = model.names_of_samples()
        bound.__signature__ = signature(model.student, also)  # type: ignore[attr-defined]
        return bound


def _unbound(self: "AsStudent", labels: Any = None, **batch: Any) -> DistillationOutput:
    """``forward`` of the class; ``labels`` is named, as trainers look for it."""
    return self.distil(**({} if labels is None else {"labels": labels}), **batch)


def _distilled(model: nn.Module, given: Any, output: Any) -> None:
    """Refuse an output that ``distil`` did not give: a trainer put its own forward pass there."""
    if not isinstance(output, DistillationOutput):
        raise RuntimeError(
            f"the forward pass of this {type(model).__name__} was replaced from outside: it gave a "
            f"{type(output).__name__}, so nothing would be distilled. TRL's trainers do so, to "
            "compute a loss of their own; a subclass of SFTTrainer with compute_loss = "
            "transformers.Trainer.compute_loss takes the distiller's"
        )


class AsStudent(nn.Module):
    """A module that passes for its ``student``, with ``distil`` in place of the forward pass."""

    # Trainers then hand over the number of labels in a step, by which each part is scaled.
    accepts_loss_kwargs = True

    forward = _Forward()

    student: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_hook(_distilled)

    def distil(self, *args: Any, **batch: Any) -> DistillationOutput:
        """The forward pass."""
        raise NotImplementedError

    def names_of_samples(self) -> Sequence[str]:
        """Entries of a batch that are taken beside the student's."""
        return ()

    @property
    def loss_type(self) -> str | None:
        """How trainers of Transformers are to count labels: as the student's loss does."""
        return "ForCausalLM" if shifts_labels(self.student) else None

    def __getattr__(self, name: str) -> Any:
        """``config``, ``generate``, ``generation_config`` and whatever else the student has."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "student" or name.startswith("__"):
                raise
            return getattr(self.student, name)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        """Save the student alone, as its own class does."""
        kwargs.pop("state_dict", None)
        return self.student.save_pretrained(*args, **kwargs)  # type: ignore[operator]

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Turn the student's gradient checkpointing on, non-reentrant unless asked otherwise."""
        # Transformers' models had only the other name up to 5.23; others' have it still.
        enable: Any = getattr(self.student, "activation_checkpointing_enable", None)
        enable = enable or self.student.gradient_checkpointing_enable
        enable(activation_checkpointing_kwargs or {"use_reentrant": False}, **options)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """``activation_checkpointing_enable``, by the name that older trainers ask for."""
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs, **options)
