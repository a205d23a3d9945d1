"""A port that has answered already."""

from dataclasses import dataclass

from amad_core.conformance.inputs.case import Case, Observation
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.ports.port import Description


@dataclass
class AnsweredPort:
    """Stands for a port of which only results are here; further questions get no answer."""

    description: Description

    def answer(self, case: Case, dtype: str, gradients: bool) -> Answer:
        """Nothing: the results are all there is."""
        return Answer(Observation(None, dtype=dtype))

    def close(self) -> None:
        """Nothing to let go of."""
