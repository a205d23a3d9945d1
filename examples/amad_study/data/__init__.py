"""The study's tasks: what is seen, what is read, what is to be said, and how it is scored."""

from amad_core.arguments.extras import missing_framework

try:
    from amad_study.data.catalogue import TASKS, load_task
    from amad_study.data.example import Ambiguity, Example, Fact, Split, Task
    from amad_study.data.picture import Picture
    from amad_study.data.sizes import Sizes
except ModuleNotFoundError as error:
    raise missing_framework("amad_study", error, "study") from error

__all__ = [
    "TASKS",
    "Ambiguity",
    "Example",
    "Fact",
    "Picture",
    "Sizes",
    "Split",
    "Task",
    "load_task",
]
