"""Parts of pages in Markdown."""

from amad_study.report.tables import Table


def markdown_table(table: Table, first: str) -> str:
    """A table, with the heading of its first column."""
    lines = [
        f"| {' | '.join([first, *table['columns']])} |",
        f"|{'---|' * (len(table['columns']) + 1)}",
    ]
    for row in table["rows"]:
        cells = [
            f"{cell['text']} ({cell['note']})" if cell["note"] else cell["text"]
            for cell in row["cells"]
        ]
        lines.append(f"| {' | '.join([row['heading'], *cells])} |")
    return "\n".join(lines)


def folded(title: str, content: str) -> str:
    """Shown once its title is clicked; for what is long."""
    return f'<details markdown="1">\n<summary>{escaped(title)}</summary>\n\n{content}\n\n</details>'


def escaped(text: str) -> str:
    """Text that is nothing but text."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
