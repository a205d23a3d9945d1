"""The table of model families in docs/capture.md: ``python -m tests.capture.table`` writes it."""

from pathlib import Path

from amad_core.files import write_atomically
from tests.capture.families import FAMILIES
from tests.capture.image_families import IMAGE_FAMILIES

PAGE = Path(__file__).parents[2] / "docs" / "capture.md"
BEGIN, END = "<!-- families -->\n", "<!-- end of families -->\n"
KINDS = {"s": "self", "c": "cross"}


def table() -> str:
    """A row for each family: what it runs with, what was captured, what that was compared with."""
    lines = ["| family | attention | captured | compared with |", "|---|---|---|---|"]
    for name, family in (FAMILIES | IMAGE_FAMILIES).items():
        counts = {KINDS[kind]: family.kinds.count(kind) for kind in dict.fromkeys(family.kinds)}
        captured = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        lines.append(f"| {name} | {family.implementation} | {captured} | {family.compared} |")
    return "\n".join(lines) + "\n"


def page_with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    write_atomically(PAGE, page_with_table(PAGE.read_text(encoding="utf-8")))
