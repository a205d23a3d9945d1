"""Small data sets in the formats of VQA v2, COCO captions and Multi30K."""

import gzip
import json
from pathlib import Path
from typing import Any

from PIL import Image

PEOPLE = 10


def photograph(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (shade, 0, 255 - shade)).save(path)


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def make_vqa_v2(folder: Path, pictures: int = 30) -> None:
    for subset in ("train2014", "val2014"):
        header = {"info": {"version": "2.0"}, "license": {}, "data_subtype": subset}
        questions, annotations = [], []
        for picture in range(1, pictures + 1):
            photograph(folder / subset / f"COCO_{subset}_{picture:012d}.jpg", picture)
            for kind, question, answer in (
                ("yes/no", "Is it blue?", "yes"), ("other", "What color is it?", "blue"),
            ):  # fmt: skip
                number = 10 * picture + len(questions) % 2
                questions.append({"question_id": number, "image_id": picture, "question": question})
                given = [answer] * 7 + ["red"] * 3
                annotations.append(
                    {
                        "question_id": number,
                        "image_id": picture,
                        "question_type": question.lower()[:7],
                        "answer_type": kind,
                        "multiple_choice_answer": answer,
                        "answers": [
                            {"answer": said, "answer_confidence": "yes", "answer_id": one + 1}
                            for one, said in enumerate(given)
                        ],
                    }
                )
        write_json(
            folder / f"v2_OpenEnded_mscoco_{subset}_questions.json",
            {**header, "task_type": "Open-Ended", "questions": questions},
        )
        write_json(
            folder / f"v2_mscoco_{subset}_annotations.json",
            {**header, "annotations": annotations[::-1]},  # in an order of their own
        )


def make_coco_captions(folder: Path, pictures: int = 30) -> None:
    for subset in ("train2017", "val2017"):
        images, annotations = [], []
        for picture in range(1, pictures + 1):
            name = f"{picture:012d}.jpg"
            photograph(folder / subset / name, picture)
            images.append({"id": picture, "file_name": name, "width": 40, "height": 30})
            for one in range(5):
                caption = f"Sentence {one} of {picture}.\n"
                annotations.append(
                    {"id": 100 * picture + one, "image_id": picture, "caption": caption}
                )
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations}
        write_json(folder / "annotations" / f"captions_{subset}.json", content)


def make_multi30k(folder: Path, pictures: int = 12) -> None:
    task = folder / "data" / "task1"
    for file in ("train", "val", "test_2016_flickr"):
        names = [f"{file}{number}.jpg" for number in range(pictures)]
        (task / "image_splits").mkdir(parents=True, exist_ok=True)
        (task / "image_splits" / f"{file}.txt").write_text("\n".join(names) + "\n")
        (task / "raw").mkdir(exist_ok=True)
        for language, text in (("en", "A man\u2028with a dog"), ("de", "Ein Mann mit Hund")):
            lines = "".join(f"{text} {number}.\n" for number in range(pictures))
            (task / "raw" / f"{file}.{language}.gz").write_bytes(gzip.compress(lines.encode()))
        for number, name in enumerate(names):
            photograph(folder / "flickr30k-images" / name, number)
