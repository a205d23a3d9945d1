"""The results as a table."""

from statistics import mean, stdev

from rich.table import Table

from amad_demo.methods import METHODS
from amad_demo.results import Results, StudentResult


def results_table(results: Results) -> Table:
    """Lay out one line for the teacher and one for each method, mean ± sd over seeds."""
    count = len({student.seed for student in results.students})
    seeds = f"mean ± sd over {count} seeds" if count > 1 else "one seed"
    table = Table(title=f"Answers about unseen digits, {seeds}", title_style="bold")
    table.add_column("Trained on", no_wrap=True)
    for heading in ("right, %", "digits, %", "AMAD loss", "1:1 loss", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    teacher = results.teacher
    table.add_row(
        "(teacher)", _percent([teacher["accuracy"]]), _percent([teacher["digit_accuracy"]])
    )
    for name, method in METHODS.items():
        students = results.of_method(name)
        table.add_row(
            method.title,
            _percent([student.accuracy for student in students]),
            _percent([student.digit_accuracy for student in students]),
            _plain([student.amad_loss for student in students], 3),
            _plain([student.one_to_one_loss for student in students], 4),
            _plain([student.seconds for student in students], 1),
        )
    return table


def student_line(student: StudentResult) -> str:
    """Describe one finished student in a line."""
    title = METHODS[student.method].title
    return (
        f"seed {student.seed}  {title:<12} {student.accuracy:6.1%} right on unseen digits, "
        f"{student.seconds:.0f} s"
    )


def _percent(values: list[float]) -> str:
    text = f"{mean(values) * 100:.1f}"
    if len(values) > 1:
        text += f" ± {stdev(values) * 100:.1f}"
    return text


def _plain(values: list[float], digits: int) -> str:
    return f"{mean(values):.{digits}f}"
