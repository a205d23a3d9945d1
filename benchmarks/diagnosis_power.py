"""Measures how well the diagnosis detects and names mistakes.

Run as ``python -m benchmarks.diagnosis_power``. It plants every entry of the catalogue in ports,
lets the kit diagnose them, and writes rates, numbers of inputs and seconds to
``benchmarks/results/diagnosis_power.json`` and ``.md``.

A planted port is the loss's pipeline with the mistake in it, run by NumPy in float64 (gradients by
HIPS autograd), or by PyTorch or TensorFlow in float32 with their own operations and their own
differentiation. The diagnosis knows the same catalogue: the rates say how well mistakes **of the
catalogue** are told apart under each framework's rounding, not how many of the mistakes that people
make are in the catalogue.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from amad_core import VARIANTS
from amad_core.conformance.diagnosis.diagnosis import diagnose
from amad_core.conformance.diagnosis.exhibit import Exhibit, Suspect, Suspects
from amad_core.conformance.diagnosis.pipeline import SPECIFICATION, Stages, observe, stages_with
from amad_core.conformance.diagnosis.relative_tolerance import relative_distance
from amad_core.conformance.diagnosis.search import all_suspects, possible_orders
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.judging.judgement import Judgement, judge
from amad_core.conformance.ports.answer import Answer
from amad_core.files import write_atomically

TEMPERATURE = 0.7
"""Not 1, so that mistakes in the temperature can be seen."""

SEED = 1
"""Of the inputs. Pairs are drawn with the same."""

RESULTS = Path(__file__).parent / "results" / "diagnosis_power"


@dataclass(frozen=True)
class Planted:
    """One planted port: what to plant, in which framework; no suspects: a right port."""

    framework: str
    dtype: str
    variant: str
    suspects: tuple[tuple[str, str], ...]
    seed: int = SEED


@dataclass(frozen=True)
class Outcome:
    """What the diagnosis said of one planted port.

    Attributes:
        hidden: the port answers as one without some of its mistakes does, on every input.
        detected, named: disagreement seen; the planted mistakes are among the explanations.
        first: they are the first explanation.
        listed: how many explanations fit equally well.
        inputs: how many inputs, in their order, tell the port from every other single mistake;
            0 where this was not measured.
        seconds, processor_seconds: of the diagnosis, by the clock and of one core.
        said: the first explanation.
    """

    planted: Planted
    hidden: bool
    detected: bool
    named: bool
    first: bool
    listed: int
    inputs: int
    seconds: float
    processor_seconds: float
    said: str


Observe = Callable[[Case, Stages], Answer]


def _observer(framework: str, dtype: str) -> Observe:
    if framework == "numpy":
        return observe
    from benchmarks.framework_arrays import observe_tensorflow, observe_torch

    function = observe_torch if framework == "torch" else observe_tensorflow
    return lambda case, stages: function(case, stages, dtype)


def _observations(planted: Planted, cases: Sequence[Case], stages: Stages) -> list[Answer]:
    """What the port answers; nothing where it crashes."""
    observer = _observer(planted.framework, planted.dtype)
    observed = []
    for case in cases:
        try:
            observed.append(observer(case, stages))
        except Exception:
            observed.append(Answer(None, dtype=planted.dtype))
    return observed


def _suspects(planted: Planted) -> Suspects:
    by_key = {(one.mistake.name, one.form.label): one for one in all_suspects(planted.variant)}
    return tuple(by_key[key] for key in planted.suspects)


def _cases(planted: Planted, suspects: Suspects) -> list[Case]:
    unreduced = any(suspect.mistake.name == "reduction-ignored" for suspect in suspects)
    return discriminating_cases(
        planted.variant,
        temperature=TEMPERATURE,
        reduction="none" if unreduced else "mean",
        seed=planted.seed,
    )


def measure(planted: Planted) -> Outcome:
    """Plants, observes, diagnoses."""
    suspects = _suspects(planted)
    cases = _cases(planted, suspects)
    stages = stages_with(*(suspect.form.mutation for suspect in suspects))
    observed = _observations(planted, cases, stages)
    start, processor = time.perf_counter(), time.process_time()
    diagnosis = diagnose(_judged(cases, observed))
    seconds = time.perf_counter() - start
    processor_seconds = time.process_time() - processor
    wanted = {suspect.mistake.name for suspect in suspects}
    said = [set(one.mistakes) for one in diagnosis.explanations]
    return Outcome(
        planted=planted,
        hidden=_hidden(planted, suspects, cases, observed),
        detected=not diagnosis.agrees,
        named=wanted in said,
        first=bool(said) and said[0] == wanted,
        listed=len(said),
        inputs=_inputs_needed(suspects, cases, observed) if len(suspects) == 1 else 0,
        seconds=seconds,
        processor_seconds=processor_seconds,
        said=diagnosis.explanations[0].name if diagnosis.explanations else "",
    )


def _judged(cases: Sequence[Case], answers: Sequence[Answer]) -> list[Judgement]:
    return [judge(case, answer) for case, answer in zip(cases, answers, strict=True)]


def _hidden(
    planted: Planted, suspects: Suspects, cases: Sequence[Case], observed: Sequence[Answer]
) -> bool:
    """Whether leaving one of the mistakes out changes nothing, or there is nothing but NaN."""
    if not suspects:
        return False
    if all(one.value is None or not np.isfinite(one.value).any() for one in observed):
        return True  # nothing but NaN, which the diagnosis names nothing for
    fewer = [suspects[:i] + suspects[i + 1 :] for i in range(len(suspects))]
    return any(
        _alike(_observations(planted, cases, _stages(rest)), observed, planted.dtype)
        for rest in fewer
    )


def _stages(suspects: Suspects) -> Stages:
    if not suspects:
        return SPECIFICATION
    return stages_with(*(suspect.form.mutation for suspect in suspects))


def _alike(found: Sequence[Answer], others: Sequence[Answer], dtype: str) -> bool:
    allowed = 1e-6 if dtype == "float64" else 1e-4
    for one, other in zip(found, others, strict=True):
        if one.value is None or other.value is None:
            continue  # which inputs a port crashes on is no evidence to the diagnosis
        for first, second in (
            (one.value, other.value),
            (one.grad_student, other.grad_student),
            (one.grad_teacher, other.grad_teacher),
        ):
            if relative_distance(first, second) > allowed:
                return False
    return True


def _inputs_needed(suspects: Suspects, cases: Sequence[Case], observed: Sequence[Answer]) -> int:
    """Inputs until every other mistake gives another value (with those that values show)."""
    exhibits = [Exhibit(judgement) for judgement in _judged(cases, observed)]
    differing = [i for i, one in enumerate(exhibits) if one.differs]
    if not differing:
        return 0
    needed = 1 + min(differing)
    for other in all_suspects(cases[0].variant):
        if other.mistake.name in (suspects[0].mistake.name, *suspects[0].mistake.same_as):
            continue
        told = (
            i + 1
            for i, one in enumerate(exhibits)
            if one.answer.value is not None and not one.value_matches(one.value(other))
        )
        needed = max(needed, next(told, 0))
    return needed


def plan(pairs: int, thorough: bool) -> Iterator[Planted]:
    """All ports to plant: singles, pairs, right ones."""
    rng = np.random.default_rng(SEED)
    for variant in VARIANTS:
        suspects = all_suspects(variant)
        for suspect in suspects:
            yield _planted("numpy", "float64", variant, suspect)
            if thorough or suspect.form is _first_form(suspect, variant):
                yield _planted("torch", "float32", variant, suspect)
                yield _planted("tensorflow", "float32", variant, suspect)
        for _ in range(pairs // len(VARIANTS)):
            yield _random_pair(suspects, variant, rng)
        for seed in range(8):
            for framework, dtype in (
                ("numpy", "float64"),
                ("torch", "float32"),
                ("torch", "bfloat16"),
                ("tensorflow", "float32"),
                ("tensorflow", "bfloat16"),
            ):
                yield Planted(framework, dtype, variant, (), seed)


def _first_form(suspect: Suspect, variant: str) -> Any:
    return next(one for one in suspect.mistake.forms if variant in one.variants)


def _planted(framework: str, dtype: str, variant: str, *suspects: Suspect) -> Planted:
    keys = tuple((suspect.mistake.name, suspect.form.label) for suspect in suspects)
    return Planted(framework, dtype, variant, keys)


def _random_pair(suspects: Sequence[Suspect], variant: str, rng: np.random.Generator) -> Planted:
    """Two different mistakes, each as likely as any other, that can be made together."""
    paired = {suspect.mistake.name for suspect in suspects if suspect.form.in_pairs}
    names = sorted(paired - {"reduction-ignored"})
    while True:
        chosen = []
        for name in rng.choice(names, size=2, replace=False):
            ways = [one for one in suspects if one.mistake.name == name and one.form.in_pairs]
            chosen.append(ways[rng.integers(len(ways))])
        for pair in possible_orders(chosen[0], chosen[1]):
            return _planted("numpy", "float64", variant, *pair)


def _kind(planted: Planted) -> str:
    what = ("right", "single", "pair")[len(planted.suspects)]
    return f"{what}, {planted.framework} {planted.dtype}"


def summarise(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Rates of each kind of port."""
    summary: dict[str, dict[str, Any]] = {}
    for kind in sorted({_kind(one.planted) for one in outcomes}):
        group = [one for one in outcomes if _kind(one.planted) == kind]
        shown = [one for one in group if not one.hidden]
        seconds = [one.seconds for one in group]
        processor = [one.processor_seconds for one in group]
        needed = [one.inputs for one in shown if one.inputs]
        summary[kind] = {
            "ports": len(group),
            "hidden": len(group) - len(shown),
            "detected": _rate(one.detected for one in shown),
            "named": _rate(one.named for one in shown),
            "named first": _rate(one.first for one in shown),
            "named alone": _rate(one.named and one.listed == 1 for one in shown),
            "inputs, median": float(np.median(needed)) if needed else None,
            "inputs, largest": max(needed, default=None),
            "seconds, median": round(float(np.median(seconds)), 2),
            "seconds, largest": round(max(seconds), 2),
            "processor seconds, median": round(float(np.median(processor)), 2),
            "processor seconds, largest": round(max(processor), 2),
        }
    return summary


def _rate(flags: Iterator[bool]) -> float | None:
    values = list(flags)
    return round(sum(values) / len(values), 4) if values else None


def _markdown(report: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    lines = [
        "# Power of the diagnosis",
        "",
        f"Measured on {report['date']} by `python -m benchmarks.diagnosis_power`: "
        + ", ".join(f"{name} {number}" for name, number in report["versions"].items())
        + f"; {report['cores']} cores, shared with other work, hence the seconds of one core. "
        + f"Temperature {TEMPERATURE}; {100 * report['sample']:g} % of the ports, by a seed.",
        "",
        "Ports are the loss's pipeline with mistakes of the catalogue in it, run natively by each "
        "framework; so these rates say how well the catalogue's mistakes are told apart, not how "
        "many of all possible mistakes it holds. *Hidden* ports are left out of the rates: a "
        "mistake that changes nothing (a tiny eps), or one that the other mistake of a pair makes "
        "invisible. *Named*: the planted mistakes are among the explanations; *first*: they are "
        "the first; *alone*: nothing else fits. *Right* ports have no mistake: *detected* is the "
        "rate of false alarms.",
        "",
        "| ports | number | hidden | detected | named | first | alone | inputs (median, largest) "
        "| seconds (median, largest) | of one core |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, row in report["summary"].items():
        inputs = (
            f"{row['inputs, median']:g}, {row['inputs, largest']}"
            if (row["inputs, median"])
            else ""
        )
        named = [_percent(row[key]) for key in ("detected", "named", "named first", "named alone")]
        if kind.startswith("right"):
            named[1:] = ["", "", ""]
        clock = f"{row['seconds, median']}, {row['seconds, largest']}"
        core = f"{row['processor seconds, median']}, {row['processor seconds, largest']}"
        lines.append(
            f"| {kind} | {row['ports']} | {row['hidden']} | {' | '.join(named)} | {inputs} "
            f"| {clock} | {core} |"
        )
    lines += ["", "## Not detected or not named", ""]
    lines += [f"- {line}" for line in _missed(outcomes)] or ["Nothing."]
    return "\n".join(lines) + "\n"


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f} %"


def _missed(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for one in outcomes:
        planted = one.planted
        right = not planted.suspects
        if one.hidden or (one.named and one.detected) or (right and not one.detected):
            continue
        what = " + ".join(f"{name} ({way})" if way else name for name, way in planted.suspects)
        said = one.said or "nothing"
        state = "named" if one.detected else "detected"
        lines.append(
            f"{planted.framework} {planted.dtype}, {planted.variant}: {what or 'a right port'}: "
            f"not {state}; said {said}"
            if not right
            else f"{planted.framework} {planted.dtype}, {planted.variant}: false alarm, said {said}"
        )
    return lines


def _versions() -> dict[str, str]:
    packages = ("amad", "numpy", "scipy", "autograd", "torch", "tensorflow")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=500, help="pairs to plant (default 500)")
    parser.add_argument(
        "--sample", type=float, default=1.0, help="share of the ports, drawn by a seed (default 1)"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument(
        "--thorough", action="store_true", help="every way of every mistake in every framework"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="results, without suffix")
    return parser.parse_args()


def main() -> None:
    """Plants, measures with a progress bar, writes the results."""
    from rich.progress import track

    arguments = _arguments()
    ports = list(plan(arguments.pairs, arguments.thorough))
    drawn = np.random.default_rng(SEED).random(len(ports)) < arguments.sample
    ports = [port for port, taken in zip(ports, drawn, strict=True) if taken]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with ProcessPoolExecutor(arguments.workers) as pool:
        done = pool.map(measure, ports, chunksize=8)
        outcomes = list(track(done, total=len(ports), description="Planting mistakes"))
    report = {
        "date": date.today().isoformat(),
        "versions": _versions(),
        "cores": os.cpu_count(),
        "temperature": TEMPERATURE,
        "summary": summarise(outcomes),
        "sample": arguments.sample,
        "missed": _missed(outcomes),
    }
    write_atomically(arguments.output.with_suffix(".json"), json.dumps(report, indent=1) + "\n")
    text = _markdown(report, outcomes)
    write_atomically(arguments.output.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
