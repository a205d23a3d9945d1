"""COCO captions: five sentences by different people about each photograph.

The layout that is expected, as published on https://cocodataset.org (release of 2017):

    FOLDER/annotations/captions_train2017.json
    FOLDER/train2017/000000000009.jpg ...
    and the same with val2017
"""

from collections import defaultdict
from pathlib import Path

from amad_study.data.example import Example, Task
from amad_study.data.public.building import Found, build_task
from amad_study.data.public.choosing import held_out
from amad_study.data.public.files import Published, read_json
from amad_study.data.scores.texts import score_texts
from amad_study.data.sizes import Sizes

PROMPT = "describe the picture"
"""The text in, the same for every picture."""


class _Image(Published):
    id: int
    file_name: str


class _Caption(Published):
    image_id: int
    caption: str


class _Captions(Published):
    images: list[_Image]
    annotations: list[_Caption]


def coco_captions(folder: Path, sizes: Sizes, seed: int) -> Task:
    """The published validation pictures are the test split; one in ten for training, validation.

    Every caption is an example to train on; for validation and test a picture is one, with all its
    captions as references.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not as published; captions of an image that is not listed.
    """
    training, paths = _read(folder, "train2017")
    test, test_paths = _read(folder, "val2017")
    found: dict[str, Found] = {
        "train": (
            [
                Example(picture, PROMPT, caption, (caption,))
                for picture, captions in training.items()
                if not held_out(picture)
                for caption in captions
            ],
            paths,
        ),
        "validation": (
            [_judged(*one) for one in training.items() if held_out(one[0])], paths
        ),
        "test": ([_judged(*one) for one in test.items()], test_paths),
    }  # fmt: skip
    return build_task(
        "coco-captions", found, sizes=sizes, seed=seed, score=score_texts, main_score="BLEU"
    )


def _judged(picture: str, captions: list[str]) -> Example:
    return Example(picture, PROMPT, captions[0], tuple(captions))


def _read(folder: Path, subset: str) -> tuple[dict[str, list[str]], dict[str, Path]]:
    path = folder / "annotations" / f"captions_{subset}.json"
    published = read_json(path, _Captions)
    paths = {str(image.id): folder / subset / image.file_name for image in published.images}
    captions = defaultdict(list)
    for one in published.annotations:
        if str(one.image_id) not in paths:
            raise ValueError(
                f"{path}: a caption is about image_id {one.image_id}, which is not among its "
                f"{len(paths)} images; expected the file as it was published"
            )
        captions[str(one.image_id)].append(" ".join(one.caption.split()))
    return captions, paths
