"""Results of a part: a JSON file, written anew after each case, and gone on with when interrupted.

While a part is measured its file is called ``maps.unfinished.json``; it takes the place of
``maps.json`` when every case is there.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from amad_core.files import write_atomically
from benchmarks.speed.cases import PARTS, Case
from benchmarks.speed.machine import same_run


@dataclass
class Measured:
    """What was found of one case: what its part's ``measured`` returns."""

    case: Case
    found: Mapping[str, Any]

    @property
    def medians(self) -> dict[str, float]:
        """Seconds by peer."""
        return {name: median(each) for name, each in self.found.get("seconds", {}).items()}

    @property
    def peaks(self) -> dict[str, int]:
        """Extra bytes by peer, where they are known."""
        found: dict[str, int | None] = self.found.get("bytes", {})
        return {name: value for name, value in found.items() if value is not None}


@dataclass
class Results:
    """A part, whole or as far as it was measured."""

    part: str
    about: dict[str, Any]
    cases: dict[str, Measured] = field(default_factory=dict)

    def add(self, case: Case, found: Mapping[str, Any]) -> None:
        """One more case, or the same anew."""
        self.cases[case.name] = Measured(case, found)

    def has(self, case: Case) -> bool:
        """Whether it was measured, with all its peers."""
        return case.name in self.cases and self.cases[case.name].case == case

    @property
    def of_a_core(self) -> float | None:
        """The least share of a processor core that a case had: below 1 others had some of it."""
        shares = (one.found.get("of a core") for one in self.cases.values())
        return min((one for one in shares if one is not None), default=None)

    def text(self) -> str:
        """As JSON, a case a line."""
        head = json.dumps({"part": self.part, "about": self.about}, indent=1).removesuffix("\n}")
        rows = [
            json.dumps({"case": one.case.as_dict(), **_rounded(one.found)})
            for one in self.cases.values()
        ]
        return f'{head},\n "cases": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n"


def _rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    """Microseconds are enough."""
    seconds = {
        name: [round(one, 6) for one in each] for name, each in found.get("seconds", {}).items()
    }
    return {**found, "seconds": seconds} if seconds else dict(found)


def read(path: Path) -> Results:
    """A file of results.

    Raises:
        ValueError: it is something else.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        results = Results(told["part"], told["about"])
        for row in told["cases"]:
            results.add(Case.of(row.pop("case")), row)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no file of results ({type(error).__name__}: {error}): delete it, or name "
            "another folder with --output"
        ) from error
    return results


def read_all(folder: Path, parts: Sequence[str] = PARTS) -> dict[str, Results]:
    """Those parts of a folder that were measured to the end."""
    return {part: read(path) for part in parts if (path := finished(folder, part)).exists()}


def finished(folder: Path, part: str) -> Path:
    """The file of a part that was measured to the end."""
    return folder / f"{part}.json"


def unfinished(folder: Path, part: str) -> Path:
    """The file of a part that is being measured."""
    return folder / f"{part}.unfinished.json"


def begun(folder: Path, part: str, about: dict[str, Any], *, fresh: bool) -> Results:
    """What there is of this very run already; nothing where something else was measured."""
    path = unfinished(folder, part)
    if path.exists() and not fresh:
        before = read(path)
        if same_run(before.about, about):
            return before
    return Results(part, about)


def keep(folder: Path, results: Results) -> None:
    """Write down what there is so far."""
    write_atomically(unfinished(folder, results.part), results.text())


def finish(folder: Path, results: Results, plan: Sequence[Case]) -> None:
    """In the order of the plan, in the place of the results before."""
    ordered = Results(results.part, results.about)
    for case in plan:
        ordered.cases[case.name] = results.cases[case.name]
    write_atomically(finished(folder, results.part), ordered.text())
    unfinished(folder, results.part).unlink(missing_ok=True)


SHOWN_IN = {
    "speed-time": ("maps",),
    "speed-memory": ("memory",),
    "speed-queries-keys": ("queries-keys", "memory"),
    "speed-step": ("step",),
}
"""By file name of a picture: the parts of which it shows figures."""


def digest(results: Mapping[str, Results], parts: Sequence[str]) -> str:
    """Of the figures of a picture: written into its file, it tells whether they are these."""
    told = "".join(results[part].text() for part in parts)
    return hashlib.sha256(told.encode()).hexdigest()
