"""A case: one loss at one size, beside all its peers."""

from dataclasses import asdict, dataclass
from typing import Any

PARTS = ("maps", "memory", "queries-keys", "tensorflow", "step")

VARIANTS = ("mse", "kl", "js", "token")

OURS, PORT = "ours", "port"
OURS_COMPILED, COMPILED_PORT = "ours, compiled", "compiled port"
ONE_TO_ONE, MEAN_HEAD = "one-to-one", "mean head"
OTHERS = (ONE_TO_ONE, MEAN_HEAD, "align to distill", "copy")
BUILT, BUILT_PORT, ATTENTION = "built maps, ours", "built maps, port", "attention"
STREAMED = "streamed"
FLOOR = "no attention term"
PEERS = {
    "maps": (OURS, OURS_COMPILED, PORT, COMPILED_PORT, *OTHERS),
    "memory": (OURS, PORT, COMPILED_PORT, *OTHERS),
    "queries-keys": (OURS, BUILT, BUILT_PORT, ATTENTION),
    "tensorflow": (
        "ours, graph", "port, graph", "ours, XLA", "port, XLA", "ours, eager", "port, eager",
    ),
    "step": (FLOOR, "today, mse", "ours, mse", "today, kl", "ours, kl"),
}  # fmt: skip
"""By part; benchmarks/README.md says what each of them is."""

FROM_QUERIES_KEYS = {
    "memory": PEERS["queries-keys"],
    "tensorflow": (OURS, STREAMED, BUILT, BUILT_PORT),
}
"""By part: those of its groups where queries and keys are given."""


@dataclass(frozen=True)
class Case:
    """One loss at one size.

    Attributes:
        group: ``sizes`` for those that targets speak of; else the size that a sweep changes, a
            model, ``queries and keys``, or ``memory`` of these.
        dynamic: a compiler takes sizes for numbers that change, so that what it made serves a
            whole sweep.
        causal: attention of queries and keys is.
    """

    part: str
    group: str
    variant: str
    batch: int
    tokens: int
    peers: tuple[str, ...]
    teacher_heads: int = 12
    student_heads: int = 8
    dynamic: bool = False
    causal: bool = False

    @property
    def name(self) -> str:
        """By which its results are known."""
        heads = f"{self.teacher_heads}/{self.student_heads} heads"
        told = f"{self.group}: {self.variant}, batch {self.batch}, {heads}, {self.tokens} tokens"
        return f"{told}, causal" if self.causal else told

    def as_dict(self) -> dict[str, Any]:
        """Of plain values, for JSON."""
        return asdict(self) | {"peers": list(self.peers)}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Case":
        """The inverse of ``as_dict``."""
        return cls(**values | {"peers": tuple(values["peers"])})
