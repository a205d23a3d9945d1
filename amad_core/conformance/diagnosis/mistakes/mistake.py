"""What a known mistake is."""

from collections.abc import Callable
from dataclasses import dataclass

from amad_core.conformance.diagnosis.pipeline import Mutation

ALL = ("mse", "kl", "js", "token", "projected")
WHOLE_MAP = ("mse", "kl", "js", "projected")
KL = ("kl", "token", "projected")
PROBABILITIES = ("kl", "js", "token", "projected")

VALUES = "values"
"""Values and gradients show it."""
GRADIENTS = "gradients"
"""Values are right; only gradients show it."""
TEACHER_GRADIENT = "teacher-gradient"
"""Only a gradient taken with respect to the teacher shows it."""
MASKS = "masks"
"""Only masked cases show it."""
INPUTS_UNCHANGED = "inputs-unchanged"
"""Only a comparison of the inputs before and after the call shows it."""
LAYERS = "layers"
"""Only a call with several layers shows it."""
REPEATED_CALLS = "repeated-calls"
"""Only a second call with the same inputs shows it."""
PRECISION = "precision"
"""Only the size of the rounding error shows it."""


@dataclass(frozen=True)
class Form:
    """One way to make the mistake; ``variants`` and ``in_pairs`` narrow where it is tried."""

    label: str
    mutation: Mutation
    variants: tuple[str, ...] = ALL
    in_pairs: bool = True


@dataclass(frozen=True)
class FittedForm:
    """Ways to make the mistake that differ by one positive number, which a diagnosis fits.

    ``broad``: the number changes the loss by more than a few per cent, so that a further mistake
    has to be guessed before the number is fitted. ``origins`` says where some numbers come from.
    """

    label: str
    mutation: Callable[[float], Mutation]
    low: float
    high: float
    variants: tuple[str, ...] = ALL
    broad: bool = False
    origins: tuple[tuple[float, str], ...] = ()

    def form(self, number: float, in_pairs: bool = True) -> Form:
        """The form with this number."""
        origin = next((told for size, told in self.origins if size == number), "")
        label = self.label.format(number) + (f": {origin}" if origin else "")
        return Form(label, self.mutation(number), self.variants, in_pairs)


@dataclass(frozen=True)
class Mistake:
    """A known mistake of a port.

    Attributes:
        name: kebab-case, unique, stable: reports and vectors refer to it.
        sentence: what the port does instead of what it should, for a human.
        symptom: how it shows in training or in numbers.
        mend: what to change.
        evidence: where it was seen, or where the reasoning is; may be empty.
        forms: executable ways of making it; empty where only a check of state finds it.
        fitted_forms: further ways, with a number to fit.
        variants: to which variants of the loss it applies.
        same_as: names of mistakes that give the same values and gradients for every input of the
            variants they share: nothing tells them apart, a diagnosis lists all.
        found_by: which kind of check shows it, one of the constants of this module.
    """

    name: str
    sentence: str
    symptom: str
    mend: str
    evidence: str = ""
    forms: tuple[Form, ...] = ()
    fitted_forms: tuple[FittedForm, ...] = ()
    variants: tuple[str, ...] = ALL
    same_as: tuple[str, ...] = ()
    found_by: str = VALUES


def one(mutation: Mutation) -> tuple[Form, ...]:
    """The only form of a mistake that is made in one way."""
    return (Form("", mutation),)
