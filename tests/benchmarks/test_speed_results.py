"""What was measured is kept case by case, gone on with, judged and fitted. No time is tested."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import running
from benchmarks.speed.bars import BARS, Bar, Verdict, verdicts
from benchmarks.speed.cases import COMPILED_PORT, OURS, PARTS, PORT, Case
from benchmarks.speed.exponents import exponents
from benchmarks.speed.plans import FULL, PLANS, TINY
from benchmarks.speed.results import Results, finished, read, unfinished
from benchmarks.speed.running import Worker, run_part
from benchmarks.speed.selection import Selection, chosen_cases
from benchmarks.speed.timing import interleaved

ABOUT = {"started": "2026-11-01T10:00:00", "load before": [0.1], "machine": "this", "threads": 1}
EVERYTHING = Selection([], [], [], [], batch=1, teacher_heads=12, student_heads=8, causal=False)


def case(tokens: int = 64, variant: str = "mse", **more: Any) -> Case:
    return Case("maps", "sizes", variant, 8, tokens, (OURS, PORT), **more)


class _Worker:
    """In a worker's place: what it measures is its number of cases so far; some stop it."""

    def __init__(self, stops: Callable[[Case], bool]) -> None:
        self.stops, self.asked = stops, []

    def __call__(self, part: str, threads: int) -> "_Worker":
        return self

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def measure(self, case: Case, effort: object) -> dict[str, Any]:
        if self.stops(case):
            raise KeyboardInterrupt
        self.asked.append(case.tokens)
        if case.tokens == 13:
            return {"failed": "MemoryError: 13"}
        return {"seconds": {OURS: [1.0, float(len(self.asked)), 3.0]}}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(
        sizes: list[int], *, stop_at: int = 0, about: dict[str, Any] = ABOUT, fresh: bool = False
    ) -> tuple[list[int], list[str]]:
        worker = _Worker(lambda case: case.tokens == stop_at)
        monkeypatch.setattr(running, "Worker", worker)
        cases = [case(tokens) for tokens in sizes]
        failures: list[str] = []
        with suppress(KeyboardInterrupt):
            failures = run_part(
                "maps", cases, tmp_path, about, TINY.effort, fresh=fresh, told=lambda *_: None
            )
        return worker.asked, failures

    return run


def test_an_interrupted_run_goes_on(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run([1, 2, 3], stop_at=3)[0] == [1, 2]
    assert not finished(tmp_path, "maps").exists()
    later = ABOUT | {"started": "2026-11-02T10:00:00", "load before": [1.0]}
    assert run([3, 2, 1], about=later)[0] == [3]  # in whatever order
    found = read(finished(tmp_path, "maps"))
    assert [one.case.tokens for one in found.cases.values()] == [3, 2, 1]
    assert [one.medians[OURS] for one in found.cases.values()] == [1.0, 2.0, 1.0]
    assert found.about["started"] == ABOUT["started"]
    assert not unfinished(tmp_path, "maps").exists()
    assert run([1])[0] == [1]  # a finished run is no unfinished one


@pytest.mark.parametrize(
    ("about", "fresh"),
    [
        (ABOUT | {"machine": "another"}, False),
        (ABOUT | {"sources": "changed"}, False),
        (ABOUT, True),
    ],
    ids=["another machine", "other sources", "asked for"],
)
def test_figures_of_two_runs_are_not_mixed(
    run: Callable[..., Any], about: dict[str, Any], fresh: bool
) -> None:
    run([1, 2, 3], stop_at=3)
    assert run([1, 2, 3], about=about, fresh=fresh)[0] == [1, 2, 3]


def test_what_failed_is_said_and_tried_again(run: Callable[..., Any], tmp_path: Path) -> None:
    asked, failures = run([1, 13, 2])
    assert asked == [1, 13, 2]
    assert failures == [f"maps, {case(13).name}: MemoryError: 13"]
    assert not finished(tmp_path, "maps").exists()
    assert run([1, 13, 2])[0] == [13]


def test_a_worker_that_dies_is_told_of_and_replaced() -> None:
    worker = Worker("maps", 1)
    worker._command = [sys.executable, "-c", "input(); raise SystemExit(9)"]
    with worker:
        assert "code 9" in worker.measure(case(), {})["failed"]
        answers = "import sys\nfor line in sys.stdin: print('{\"took\": 1}', flush=True)"
        worker._command = [sys.executable, "-c", answers]
        assert [worker.measure(case(), {}) for _ in range(2)] == [{"took": 1}] * 2


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "maps.json"
    for content in ("{", "[]", json.dumps({"part": "maps", "about": {}, "cases": [{"case": 3}]})):
        path.write_text(content)
        with pytest.raises(ValueError, match="no file of results"):
            read(path)


def test_peers_take_turns() -> None:
    heard: list[str] = []
    turns = {name: lambda name=name: heard.append(name) for name in "abc"}
    times = interleaved(turns, seconds=0, fewest=2, most=5, clock="wall")
    assert "".join(heard) == "abc" + "bca"
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys("abc", 2)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("part", PARTS)
def test_no_two_cases_have_one_name(plan: str, part: str) -> None:
    names = [one.name for one in PLANS[plan].cases(part)]
    assert len(set(names)) == len(names) > 0


def test_sizes_of_ones_own() -> None:
    mine = replace(
        EVERYTHING, variants=["kl"], tokens=[50], peers=[PORT, "plain form"], teacher_heads=3
    )
    [found] = chosen_cases(FULL, "maps", mine)
    assert found.peers == (PORT, "plain form")
    assert (found.variant, found.tokens, found.batch, found.teacher_heads) == ("kl", 50, 1, 3)
    with pytest.raises(ValueError, match="has no peer 'prot'; it has ours"):
        chosen_cases(FULL, "maps", replace(EVERYTHING, peers=["prot"]))
    with pytest.raises(ValueError, match="nothing of the part 'step'"):
        chosen_cases(FULL, "step", replace(EVERYTHING, groups=["sizes"]))


def test_a_case_with_other_peers_is_another() -> None:
    found = results("maps", {1: {"seconds": {OURS: [1.0]}}})
    [one] = [one.case for one in found.cases.values()]
    assert found.has(one)
    assert not found.has(replace(one, peers=(OURS, PORT)))
    assert not found.has(replace(one, tokens=2))


def test_the_least_share_of_a_core_is_told() -> None:
    found = results("maps", {1: {"of a core": 0.99}, 2: {"of a core": 0.5}, 3: {}})
    assert found.of_a_core == 0.5
    assert results("memory", {1: {}}).of_a_core is None


def results(part: str, found: dict[int, dict[str, Any]], group: str = "sizes") -> Results:
    made = Results(part, ABOUT)
    for tokens, values in found.items():
        made.add(Case(part, group, "mse", 1, tokens, tuple(values.get("seconds", ()))), values)
    return made


def test_every_target_is_about_something_that_is_measured() -> None:
    for bar in BARS:
        for variant in bar.variants:
            for tokens in bar.limits:
                assert any(
                    {bar.ours, bar.other} - {""} <= set(one.peers)
                    for one in FULL.cases(bar.part)
                    if (one.group, one.variant, one.tokens) == (bar.group, variant, tokens)
                ), (bar.target, variant, tokens)


def test_targets_are_judged_at_every_size() -> None:
    speed = next(bar for bar in BARS if bar.limits == {64: 4, 197: 6, 512: 8, 1024: 7})
    times = {64: (4.0, 1.0), 197: (5.9, 1.0), 512: (20.0, 2.0)}
    found = results("maps", {n: {"seconds": {PORT: [p], OURS: [o]}} for n, (p, o) in times.items()})
    by_target = {one.bar.target: one for one in verdicts({"maps": found}) if one.variant == "mse"}
    assert by_target[speed.target].found == {64: 4.0, 197: 5.9, 512: 10.0}
    assert by_target[speed.target].missed == [197]
    assert by_target[speed.target].said == "not met"
    compiled = next(bar for bar in BARS if bar.other == COMPILED_PORT)
    assert by_target[compiled.target].said == "not measured"


def test_memory_is_judged_by_its_most() -> None:
    bar = Bar("", "memory", "sizes", ("mse",), {64: 1.1, 197: 1.1}, OURS, unit="times the gradient")
    assert Verdict(bar, "mse", {64: 1.1}).said == "met"
    assert Verdict(bar, "mse", {64: 1.0, 197: 1.2}).missed == [197]


def test_exponents_are_slopes_with_their_errors() -> None:
    sizes = (32, 64, 128, 256, 512, 1024)
    exact = {n: {"seconds": {OURS: [3e-9 * n**2 if n >= 128 else 1.0]}} for n in sizes}
    [found] = exponents(results("maps", exact, "tokens"), "time")
    assert (found.peer, found.axis, found.points) == (OURS, "tokens", 4)
    assert found.slope == pytest.approx(2, abs=1e-12)
    assert found.error == pytest.approx(0, abs=1e-9)
    # By hand: y = x with one of four points e times too large, in steps of log 2.
    spoilt = {n: {"seconds": {OURS: [n * (2.718281828 if n == 1024 else 1)]}} for n in sizes}
    [found] = exponents(results("maps", spoilt, "tokens"), "time")
    assert found.slope == pytest.approx(1 + 0.3 / 0.693147, rel=1e-5)
    assert found.error == pytest.approx((0.3 / 2 / 5) ** 0.5 / 0.693147, rel=1e-5)
