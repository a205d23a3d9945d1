"""Writes what was measured into docs/speed.md: ``python -m benchmarks.speed.page``.

The page's prose is written by people. Tables, and whatever else has a figure of
``benchmarks/results/speed``, stand between ``<!-- measured: NAME -->`` and ``<!-- end -->``, and
are written anew, as are the pictures; a test fails where page and results differ.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from amad_core.files import write_atomically
from benchmarks.speed.answer import answer, missed
from benchmarks.speed.machine import ROOT
from benchmarks.speed.results import Results, read_all
from benchmarks.speed.tables import TABLES, Table

PAGE = ROOT / "docs" / "speed.md"
PICTURES = ROOT / "docs" / "assets"
RESULTS = ROOT / "benchmarks" / "results" / "speed"

_BLOCK = re.compile(r"(<!-- measured: (?P<name>[^>]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def written(page: str, results: Mapping[str, Results]) -> str:
    """The page with its blocks as the results have them.

    Raises:
        ValueError: a block of an unknown name.
    """
    makers = blocks(results)

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in makers:
            known = ", ".join(makers)
            raise ValueError(f"<!-- measured: {name} --> is none of the blocks: {known}")
        return f"{found[1]}\n{makers[name]()}\n\n{found[4]}"

    return _BLOCK.sub(block, page)


def blocks(results: Mapping[str, Results]) -> dict[str, Callable[[], str]]:
    """What a page may ask for, by name."""

    def table(make: Callable[[Mapping[str, Results]], Table]) -> Callable[[], str]:
        return lambda: make(results).markdown()

    return {
        "answer": lambda: answer(results),
        "missed": lambda: missed(results),
        "machine": lambda: machine(results),
        **{name: table(make) for name, make in TABLES.items()},
    }


def machine(results: Mapping[str, Results]) -> str:
    """Where, with what and when each part was measured; one line for those measured alike."""
    lines: dict[str, list[str]] = {}
    for part, found in results.items():
        about = found.about
        box, versions = about["machine"], about["versions"]
        packages = ", ".join(f"{name} {number}" for name, number in versions.items())
        clock = "by the clock" if about["clock"] == "wall" else "in the process's own seconds"
        line = (
            f"{box['processor']}, {box['cores']} cores, {box['memory, GB']} GB, {box['system']}; "
            f"{about['threads']} thread, {clock}; {packages}; {about['started'][:10]}"
        )
        share = found.of_a_core
        told = f"load before: {about['load before'][0]}"
        if share is not None:
            told += f", {share:.0%} of a core at least"
        lines.setdefault(line, []).append(f"{part} ({told})")
    return "\n".join(f"- {', '.join(parts)}: {line}." for line, parts in lines.items())


def main(
    output: Annotated[Path, typer.Option("--results", help="Folder of results.")] = RESULTS,
    page: Annotated[Path, typer.Option(help="The page to write into.")] = PAGE,
    pictures: Annotated[Path, typer.Option(help="Folder of pictures.")] = PICTURES,
) -> None:
    """Write tables and pictures of the results into docs/speed.md."""
    from benchmarks.speed.pictures import draw

    results = read_all(output)
    write_atomically(page, written(page.read_text(encoding="utf-8"), results))
    drawn = draw(results, pictures)
    typer.echo(f"{page}: written; pictures: {', '.join(drawn) or 'none'}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
