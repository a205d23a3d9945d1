"""Tables of what was measured: on a terminal and, by ``page``, in the documentation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as TerminalTable

from benchmarks.speed.bars import Bar, Verdict, verdicts
from benchmarks.speed.cases import BUILT, FLOOR, FROM_QUERIES_KEYS, OURS, PEERS, PORT, STREAMED
from benchmarks.speed.exponents import exponents
from benchmarks.speed.results import Measured, Results

AllResults = Mapping[str, Results]


@dataclass(frozen=True)
class Table:
    """Rows of texts under a title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Without its title."""
        if not self.rows:
            return "Not measured yet."
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def terminal(self) -> TerminalTable:
        """For rich."""
        table = TerminalTable(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        return table


def show(results: AllResults, console: Console) -> None:
    """Every table that there is something for."""
    for table in tables(results):
        if table.rows:
            console.print(table.terminal())


def tables(results: AllResults) -> Iterator[Table]:
    """All of them."""
    yield from (make(results) for make in TABLES.values())


def times(results: AllResults, part: str) -> Table:
    """Milliseconds of every peer at the sizes that targets are about."""
    cases = at_sizes(results, part)
    peers = [name for name in PEERS[part] if any(name in one.medians for one in cases)]
    rows = []
    for one in cases:
        found = {name: number(1000 * seconds) for name, seconds in one.medians.items()}
        rows.append([*_size(one), *(found.get(name, "") for name in peers)])
    title = f"{part}: milliseconds, forward and backward"
    return Table(title, ["loss", "batch", "tokens", *peers], rows)


def speed_ups(
    results: AllResults, part: str, ours: str, others: Sequence[str], group: str = "sizes"
) -> Table:
    """How many times as fast as each of the others one peer is: a row a size."""
    rows = [
        [*_size(one), *(_ratio(one, ours, other) for other in others)]
        for one in of_group(results, part, group)
        if ours in one.medians
    ]
    title = f"{part}: {ours}, so many times as fast as"
    return Table(title, ["loss", "batch", "tokens", *others], rows)


def peaks(results: AllResults) -> Table:
    """Extra megabytes at the peak, by peer."""
    cases = at_sizes(results, "memory")
    peers = [name for name in PEERS["memory"] if any(name in one.peaks for one in cases)]
    rows = [
        [
            *_size(one),
            number(one.found["gradient"] / 1e6),
            *(_megabytes(one, name) for name in peers),
        ]
        for one in cases
    ]
    columns = ["loss", "batch", "tokens", "gradient", *peers]
    return Table("memory: extra megabytes at the peak of a step from maps", columns, rows)


def peaks_from_queries_keys(
    results: AllResults, part: str, group: str, peers: Sequence[str]
) -> Table:
    """The same where queries and keys are given."""
    cases = of_group(results, part, group)
    rows = []
    for one in cases:
        sizes = one.case.batch * (one.case.teacher_heads + one.case.student_heads)
        maps = 4 * sizes * one.case.tokens**2
        found = (_megabytes(one, name) for name in peers)
        rows.append([*_size(one), number(maps / 1e6), *found])
    columns = ["loss", "batch", "tokens", "both maps", *peers]
    return Table(f"{part}: extra megabytes from queries and keys", columns, rows)


def grown(results: AllResults, part: str, what: str) -> Table:
    """Fitted exponents: a row for each loss and peer, a column for each size that changes."""
    found = list(exponents(results[part], what)) if part in results else []
    axes = list(dict.fromkeys(one.axis for one in found))
    by_row: dict[tuple[str, str], dict[str, str]] = {}
    for one in found:
        row = by_row.setdefault((one.variant, one.peer), {})
        row[one.axis] = f"{one.slope:.2f} ± {one.error:.2f}"
    rows = [[*key, *(row.get(axis, "") for axis in axes)] for key, row in by_row.items()]
    return Table(f"{part}: exponents of {what}", ["loss", "peer", *axes], rows)


def steps(results: AllResults) -> Table:
    """Seconds of a training step, and the share that attention has of it."""
    rows = []
    cases = results["step"].cases.values() if "step" in results else ()
    for one in cases:
        medians = one.medians
        for name, seconds in medians.items():
            share = "" if name == FLOOR or FLOOR not in medians else (
                f"{max(0.0, 1 - medians[FLOOR] / seconds):.0%}"
            )  # fmt: skip
            rows.append([
                one.case.group, str(one.case.batch), str(one.case.tokens), name,
                number(1000 * seconds), share,
            ])  # fmt: skip
    columns = ["student", "batch", "tokens", "step", "milliseconds", "share of the attention term"]
    return Table("step: a training step", columns, rows)


def targets(results: AllResults) -> Table:
    """Every target, met or not."""
    rows = [
        [
            one.bar.target,
            one.variant,
            limits(one.bar, one.bar.limits),
            figures(one, one.found),
            one.said,
        ]
        for one in verdicts(results)
    ]
    return Table("targets", ["target", "loss", "wanted", "measured", ""], rows)


def at_sizes(results: AllResults, part: str) -> list[Measured]:
    """Cases of the sizes that targets are about."""
    return of_group(results, part, "sizes")


def of_group(results: AllResults, part: str, group: str) -> list[Measured]:
    """Cases of one group."""
    found: Iterable[Measured] = results[part].cases.values() if part in results else ()
    return [one for one in found if one.case.group == group]


def _size(one: Measured) -> list[str]:
    return [one.case.variant, str(one.case.batch), str(one.case.tokens)]


def _ratio(one: Measured, ours: str, other: str) -> str:
    medians = one.medians
    return number(medians[other] / medians[ours]) if other in medians else ""


def _megabytes(one: Measured, peer: str) -> str:
    """Nothing where it was not measured."""
    if peer in one.peaks:
        return number(one.peaks[peer] / 1e6)
    return "did not fit" if peer in one.found["bytes"] else ""


def number(value: float) -> str:
    """Three digits at most, none behind the point from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def limits(bar: Bar, tokens: Iterable[int]) -> str:
    """What is wanted, at each of these numbers of tokens where that differs."""
    least = "at least" if bar.unit == "times as fast" else "at most"
    wanted = {count: f"{bar.limits[count]:g}" for count in tokens}
    if set(wanted.values()) == {"1"} and bar.unit == "times as fast":
        return "at least as fast"
    if len(set(wanted.values())) == 1:
        return f"{least} {next(iter(wanted.values()))} {bar.unit}"
    told = ", ".join(f"{limit} ({count} tokens)" for count, limit in wanted.items())
    return f"{least} {told} {bar.unit}"


def figures(one: Verdict, tokens: Iterable[int]) -> str:
    """What was measured at these numbers of tokens."""
    return ", ".join(
        f"{one.found[count]:.3g} ({count} tokens)" + (" ✗" if count in one.missed else "")
        for count in tokens
    )


_BESIDE = tuple(name for name in PEERS["maps"] if name != OURS)
TABLES: dict[str, Callable[[AllResults], Table]] = {
    "maps speed": lambda found: speed_ups(found, "maps", OURS, _BESIDE),
    "maps times": lambda found: times(found, "maps"),
    "maps exponents": lambda found: grown(found, "maps", "time"),
    "memory": peaks,
    "memory exponents": lambda found: grown(found, "memory", "memory"),
    "queries and keys": lambda found: speed_ups(
        found, "queries-keys", OURS, PEERS["queries-keys"][1:]
    ),
    "queries and keys times": lambda found: times(found, "queries-keys"),
    "queries and keys memory": lambda found: peaks_from_queries_keys(
        found, "memory", "queries and keys", FROM_QUERIES_KEYS["memory"]
    ),
    "tensorflow": lambda found: tensorflow_speed_ups(found),
    "tensorflow from queries and keys": lambda found: speed_ups(
        found, "tensorflow", OURS, FROM_QUERIES_KEYS["tensorflow"][1:], "queries and keys"
    ),
    "tensorflow memory": lambda found: peaks_from_queries_keys(
        found, "tensorflow", "memory", (STREAMED, BUILT)
    ),
    "tensorflow times": lambda found: times(found, "tensorflow"),
    "step": steps,
    "targets": targets,
}


def tensorflow_speed_ups(results: AllResults) -> Table:
    """Ours against the port, in a graph, under XLA and eagerly."""
    ways = ("graph", "XLA", "eager")
    rows = [
        [*_size(one), *(_ratio(one, f"{OURS}, {way}", f"{PORT}, {way}") for way in ways)]
        for one in at_sizes(results, "tensorflow")
        if all(f"{OURS}, {way}" in one.medians for way in ways)
    ]
    title = "tensorflow: ours, so many times as fast as the port"
    return Table(title, ["loss", "batch", "tokens", *ways], rows)
