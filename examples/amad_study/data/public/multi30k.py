"""Multi30K, task 1: descriptions of photographs and their translations from English.

The layout that is expected is that of the repository multi30k/dataset, files plain or compressed,
beside the photographs of Flickr30k, which are had on request only:

    FOLDER/data/task1/raw/{train,val,test_2016_flickr}.{en,de,fr,cs}[.gz]
    FOLDER/data/task1/image_splits/{train,val,test_2016_flickr}.txt
    FOLDER/flickr30k-images/1000092795.jpg ...
"""

from pathlib import Path

from amad_study.data.example import Example, Task
from amad_study.data.public.building import Found, build_task
from amad_study.data.public.files import read_lines
from amad_study.data.scores.texts import score_texts
from amad_study.data.sizes import Sizes

LANGUAGES = {"cs": "Czech", "de": "German", "fr": "French"}
"""What English is translated into."""

_FILES = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


def multi30k(folder: Path, sizes: Sizes, seed: int, *, language: str) -> Task:
    """The published splits; the test is that of 2016.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: files whose lines do not belong together; an unknown language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}, expected one of {sorted(LANGUAGES)}")
    found = {split: _read(folder, file, language) for split, file in _FILES.items()}
    return build_task(
        f"multi30k-{language}", found, sizes=sizes, seed=seed, score=score_texts, main_score="BLEU"
    )


def _read(folder: Path, file: str, language: str) -> Found:
    task = folder / "data" / "task1"
    english = read_lines(task / "raw" / f"{file}.en")
    foreign = read_lines(task / "raw" / f"{file}.{language}")
    pictures = read_lines(task / "image_splits" / f"{file}.txt")
    if not len(english) == len(foreign) == len(pictures):
        raise ValueError(
            f"{task}: {file} has {len(english)} lines in English, {len(foreign)} in {language} and "
            f"{len(pictures)} pictures; expected as many of each, line by line"
        )
    rows = list(zip(english, foreign, pictures, strict=True))
    if empty := [number for number, row in enumerate(rows, start=1) if not all(row)]:
        raise ValueError(f"{task}: line {empty[0]} of {file} is empty in one of its files")
    return (
        [Example(picture, source, target, (target,)) for source, target, picture in rows],
        {picture: folder / "flickr30k-images" / picture for picture in pictures},
    )
