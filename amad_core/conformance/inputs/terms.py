"""The terms on which a port is judged: what it is meant to compute."""

from dataclasses import dataclass, replace

from amad_core.arguments.maps import REDUCTIONS, check_eps, check_temperature
from amad_core.arguments.words import check_choice
from amad_core.attention.variants import VARIANTS
from amad_core.conformance.inputs.case import Case


@dataclass(frozen=True)
class Terms:
    """The options by which a port is judged.

    What a port takes as arguments is passed to it; for what it does not take, the terms say what it
    has fixed inside.

    Attributes:
        variant, temperature, reduction, eps: as in :func:`amad_core.amad_loss`.
        masks: judge masks too; ``None``: if the port takes one.
        gradients: judge gradients too, where the framework has them.
        layers: the port takes lists of maps and adds up the losses of the layers.
        detached_teacher: a gradient into the teacher is a fault; else a note, for the caller may
            detach, and frameworks' own losses leave it to the caller.

    Raises:
        TypeError, ValueError: an option that the specification does not have.
    """

    variant: str = "mse"
    temperature: float = 1.0
    reduction: str = "mean"
    eps: float = 0.0
    masks: bool | None = None
    gradients: bool = True
    layers: bool = False
    detached_teacher: bool = False

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)
        check_temperature(self.temperature)
        check_choice("reduction", self.reduction, REDUCTIONS)
        check_eps(self.eps)

    def applied_to(self, case: Case) -> Case:
        """The case with these options."""
        return replace(
            case,
            variant=self.variant,
            temperature=self.temperature,
            reduction=self.reduction,
            eps=self.eps,
        )
