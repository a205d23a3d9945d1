"""The demo from start to end: load what is finished, train what is not, conclude, draw."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from amad_demo.conclusion import conclude
from amad_demo.experiment import STEPS, plan, run_task, single_thread
from amad_demo.methods import METHODS, SHIPPED, cell_of
from amad_demo.plot_curves import plot_curves
from amad_demo.plot_heads import plot_heads
from amad_demo.plot_scenes import plot_scenes
from amad_demo.report import results_table, student_line
from amad_demo.results import Results, load_results, save_results
from amad_distill.display import Display
from amad_study.runs.cell import Cell
from amad_study.runs.circumstances import teacher_facts, versions
from amad_study.runs.student import bench_for, teacher_of

RESULTS_FILE = "results.json"
EARLIER_RESULTS_FILE = "results-earlier-settings.json"
PICTURES = ("heads.png", "curves.png", "scenes.png")


@dataclass(frozen=True)
class Choices:
    """What the user chose on the command line."""

    output: Path
    seeds: list[int]
    steps: int | None = None
    teachers: Path = SHIPPED
    fresh: bool = False


def run_demo(choices: Choices, display: Display) -> Results:
    """Run the demo, or the rest of it if it was stopped before.

    Raises:
        DamagedResultsError: the results file of an earlier run is not usable.
        GateError: the teacher does not use the picture.
        ValueError: the teacher's files are not usable.
        OSError: the output directory cannot be written.
    """
    choices.output.mkdir(parents=True, exist_ok=True)
    with single_thread():
        teacher = _teacher(choices, display)
        results = _earlier_results(choices, display)
        if not results.teacher:
            results.teacher = _judged(teacher, choices)
        _train_students(results, choices, display)
        complete = results.with_seeds(results.complete_seeds(METHODS))
        results.conclusion = conclude(complete)
        save_results(results, choices.output / RESULTS_FILE)
        shown = results.with_seeds(choices.seeds)
        shown.conclusion = conclude(shown)
        _draw(shown, choices)
    return shown


def _teacher(choices: Choices, display: Display) -> nn.Module:
    """The teacher; it is trained first where the folder has none."""
    cell = _any_cell(choices)
    total = cell.teacher_recipe.training.steps
    with display.bar(lines=False) as advance:

        def on_step(step: int, losses: dict[str, float]) -> None:
            if step == 1:
                display.say(f"Training a teacher for {total} steps (a few minutes) ...")
            advance(step, total, f"teacher, loss {losses['loss']:.3f}")

        teacher = teacher_of(cell, choices.teachers, on_step=on_step)
    gate = teacher_facts(cell, choices.teachers)["gate"]
    display.say(
        f"The teacher answers {gate['score']:.1f} % of unseen questions right, "
        f"{gate['with_other_pictures']:.1f} % when shown other pictures: it uses the picture."
    )
    return teacher


def _any_cell(choices: Choices) -> Cell:
    """One student's; of the data and the teacher all say the same."""
    return cell_of("amad", choices.seeds[0], choices.steps)


def _judged(teacher: nn.Module, choices: Choices) -> dict[str, Any]:
    """The teacher's scores and gate."""
    cell = _any_cell(choices)
    gate = teacher_facts(cell, choices.teachers)["gate"]
    bench = bench_for(cell)
    scores = bench.scores(teacher, bench.task.test)
    return {
        "accuracy": scores[bench.task.main_score],
        "accuracy_by_steps": [scores[f"accuracy: {one}"] for one in STEPS],
        "gate": gate,
        "blind_accuracy": gate["blind"],
    }


def _empty_results(choices: Choices) -> Results:
    """Results that record everything the numbers depend on."""
    settings = {name: cell_of(name, 0, choices.steps).as_json() for name in METHODS}
    teacher = teacher_facts(_any_cell(choices), choices.teachers)
    config = {"cells": settings, "teacher_sha256": teacher["sha256"]}
    return Results(config=config, versions=versions())


def _earlier_results(choices: Choices, display: Display) -> Results:
    path, new = choices.output / RESULTS_FILE, _empty_results(choices)
    earlier = None if choices.fresh else load_results(path)
    if earlier is None:
        return new
    if (earlier.config, earlier.versions) == (new.config, new.versions):
        return earlier
    path.replace(choices.output / EARLIER_RESULTS_FILE)
    display.say(
        f"{path} was made with other settings or versions, so nothing of it is used; "
        f"it is now called {EARLIER_RESULTS_FILE}."
    )
    return new


def _train_students(results: Results, choices: Choices, display: Display) -> None:
    tasks = plan(choices.seeds)
    missing = [task for task in tasks if results.find(task.method, task.seed) is None]
    if len(missing) < len(tasks):
        display.say(f"{len(tasks) - len(missing)} of {len(tasks)} students were trained before.")
    each = _any_cell(choices).steps
    with display.bar(lines=False) as advance:

        def progress(place: int, label: str) -> Callable[[int], None]:
            return lambda step: advance(place * each + step, len(missing) * each, label)

        for place, task in enumerate(missing):
            student = run_task(
                task,
                teachers=choices.teachers,
                steps=choices.steps,
                on_step=progress(place, f"{METHODS[task.method].title}, seed {task.seed}"),
            )
            results.students.append(student)
            save_results(results, choices.output / RESULTS_FILE)
            display.say(student_line(student))


def _draw(results: Results, choices: Choices) -> None:
    heads, curves, scenes = (choices.output / name for name in PICTURES)
    plot_heads(results, choices.seeds[0], heads)
    plot_curves(results, curves)
    plot_scenes(results, choices.seeds[0], scenes)


def show_results(results: Results, choices: Choices, display: Display) -> None:
    """Print the table, what it means, and which files there are."""
    display.show(results_table(results))
    for sentence in results.conclusion:
        display.say(sentence)
    names = (*PICTURES, RESULTS_FILE)
    display.say("Written: " + ", ".join(str(choices.output / name) for name in names))
