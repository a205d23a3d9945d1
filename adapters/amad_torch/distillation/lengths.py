"""Maps of different lengths, made comparable where the user says how."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Lengths:
    """How maps of different lengths become maps of one length; nothing is guessed.

    Attributes:
        crop: ``(teacher, student)``: so many first tokens (class, distillation, register tokens)
            are left out of each, as queries and as keys.
        resize: the teacher's patches, a square grid after the crop, are resized to the student's
            grid by area, as queries and as keys.

    Rows are divided by their sums afterwards, so that they are probabilities again; a row that had
    all its mass on what was left out becomes 0.

    Raises:
        ValueError: numbers to crop below 0.
    """

    crop: tuple[int, int] | None = None
    resize: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None and (len(self.crop) != 2 or min(self.crop) < 0):
            raise ValueError(f"crop must be (teacher tokens, student tokens); got {self.crop!r}")

    def fitted(self, teacher: Tensor, student: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Both maps with the same numbers of queries and keys.

        Raises:
            ValueError: they still differ, the patches are no square grid, or there are other
                numbers of windows.
        """
        if teacher.shape[0] != student.shape[0]:
            raise ValueError(
                f"{name}: the teacher has maps of {teacher.shape[0]} samples or windows, the "
                f"student of {student.shape[0]}. Attention in windows is compared window by "
                "window: give both models one window size and one resolution in these layers, or "
                "choose others with matches"
            )
        if self.crop is not None:
            teacher, student = (
                _cropped(maps, count, name)
                for maps, count in zip((teacher, student), self.crop, strict=True)
            )
        if self.resize and teacher.shape[-2:] != student.shape[-2:]:
            teacher = _resized(teacher, student.shape[-1], name)
        if teacher.shape[-2:] != student.shape[-2:]:
            raise ValueError(
                f"{name}: the teacher attends {list(teacher.shape[-2:])} (queries, keys), the "
                f"student {list(student.shape[-2:])}. Different class or distillation tokens: "
                "crop=(teacher tokens, student tokens); different patch grids: resize=True; "
                "different tokenizers: no map of one is a map of the other, distil outputs instead"
            )
        return teacher, student

    def cut(self, mask: Tensor | None) -> Tensor | None:
        """The mask of the student's cells, cropped as they are."""
        if mask is None or self.crop is None or not self.crop[1]:
            return mask
        return mask[:, self.crop[1] :, self.crop[1] :]


def _cropped(maps: Tensor, count: int, name: str) -> Tensor:
    if count >= min(maps.shape[-2:]):
        raise ValueError(f"{name}: crop must leave tokens; got {count} of {list(maps.shape[-2:])}")
    return _rows_of_one(maps[..., count:, count:]) if count else maps


def _resized(maps: Tensor, tokens: int, name: str) -> Tensor:
    sides = [math.isqrt(maps.shape[-1]), math.isqrt(tokens)]
    if maps.shape[-2] != maps.shape[-1] or [side**2 for side in sides] != [maps.shape[-1], tokens]:
        raise ValueError(
            f"{name}: resize needs square grids of patches, as many queries as keys; got "
            f"{list(maps.shape[-2:])} for {tokens} tokens: leave out other tokens with crop"
        )
    batch, heads = maps.shape[:2]
    by_keys = _grid(maps.reshape(-1, 1, sides[0], sides[0]), sides[1])
    by_keys = by_keys.reshape(batch * heads, maps.shape[-2], tokens).transpose(1, 2)
    by_queries = _grid(by_keys.reshape(-1, 1, sides[0], sides[0]), sides[1])
    resized = by_queries.reshape(batch, heads, tokens, tokens).transpose(-1, -2)
    return _rows_of_one(resized)


def _grid(images: Tensor, side: int) -> Tensor:
    if side <= images.shape[-1]:
        return functional.adaptive_avg_pool2d(images, side)
    return functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def _rows_of_one(maps: Tensor) -> Tensor:
    sums = maps.sum(-1, keepdim=True)
    return torch.where(sums > 0, maps / torch.where(sums > 0, sums, 1.0), 0.0)
