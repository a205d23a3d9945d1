"""How many examples each split has."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Sizes:
    """How many examples to draw or read; `None` is the task's own number, or all there are.

    Raises:
        ValueError: a number below 1.
    """

    train: int | None = None
    validation: int | None = None
    test: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            number = getattr(self, field.name)
            if number is not None and number < 1:
                raise ValueError(
                    f"{field.name} is {number}, expected at least 1 example, or None for the "
                    "task's own number"
                )
