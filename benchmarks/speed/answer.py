"""The answer in five lines, each made of figures that were measured."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from benchmarks.speed.bars import verdicts
from benchmarks.speed.cases import (
    BUILT_PORT,
    COMPILED_PORT,
    FLOOR,
    OURS,
    OURS_COMPILED,
    PORT,
    STREAMED,
    VARIANTS,
)
from benchmarks.speed.results import Measured, Results
from benchmarks.speed.tables import at_sizes, figures, limits, number, of_group

AllResults = Mapping[str, Results]


def answer(results: AllResults) -> str:
    """As a list; what was not measured is left out."""
    makers = (_from_maps, _memory, _from_queries_keys, _tensorflow, _step, _targets)
    return "\n".join(f"- {line}" for make in makers for line in make(results))


def _from_maps(results: AllResults) -> Iterator[str]:
    cases = at_sizes(results, "maps")
    if not cases:
        return
    told = []
    for variant in VARIANTS:
        chosen = [one for one in cases if one.case.variant == variant]
        told.append(f"`{variant}` {_range(_ratios(chosen, OURS, PORT))}")
    compiled = _ratios(cases, OURS_COMPILED, COMPILED_PORT)
    line = (
        f"**From attention maps** the loss, forward and backward, is {', '.join(told)} times as "
        "fast as the ten lines that people write"
    )
    if compiled:
        line += f"; both under `torch.compile`, {_range(compiled)} times"
    yield f"{line}."


def _memory(results: AllResults) -> Iterator[str]:
    cases = [one for one in at_sizes(results, "memory") if one.case.tokens >= 197]
    if cases:
        ours, port = (
            _range(one.peaks[name] / one.found["gradient"] for one in cases if name in one.peaks)
            for name in (OURS, PORT)
        )
        yield (
            f"**Memory**: from 197 tokens on a step takes {ours} times the gradient of the "
            f"student's maps, where those ten lines take {port} times."
        )


def _from_queries_keys(results: AllResults) -> Iterator[str]:
    cases = at_sizes(results, "queries-keys")
    if not cases:
        return
    line = (
        "**From queries and keys**, without any map, it is "
        f"{_range(_ratios(cases, OURS, BUILT_PORT))} times as fast as building both models' maps "
        "for those lines"
    )
    memory = _of_the_longest(of_group(results, "memory", "queries and keys"), OURS)
    yield f"{line}, and takes {memory}." if memory else f"{line}."


def _of_the_longest(cases: Sequence[Measured], peer: str) -> str:
    """The memory of a peer where there are most tokens; nothing where it was not measured."""
    largest = max((one.case.tokens for one in cases), default=0)
    found = [one for one in cases if one.case.tokens == largest and peer in one.peaks]
    if not found:
        return ""
    case = found[0].case
    maps = 4e-9 * case.batch * (case.teacher_heads + case.student_heads) * largest**2
    peaks = _range(one.peaks[peer] / 1e6 for one in found)
    return f"{peaks} MB at {largest} tokens, where the maps alone have {maps:.1f} GB"


def _tensorflow(results: AllResults) -> Iterator[str]:
    cases = at_sizes(results, "tensorflow")
    if cases:
        graph, xla, eager = (
            _range(_ratios(cases, f"{OURS}, {way}", f"{PORT}, {way}"))
            for way in ("graph", "XLA", "eager")
        )
        memory = _of_the_longest(of_group(results, "tensorflow", "memory"), STREAMED)
        streamed = f"; streamed from queries and keys it takes {memory}" if memory else ""
        yield (
            f"**In TensorFlow** it is {graph} times as fast as the straightforward port in a "
            f"graph, {xla} times under XLA, {eager} times eagerly{streamed}."
        )


def _step(results: AllResults) -> Iterator[str]:
    longest: dict[str, Measured] = {}
    for one in results["step"].cases.values() if "step" in results else ():
        before = longest.get(one.case.group)
        if before is None or one.case.tokens > before.case.tokens:
            longest[one.case.group] = one
    told = [
        f"{_share(one, 'today, kl')} and {_share(one, 'ours, kl')} for a {model} student at "
        f"{one.case.tokens} tokens"
        for model, one in longest.items()
    ]
    if told:
        yield (
            "**Of a whole training step** `kl` takes, as it is done today (eager attention and its "
            f"maps) and by `Distiller` (fused attention): {'; '.join(told)}."
        )


def _share(one: Measured, name: str) -> str:
    return f"{max(0.0, 1 - one.medians[FLOOR] / one.medians[name]):.0%}"


def missed(results: AllResults) -> str:
    """Targets that are not met, as a list."""
    lines: dict[str, list[str]] = {}
    for one in verdicts(results):
        if one.missed:
            found = figures(one, one.missed).replace(" ✗", "")
            lines.setdefault(one.bar.target, []).append(
                f"`{one.variant}` {found}, wanted {limits(one.bar, one.missed)}"
            )
    told = [f"- {target}: {'; '.join(found)}." for target, found in lines.items()]
    return "\n".join(told) or "Every target that was measured is met."


def _targets(results: AllResults) -> Iterator[str]:
    found = [one for one in verdicts(results) if one.found]
    met = sum(not one.missed for one in found)
    if found:
        yield f"Of {len(found)} [targets](#targets) that were measured, {met} are met."


def _ratios(cases: Iterable[Measured], ours: str, other: str) -> list[float]:
    return [
        one.medians[other] / one.medians[ours] for one in cases if {ours, other} <= set(one.medians)
    ]


def _range(values: Iterable[float]) -> str:
    found = sorted(values)
    if not found:
        return "(not measured)"
    low, high = number(found[0]), number(found[-1])
    return low if low == high else f"{low} to {high}"
