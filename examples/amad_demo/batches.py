"""Scenes and questions as tensors, padded and with the masks that say what is padding."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amad_demo.questions import KINDS, Question, ask
from amad_demo.scenes import CANVAS_SIZE, DIGIT_SIZE, MOST_DIGITS, Scene, Split, compose_scene
from amad_demo.vocabulary import PAD, encode

LONGEST_QUESTION = 9


@dataclass(frozen=True)
class Batch:
    """Questions about scenes, ready for a model.

    Attributes:
        question: token numbers, `[B, 9]`, padded at the end.
        regions: the pixels inside each digit's box, `[B, 6, 64]`, padded at the end.
        boxes: (top, left, bottom, right) of each box in units of the canvas, `[B, 6, 4]`.
        mask: true where question (first 9) or regions (last 6) are no padding, `[B, 15]`.
        answer: token number of the answer, `[B]`.
        kind: index into `KINDS`, `[B]`.
    """

    question: Tensor
    regions: Tensor
    boxes: Tensor
    mask: Tensor
    answer: Tensor
    kind: Tensor

    def __len__(self) -> int:
        return len(self.answer)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What a model, and so a distiller, is called with."""
        return {
            "question": self.question,
            "regions": self.regions,
            "boxes": self.boxes,
            "attention_mask": self.mask,
            "labels": self.answer,
        }

    def __getitem__(self, rows: Tensor | slice) -> "Batch":
        return Batch(**{name: value[rows] for name, value in vars(self).items()})

    def with_images_of(self, rows: Tensor) -> "Batch":
        """Keep the questions, but show each the image of another row."""
        mask = self.mask.clone()
        mask[:, LONGEST_QUESTION:] = self.mask[rows, LONGEST_QUESTION:]
        return Batch(
            self.question, self.regions[rows], self.boxes[rows], mask, self.answer, self.kind
        )


def draw_questions(split: Split, count: int, seed: int) -> Batch:
    """Draw `count` scenes from the digits of a split, with one question about each."""
    random = np.random.default_rng(seed)
    scenes = [compose_scene(split, random) for _ in range(count)]
    return collate(scenes, [ask(scene, random) for scene in scenes])


def collate(scenes: list[Scene], questions: list[Question]) -> Batch:
    """Pad scenes and questions to one size and say in `mask` what is real."""
    count = len(scenes)
    tokens = np.full((count, LONGEST_QUESTION), PAD)
    regions = np.zeros((count, MOST_DIGITS, DIGIT_SIZE * DIGIT_SIZE), dtype=np.float32)
    boxes = np.zeros((count, MOST_DIGITS, 4), dtype=np.float32)
    mask = np.zeros((count, LONGEST_QUESTION + MOST_DIGITS), dtype=bool)
    for row, (scene, question) in enumerate(zip(scenes, questions, strict=True)):
        words = encode(question.text)
        tokens[row, : len(words)] = words
        mask[row, : len(words)] = True
        mask[row, LONGEST_QUESTION : LONGEST_QUESTION + len(scene.corners)] = True
        for region, (top, left) in enumerate(scene.corners):
            bottom, right = top + DIGIT_SIZE, left + DIGIT_SIZE
            regions[row, region] = scene.canvas[top:bottom, left:right].ravel()
            boxes[row, region] = np.array([top, left, bottom, right]) / CANVAS_SIZE
    return Batch(
        question=torch.from_numpy(tokens),
        regions=torch.from_numpy(regions),
        boxes=torch.from_numpy(boxes),
        mask=torch.from_numpy(mask),
        answer=torch.tensor([encode(question.answer)[0] for question in questions]),
        kind=torch.tensor([KINDS.index(question.kind) for question in questions]),
    )


def shuffled_batches(data: Batch, size: int, steps: int, seed: int) -> Iterator[Batch]:
    """Yield `steps` batches: pass after pass over the data, each in a new order."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < size:
            order = torch.cat([order, torch.randperm(len(data), generator=generator)])
        yield data[order[:size]]
        order = order[size:]
