"""A MkDocs hook: turns ``$...$`` and ``$$...$$`` into MathML, which browsers show by themselves.

No script is loaded from anywhere, so the pages read the same without a network.
"""

import re
from typing import Any

from latex2mathml.converter import convert

_CODE_OR_MATHS = re.compile(
    r"(?P<code>```.*?```|``.+?``|`[^`\n]+`)"
    r"|\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\\w$])\$(?P<inline>[^$\n]+?)\$(?![\w$])",
    re.DOTALL,
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the source of every page."""
    return _CODE_OR_MATHS.sub(_as_mathml, markdown)


def _as_mathml(match: re.Match[str]) -> str:
    if match["code"]:
        return match["code"]
    if match["display"]:
        return convert(" ".join(match["display"].split()), display="block")
    # Markdown takes a bare <math> at the start of a line for a block of its own.
    return f"<span>{convert(match['inline'])}</span>"
