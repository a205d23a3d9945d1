"""The code blocks of a Markdown page."""

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?P<note><!--(?P<comment>[^>]*)-->\s*\n)?^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, where it starts, and the comment right above it (``continues``, ``skip``)."""

    page: Path
    line: int
    language: str
    code: str
    comment: str

    @property
    def file_name(self) -> str | None:
        """The name in a first line such as ``# my_port.py``, ``# run.yaml``: the block is it."""
        match = re.match(r"# ([\w-]+\.(?:py|yaml|toml))\n", self.code)
        return match[1] if match else None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of the page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("language")) + 1,
            language=match["language"],
            code=match["code"],
            comment=(match["comment"] or "").strip(),
        )
        for match in _FENCE.finditer(text)
    ]
