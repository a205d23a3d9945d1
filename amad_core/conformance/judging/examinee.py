"""A port under examination: asked, judged, and what it said remembered."""

from dataclasses import dataclass, field, replace

from amad_core.conformance.inputs.borders import rounded
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.terms import Terms
from amad_core.conformance.inputs.token_masks import of_tokens
from amad_core.conformance.judging.judgement import Judgement, judge
from amad_core.conformance.ports.port import Port

DIFFERENTIABLE = ("torch", "tensorflow", "jax")
"""Frameworks that can differentiate a port."""


@dataclass
class Examinee:
    """A port, the terms on which it is judged, and how hard to look.

    Attributes:
        port: answers cases.
        terms: what it is meant to compute.
        seed: of everything drawn.
        max_examples: how many inputs Hypothesis draws.
        judged: every answer in the first dtype so far, by the case's name.
    """

    port: Port
    terms: Terms
    seed: int = 0
    max_examples: int = 100
    judged: dict[str, Judgement] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """The dtype that correctness is judged in: the widest that the port computes in."""
        return self.port.description.dtypes[0]

    @property
    def takes_masks(self) -> bool:
        """Whether masks are judged."""
        if self.terms.masks is None:
            return "mask" in self.port.description.accepts
        return self.terms.masks

    @property
    def differentiable(self) -> bool:
        """Whether the framework can give gradients, and they are asked for."""
        return self.terms.gradients and self.port.description.framework in DIFFERENTIABLE

    @property
    def judgements(self) -> list[Judgement]:
        """Every answer so far in the dtype that correctness is judged in."""
        return [one for one in self.judged.values() if one.asked_in == self.dtype]

    def fitting(self, case: Case) -> Case:
        """The case as the port can be asked it: one that takes masks of tokens wants such cases."""
        description = self.port.description
        if description.square_maps or (description.token_masks and case.mask is not None):
            return of_tokens(case, self.seed)
        return case

    def judge(self, case: Case, dtype: str | None = None, *, again: bool = False) -> Judgement:
        """Ask the port, once for each case and dtype unless ``again``."""
        asked_in = dtype or self.dtype
        key = case.name if asked_in == self.dtype else f"{case.name} {asked_in}"
        if key not in self.judged or again:
            self.judged[key] = self.judge_unnamed(case, asked_in)
        return self.judged[key]

    def judge_unnamed(
        self, case: Case, dtype: str | None = None, *, gradients: bool = True
    ) -> Judgement:
        """Ask the port and remember nothing: for cases that are drawn by the hundred."""
        asked_in = dtype or self.dtype
        case = rounded(self.fitting(case), asked_in)
        answer = self.port.answer(case, asked_in, gradients and self.terms.gradients)
        if answer.value is not None and not self.terms.gradients:
            answer = replace(answer, grad_student=None, grad_teacher=None)
        return judge(case, answer, asked_in)
