"""The distiller: teacher and student in, the loss to train the student with out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from amad_core.arguments.maps import check_temperature
from amad_core.training.schedule import check_weight
from amad_torch.capture.capturing import capture_attention
from amad_torch.distillation.as_student import AsStudent
from amad_torch.distillation.attention_part import attention_part
from amad_torch.distillation.learned import GIVE_AN_EXAMPLE, learned_for, learned_methods
from amad_torch.distillation.lengths import Lengths
from amad_torch.distillation.match import (
    AttentionMatch,
    GroupedLayers,
    MatchedLayers,
    matched_layers,
)
from amad_torch.distillation.methods import Method, check_method, name_of
from amad_torch.distillation.output import DistillationOutput
from amad_torch.distillation.parts import output_part, samples_in, task_part
from amad_torch.distillation.shares import Part, Step, shares_gradients
from amad_torch.distillation.suggesting import suggest
from amad_torch.distillation.suggestion import Suggestion
from amad_torch.distillation.teaching import (
    Teacher,
    attention_of,
    frozen,
    names_of_samples,
    no_input,
    taught,
)
from amad_torch.distillation.tied import without_tied_copies
from amad_torch.models import (
    as_it_was,
    counted_labels,
    entry,
    keys_of,
    logits_of,
    signature,
    taken,
    with_a_label,
    zero_of,
)


class Distiller(AsStudent):
    """``L = w_output L_output + w_task L_task + λ Σ_(layer pairs) L_attention``, of any two models.

    The teacher is frozen, in eval mode and without autograd whatever the caller does; it is no part
    of ``parameters()`` and ``state_dict()``, but moves with ``.to()``. Both models keep their own
    attention implementation; what they attend to comes from ``capture_attention``.

    A forward pass takes the entries of a batch; where several batches make up one step also
    ``num_items_in_batch``, the labels that count in all of them (trainers give it), and
    ``num_samples_in_batch``: their losses then add up to that of the joined batch. Under DDP and
    FSDP losses average to it.

    Args:
        teacher, student: any ``nn.Module`` that is called with the entries of a batch; or a
            ``TeacherCache`` for the teacher, whose model need not be loaded.
        method: a key of ``METHODS`` that compares layers; or a loss of your own, ``loss(*,
            teacher, student, mask, **options)`` of maps ``[B, H, Q, K]`` and the cells that count
            ``[B, Q, K]`` (``None``: all), a scalar. The parameters of a module are trained along.
        temperature: τ of the softmax over student heads, for AMAD's variants.
        layers: which teacher layer teaches which student layer, as in ``layer_pairs``; within
            self- and cross-attention, and within each part that both models have.
        attention_weight, output_weight, task_weight: at least 0; what has weight 0 is not
            computed. A part that a model or batch does not give (no logits, no labels) is left out.
        output_temperature: τ of the softened outputs.
        matches: what is compared with what, where everything that both have is not wanted.
        crop: ``(teacher tokens, student tokens)`` left out at the beginning of both axes.
        resize: the teacher's patch grid is resized to the student's.
        options: further keywords of the method (``eps``, ``relation_heads``); of
            ``minilmv2_relation`` also ``vectors``, of which relations are added up, by default
            ``("queries", "keys", "values")``.
        example: a batch. A method with parameters of its own (``amad_projected``,
            ``align_to_distill``) has some for each pair of layers, in ``learned``, which both
            models are run on it for; other methods do without.

    Raises:
        TypeError: models that are no ``nn.Module``, an option of the wrong type.
        ValueError: models that share parameters, an unknown method or one of logits, an example
            missing, a negative weight, a temperature of 0 or below; in a forward pass: nothing to
            compare, lengths that differ, pairs of layers that the example did not have.

    Source: Zhao et al., "No Head Left Behind", AAAI 2024.

    Examples:
        >>> from transformers import BertConfig, BertForSequenceClassification
        >>> sizes = dict(hidden_size=24, intermediate_size=32, vocab_size=50)
        >>> teacher, student = (
        ...     BertForSequenceClassification(
        ...         BertConfig(num_hidden_layers=depth, num_attention_heads=heads, **sizes)
        ...     )
        ...     for depth, heads in ((4, 6), (2, 4))
        ... )
        >>> distiller = Distiller(teacher=teacher, student=student, method="amad_kl")
        >>> batch = dict(input_ids=torch.randint(50, (3, 7)), labels=torch.tensor([0, 1, 1]))
        >>> out = distiller(**batch)
        >>> list(out)
        ['loss', 'attention', 'output', 'task', 'logits']
        >>> out.loss.backward()
    """

    def __init__(
        self,
        *,
        teacher: Teacher,
        student: nn.Module,
        method: Method = "amad_kl",
        temperature: float = 1.0,
        layers: GroupedLayers = "uniform",
        attention_weight: float = 1.0,
        output_weight: float = 1.0,
        output_temperature: float = 2.0,
        task_weight: float = 1.0,
        matches: Sequence[AttentionMatch] | None = None,
        crop: tuple[int, int] | None = None,
        resize: bool = False,
        options: Mapping[str, Any] | None = None,
        example: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(student, nn.Module):
            raise TypeError(f"student must be a torch.nn.Module; got {student!r}")
        self.matches = [AttentionMatch(layers=layers)] if matches is None else list(matches)
        methods = [method, *(match.method for match in self.matches if match.method)]
        for one in methods:
            check_method(one)
        check_temperature(temperature)
        check_temperature(output_temperature)
        for argument, weight in (
            ("attention_weight", attention_weight),
            ("output_weight", output_weight),
            ("task_weight", task_weight),
        ):
            check_weight(argument, weight)
        self.method, self.temperature = method, temperature
        self.attention_weight, self.task_weight = attention_weight, task_weight
        self.output_weight, self.output_temperature = output_weight, output_temperature
        self.lengths, self.options = Lengths(crop, resize), dict(options or {})
        self.watchers: list[Callable[[MatchedLayers, Callable[[], Tensor]], None]] = []
        """Called with layers that are compared, and a function for their alignment weights."""
        self.student = student
        # In a list, so that nn.Module does not take it for a part of what is trained and saved.
        self._teacher = [frozen(teacher, student)]
        self.learned = nn.ModuleDict()
        """The parameters of learned losses, by pair of layers."""
        self.losses = nn.ModuleList(
            {one: None for one in methods[1:] if isinstance(one, nn.Module) and one is not method}
        )
        """Losses of the user's own that are modules, of matches; the distiller's is ``method``."""
        if learned := learned_methods(self):
            if example is None:
                raise ValueError(f"example is missing for {learned[0]!r}: {GIVE_AN_EXAMPLE}")
            self.learned = learned_for(self, self.matched(example))
        without_tied_copies(self)

    @property
    def teacher(self) -> Teacher:
        """The frozen model, or its cache."""
        return self._teacher[0]

    def distil(self, *args: Any, **batch: Any) -> DistillationOutput:
        """Run both models on a batch, and add the losses up."""
        if args:
            batch = dict(zip(signature(self.student).parameters, args, strict=False)) | batch
        items, samples = (batch.pop(f"num_{what}_in_batch", None) for what in ("items", "samples"))
        labels = counted_labels(self.student, batch)
        with (
            capture_attention(self.student) if self.attention_weight else nullcontext() as attention
        ):
            student = self.student(**self.student_takes(with_a_label(batch, labels)))
        wanted = {"attention": bool(self.attention_weight), "logits": bool(self.output_weight)}
        teacher = taught(self.teacher, batch, **wanted)
        logits, here = logits_of(student), samples_in(batch)
        weights = {
            "attention": self.attention_weight,
            "output": self.output_weight,
            "task": self.task_weight,
        }
        found: dict[str, Part | None] = {}
        if teacher.attention is not None and attention is not None:
            found["attention"] = attention_part(self, teacher.attention, attention, batch, here)
        if self.output_weight:
            found["output"] = output_part(teacher, logits, labels, batch, self.output_temperature)
        if self.task_weight:
            found["task"] = task_part(entry(student, "loss"), labels, here)
        parts = {name: part for name, part in found.items() if part is not None}
        if not parts:
            raise ValueError(
                "there is nothing to train with: no attention (attention_weight is 0), no logits "
                f"and no loss in the student's output, which holds {keys_of(student)}; give "
                "labels, or a weight above 0"
            )
        shares = Step(items, (here, samples)).shares(parts.values(), self)
        total = torch.stack(
            [
                weights[name] * share * part.mean.float()
                for (name, part), share in zip(parts.items(), shares, strict=True)
            ]
        ).sum()
        if list(parts) == ["attention"] and shares_gradients(self):
            # DDP waits for the gradient of every parameter, also of those behind the last map.
            rest = zero_of(student)
            total = total if rest is None else total + rest
        return DistillationOutput(
            loss=total,
            **{name: part.mean for name, part in parts.items()},
            **({} if logits is None else {"logits": logits}),
        )

    def pairs(self, **batch: Any) -> list[str]:
        """Who learns from whom, by their paths, found by running both models on a batch."""
        return [matched.name for matched in self.matched(batch)]

    def matched(self, batch: Mapping[str, Any]) -> list[MatchedLayers]:
        """The layers that are compared, found by running both models on a batch in eval mode."""
        with as_it_was(self), torch.no_grad():
            with capture_attention(self.student) as attention:
                self.student(**self.student_takes(batch))
            target = attention_of(self.teacher, batch)
        return matched_layers(self.matches, target, attention)

    def suggest(self, batches: Iterable[Mapping[str, Any]], *, at_most: int = 8) -> Suggestion:
        """Measure both models on a few batches, and suggest settings to start from.

        Which teacher layer each student layer is most like; how alike the teacher's heads are; how
        even the alignment weights are at each temperature; how large each part of the loss and of
        its gradient is. The student is run in eval mode; nothing of the distiller changes.

        Args:
            batches: dictionaries, as the distiller is called with.
            at_most: so many are taken, and held in memory.

        Raises:
            TypeError: batches that are no iterable of dictionaries.
            ValueError: no batch, a student that has nothing to train, a part of the loss that is
                not finite, or what a forward pass refuses.

        Examples:
            >>> from copy import deepcopy
            >>> from transformers import BertConfig, BertForSequenceClassification
            >>> model = BertForSequenceClassification(
            ...     BertConfig(
            ...         hidden_size=24, num_attention_heads=4, num_hidden_layers=2, vocab_size=50
            ...     )
            ... )
            >>> distiller = Distiller(teacher=model, student=deepcopy(model))
            >>> batch = dict(input_ids=torch.randint(50, (3, 7)), labels=torch.tensor([0, 1, 1]))
            >>> distiller.suggest([batch]).layers  # each layer from itself
            {'self': [(0, 0), (1, 1)]}
        """
        return suggest(self, batches, at_most)

    def student_takes(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The entries of a batch that are the student's."""
        return taken(self.student, batch, no_input(self.teacher))

    def names_of_samples(self) -> Sequence[str]:
        """Entries of a batch by which a cached teacher knows samples."""
        return names_of_samples(self.teacher)

    def _apply(self, fn: Any, recurse: bool = True) -> "Distiller":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if isinstance(self.teacher, nn.Module):
            self.teacher._apply(fn)  # type: ignore[no-untyped-call]
        return self

    def extra_repr(self) -> str:
        return f"method={name_of(self.method)!r}, temperature={self.temperature:g}"
