"""Every task of the study by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from amad_study.data.digits.tasks import digit_captions, digit_questions, digit_translation
from amad_study.data.example import Task
from amad_study.data.public.coco_captions import coco_captions
from amad_study.data.public.easy_vqa import easy_vqa
from amad_study.data.public.multi30k import LANGUAGES, multi30k
from amad_study.data.public.vqa_v2 import vqa_v2
from amad_study.data.sizes import Sizes

AT_HAND: dict[str, Callable[[Sizes, int], Task]] = {
    "digit-questions": digit_questions,
    "digit-captions": digit_captions,
    "digit-translation": digit_translation,
    "easy-vqa": easy_vqa,
}
"""Tasks that are made here, or come with the extra `study`."""

DOWNLOADED: dict[str, Callable[[Path, Sizes, int], Task]] = {
    "vqa-v2": vqa_v2,
    "coco-captions": coco_captions,
    **{f"multi30k-{code}": partial(multi30k, language=code) for code in LANGUAGES},
}
"""Tasks whose files one has to get from their publishers."""

TASKS = (*AT_HAND, *DOWNLOADED)
"""The names of all tasks."""


def load_task(
    name: str, *, seed: int = 0, sizes: Sizes | None = None, folder: Path | str | None = None
) -> Task:
    """Make or read a task.

    The same arguments give the same task, and a smaller split is the first part of a larger one.

    Args:
        name: one of `TASKS`.
        seed: what scenes, questions and sentences are drawn with; which examples of a public data
            set are taken, and in what order. Which pictures are for training, validation and test
            does not depend on it. 0 or more.
        sizes: how many examples each split has; default: 12,000, 1,000 and 2,000 for scenes, all
            there are for public data.
        folder: where the publisher's files are, for the tasks in `DOWNLOADED`.

    Returns:
        the task.

    Raises:
        ValueError: unknown name; a folder for a task that has none, or none for one that needs it;
            a negative seed; files that are not as published.
        FileNotFoundError: a file is missing.

    Example:
        >>> task = load_task("digit-questions", sizes=Sizes(train=4, validation=1, test=1))
        >>> example = task.train.examples[0]
        >>> example.source, example.target
        ('is the digit top right even ?', 'yes')
        >>> task.train.picture(example).pixels.shape
        (30, 30, 1)
        >>> task.score(task.train.examples, ["yes", "4", "no", "no"])["accuracy"]
        50.0
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    chosen = sizes or Sizes()
    if name in AT_HAND:
        if folder is not None:
            raise ValueError(
                f"folder is {str(folder)!r}, but {name!r} reads no files; leave it out"
            )
        return AT_HAND[name](chosen, seed)
    if name not in DOWNLOADED:
        raise ValueError(f"name is {name!r}, expected one of {', '.join(TASKS)}")
    if folder is None:
        raise ValueError(
            f"folder is missing: {name!r} is read from its publisher's files; say where they are"
        )
    return DOWNLOADED[name](Path(folder), chosen, seed)
