"""What was found out about a port that is wrong: explanations, questions, facts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """A known mistake, or several together, that give what the port gives.

    Attributes:
        name: the mistakes' names in the catalogue, joined by " + ".
        sentence: what the port does instead of what it should.
        symptom: how it shows.
        mend: what to change.
        mistakes: the names, one each; empty for a plain ratio.
        details: how each is made, where there are several ways (``"temperature 0.1"``).
        values, gradients: how many of each it reproduces.
        error: the largest relative distance of any of them.
        except_for: names of cases that it does *not* reproduce, where nothing reproduces all: those
            are inputs out of the ordinary (rows that do not sum to 1, NaN).
    """

    name: str
    sentence: str
    symptom: str = ""
    mend: str = ""
    mistakes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    values: int = 0
    gradients: int = 0
    error: float = 0.0
    except_for: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data."""
        texts = {label: getattr(self, label) for label in ("name", "sentence", "symptom", "mend")}
        return texts | {"mistakes": list(self.mistakes), "except_for": list(self.except_for)}


@dataclass(frozen=True)
class Findings:
    """What the kit says about a wrong port.

    Attributes:
        explanations: known mistakes that together reproduce the port's results, the likeliest
            reading; empty where nothing matches.
        hints: questions to the user, one sentence each: "is it meant to compute kl?"
        facts: what else was found out, one sentence each.
        partial: the explanations leave something of what is wrong unexplained; the first of the
            facts says what.
    """

    explanations: tuple[Explanation, ...] = ()
    hints: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    partial: bool = False

    @property
    def points(self) -> tuple[str, ...]:
        """What to tell besides the mistakes: where all are known, plain facts only distract."""
        whole = self.explanations and not self.partial
        return self.hints if whole else (*self.hints, *self.facts)

    @property
    def names(self) -> str:
        """The mistakes' names."""
        return " and ".join(known.name for known in self.explanations) or "no known mistake"

    @property
    def advice(self) -> str:
        """What the port does, how to mend it, and the points, a line each."""
        lines = []
        for known in self.explanations:
            lines += [known.sentence, *([f"Mend: {known.mend}"] if known.mend else ())]
        return "\n".join((*lines, *self.points))


NOTHING_FOUND = Findings()
"""Of a port that is right, or that never answered."""
