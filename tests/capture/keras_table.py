"""The table of Keras families in docs/keras-capture.md: ``python -m tests.capture.keras_table``."""

from pathlib import Path

from amad_core.files import write_atomically
from tests.capture.keras_families import FAMILIES
from tests.capture.table import BEGIN, END, KINDS

PAGE = Path(__file__).parents[2] / "docs" / "keras-capture.md"


def table() -> str:
    """A row for each family: what computes its attention, and what was captured."""
    lines = ["| model | attention | captured | queries and keys |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        counts = {KINDS[kind]: family.kinds.count(kind) for kind in dict.fromkeys(family.kinds)}
        captured = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        known = "yes" if family.knows else "no, maps only"
        lines.append(f"| {name} | {family.how} | {captured} | {known} |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    write_atomically(PAGE, page_with_table(PAGE.read_text(encoding="utf-8")))
