"""The demo from start to end: load what is finished, train what is not, conclude, draw."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from amad_demo.batches import Batch
from amad_demo.conclusion import conclude
from amad_demo.evaluation import measure
from amad_demo.experiment import empty_results, plan, run_task, single_thread, test_questions
from amad_demo.gate import GateReport, passes, run_gate
from amad_demo.methods import METHODS
from amad_demo.model import VisualQuestionModel
from amad_demo.plot_curves import plot_curves
from amad_demo.plot_heads import plot_heads
from amad_demo.plot_scenes import plot_scenes
from amad_demo.questions import KINDS
from amad_demo.report import results_table, student_line
from amad_demo.results import Results, load_results, save_results
from amad_demo.teacher import SHIPPED, TeacherRecipe, load_teacher, save_teacher, train_teacher
from amad_demo.training import TrainingSettings
from amad_distill.display import Display

RESULTS_FILE = "results.json"
EARLIER_RESULTS_FILE = "results-earlier-settings.json"


@dataclass(frozen=True)
class Choices:
    """What the user chose on the command line."""

    output: Path
    seeds: list[int]
    steps: int | None = None
    teacher: Path | None = None
    fresh: bool = False


def run_demo(choices: Choices, display: Display) -> Results:
    """Run the demo, or the rest of it if it was stopped before.

    Raises:
        DamagedResultsError: the results file of an earlier run is not usable.
        DamagedTeacherError: the teacher's files are not usable.
        OSError: the output directory cannot be written.
    """
    choices.output.mkdir(parents=True, exist_ok=True)
    with single_thread():
        teacher, checksum = load_teacher(choices.teacher or SHIPPED)
        settings = TrainingSettings()
        if choices.steps is not None:
            settings = replace(settings, steps=choices.steps)
        results = _earlier_results(choices, empty_results(settings, checksum), display)
        test = test_questions()
        if not results.teacher:
            results.teacher = _measure_teacher(teacher, test)
        _train_students(results, choices, teacher, test, settings, display)
        complete = results.with_seeds(results.complete_seeds(METHODS))
        results.conclusion = conclude(complete)
        save_results(results, choices.output / RESULTS_FILE)
        shown = results.with_seeds(choices.seeds)
        shown.conclusion = conclude(shown)
        _draw(shown, choices, teacher)
    return shown


def _earlier_results(choices: Choices, new: Results, display: Display) -> Results:
    path = choices.output / RESULTS_FILE
    earlier = None if choices.fresh else load_results(path)
    if earlier is None:
        return new
    if earlier.config == new.config:
        return earlier
    path.replace(choices.output / EARLIER_RESULTS_FILE)
    display.say(
        f"{path} was made with other settings, so nothing of it is used; "
        f"it is now called {EARLIER_RESULTS_FILE}."
    )
    return new


def _measure_teacher(teacher: VisualQuestionModel, test: Batch) -> dict[str, float]:
    gate = run_gate(teacher)
    measured = measure(teacher, teacher, test)
    return {
        "accuracy": measured.accuracy,
        "digit_accuracy": measured.digit_accuracy,
        "gate_accuracy": gate.accuracy,
        "gate_shuffled_accuracy": gate.shuffled_accuracy,
        "blind_accuracy": _blind_accuracy(test),
    }


def _teacher_line(teacher: dict[str, Any]) -> str:
    right, shuffled = teacher["gate_accuracy"], teacher["gate_shuffled_accuracy"]
    verdict = "it uses the image" if passes(right, shuffled) else "it does NOT pass the gate"
    return (
        f"The teacher answers {right:.1%} of the digit questions on unseen digits right, "
        f"{shuffled:.1%} with the images shuffled: {verdict}."
    )


def _blind_accuracy(test: Batch) -> float:
    """Return the score of the best answers to be given without looking at the image."""
    kinds = [test.answer[test.kind == kind] for kind in range(len(KINDS))]
    most_frequent = [int(torch.bincount(answers).max()) for answers in kinds]
    return sum(most_frequent) / len(test)


def _train_students(
    results: Results,
    choices: Choices,
    teacher: VisualQuestionModel,
    test: Batch,
    settings: TrainingSettings,
    display: Display,
) -> None:
    tasks = plan(choices.seeds)
    missing = [task for task in tasks if results.find(task.method, task.seed) is None]
    display.say(_teacher_line(results.teacher))
    if len(missing) < len(tasks):
        display.say(f"{len(tasks) - len(missing)} of {len(tasks)} students were trained before.")
    steps, total = count(1), len(missing) * settings.steps
    with display.bar(lines=False) as advance:

        def progress(label: str) -> Callable[[], None]:
            return lambda: advance(next(steps), total, label)

        for task in missing:
            student = run_task(
                task,
                teacher=teacher,
                test=test,
                settings=settings,
                on_step=progress(f"{METHODS[task.method].title}, seed {task.seed}"),
            )
            results.students.append(student)
            save_results(results, choices.output / RESULTS_FILE)
            display.say(student_line(student))


def _draw(results: Results, choices: Choices, teacher: VisualQuestionModel) -> None:
    plot_heads(results, choices.seeds[0], choices.output / "heads.png")
    plot_curves(results, choices.output / "curves.png")
    plot_scenes(teacher, choices.output / "scenes.png")


def show_results(results: Results, choices: Choices, display: Display) -> None:
    """Print the table, what it means, and which files there are."""
    display.show(results_table(results))
    for sentence in results.conclusion:
        display.say(sentence)
    names = ("heads.png", "curves.png", "scenes.png", RESULTS_FILE)
    display.say("Written: " + ", ".join(str(choices.output / name) for name in names))


def remake_teacher(directory: Path, recipe: TeacherRecipe, display: Display) -> GateReport:
    """Train a teacher from nothing, put it through the gate, and write it only if it passes.

    Args:
        directory: where `teacher.safetensors` and `teacher.json` go.
        recipe: of the training.
        display: for the progress.
    """
    with single_thread():
        display.say(f"Training a teacher for {recipe.steps} steps (a few minutes) ...")
        with display.bar(lines=False) as advance:
            steps = count(1)
            teacher = train_teacher(
                recipe,
                on_step=lambda loss: advance(
                    next(steps), recipe.steps, f"teacher, loss {loss:.3f}"
                ),
            )
        gate = run_gate(teacher)
    display.say(f"Gate: {gate}.")
    if gate.passed:
        checksum = save_teacher(teacher, directory, recipe, gate)
        display.say(f"Written: {directory / 'teacher.safetensors'} (SHA-256 {checksum}).")
    return gate
