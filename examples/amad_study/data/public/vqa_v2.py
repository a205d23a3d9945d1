"""VQA v2: open questions about photographs, ten people's answers to each.

The layout that is expected, as published on https://visualqa.org/download.html (the two years are
those of COCO's first release):

    FOLDER/v2_OpenEnded_mscoco_train2014_questions.json
    FOLDER/v2_mscoco_train2014_annotations.json
    FOLDER/train2014/COCO_train2014_000000000009.jpg ...
    and the same with val2014
"""

from pathlib import Path

from amad_study.data.example import Example, Task
from amad_study.data.public.building import Found, build_task
from amad_study.data.public.choosing import held_out
from amad_study.data.public.files import Published, read_json
from amad_study.data.scores.answers import score_vqa
from amad_study.data.sizes import Sizes


class _Question(Published):
    question_id: int
    image_id: int
    question: str


class _Questions(Published):
    questions: list[_Question]


class _Answer(Published):
    answer: str


class _Annotation(Published):
    question_id: int
    image_id: int
    answer_type: str
    multiple_choice_answer: str
    answers: list[_Answer]


class _Annotations(Published):
    annotations: list[_Annotation]


def vqa_v2(folder: Path, sizes: Sizes, seed: int) -> Task:
    """The published validation questions are the test split, as answers to its test are not public.

    One training picture in ten is for validation. A model is trained to say the answer that most
    people gave; kinds are the published types of answer.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not as published; questions and annotations do not belong together.
    """
    training, paths = _read(folder, "train2014")
    found: dict[str, Found] = {
        "train": ([one for one in training if not held_out(one.picture)], paths),
        "validation": ([one for one in training if held_out(one.picture)], paths),
        "test": _read(folder, "val2014"),
    }
    return build_task(
        "vqa-v2", found, sizes=sizes, seed=seed, score=score_vqa, main_score="accuracy"
    )


def _read(folder: Path, subset: str) -> Found:
    asked = folder / f"v2_OpenEnded_mscoco_{subset}_questions.json"
    answered = folder / f"v2_mscoco_{subset}_annotations.json"
    questions = {one.question_id: one for one in read_json(asked, _Questions).questions}
    annotations = read_json(answered, _Annotations).annotations
    for annotation in annotations:
        question = questions.get(annotation.question_id)
        if question is None or question.image_id != annotation.image_id or not annotation.answers:
            raise ValueError(
                f"{answered}: question_id {annotation.question_id} has no answers, or {asked.name} "
                "has no such question about the same image; expected both files of one release"
            )
    if len(annotations) != len(questions):
        raise ValueError(
            f"{answered} answers {len(annotations)} of the {len(questions)} questions of "
            f"{asked.name}; expected both files of one release"
        )
    examples = [
        Example(
            picture=str(one.image_id),
            source=questions[one.question_id].question,
            target=one.multiple_choice_answer,
            references=tuple(answer.answer for answer in one.answers),
            kind=one.answer_type,
        )
        for one in annotations
    ]
    name = "COCO_{}_{:012d}.jpg"
    return examples, {
        str(one.image_id): folder / subset / name.format(subset, one.image_id)
        for one in annotations
    }
