"""The results as a table."""

from statistics import mean, stdev

from rich.table import Table

from amad_demo.experiment import STEPS
from amad_demo.methods import METHODS
from amad_demo.results import Results, StudentResult


def results_table(results: Results) -> Table:
    """Lay out one line for the teacher and one for each method, mean ± sd over seeds."""
    count = len({student.seed for student in results.students})
    seeds = f"mean ± sd over {count} seeds" if count > 1 else "one seed"
    table = Table(
        title=f"Right answers about unseen digits in percent, {seeds}",
        title_style="bold",
        caption="by the steps that an answer takes; attention's distance from the teacher's, by "
        "the losses of AMAD and of one-to-one (1:1)",
    )
    table.add_column("Taught by", no_wrap=True)
    for heading in ("all", *STEPS, "AMAD", "1:1"):
        table.add_column(heading, justify="right", no_wrap=True)
    teacher = results.teacher
    table.add_row(
        "(teacher)",
        _percent([teacher["accuracy"]]),
        *[_percent([score]) for score in teacher["accuracy_by_steps"]],
    )
    for name, method in METHODS.items():
        students = results.of_method(name)
        table.add_row(
            method.title,
            _percent([student.accuracy for student in students]),
            *[
                _plain([student.accuracy_by_steps[row] for student in students], 1)
                for row in range(len(STEPS))
            ],
            _plain([student.amad_loss for student in students], 2),
            _plain([student.one_to_one_loss for student in students], 2),
        )
    return table


def student_line(student: StudentResult) -> str:
    """Describe one finished student in a line."""
    title = METHODS[student.method].title
    return (
        f"seed {student.seed}  {title:<13} {student.accuracy:5.1f} % right on unseen digits, "
        f"{student.seconds:.0f} s"
    )


def _percent(values: list[float]) -> str:
    text = f"{mean(values):.1f}"
    if len(values) > 1:
        text += f" ± {stdev(values):.1f}"
    return text


def _plain(values: list[float], digits: int) -> str:
    return f"{mean(values):.{digits}f}"
