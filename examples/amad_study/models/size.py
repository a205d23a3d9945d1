"""How large a model is, and the sizes that the study uses."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ModelSize:
    """Widths, heads and layers; everything else is the same in all models of a family.

    Attributes:
        width: of the residual stream.
        heads: in every attention layer.
        head_width: numbers a head has for queries, keys and values; in BLIP `width / heads`.
        feed_forward: width inside the feed-forward layers.
        encoder_layers: of the text encoder; VL-T5's also reads the regions.
        decoder_layers: of the decoder that says the answer.
        vision_layers: of BLIP's vision transformer; VL-T5 has none.

    Raises:
        ValueError: a number below 1.
    """

    width: int
    heads: int
    head_width: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int
    vision_layers: int = 1

    def __post_init__(self) -> None:
        for name, number in asdict(self).items():
            if number < 1:
                raise ValueError(f"{name} is {number}, expected at least 1")


SIZES: Mapping[str, Mapping[str, ModelSize]] = {
    "vl-t5": {
        "teacher": ModelSize(64, 8, 16, 128, encoder_layers=3, decoder_layers=2),
        "student-3-heads": ModelSize(36, 3, 12, 72, encoder_layers=2, decoder_layers=1),
        "student-6-heads": ModelSize(36, 6, 12, 72, encoder_layers=2, decoder_layers=1),
        "student-3-heads-of-24": ModelSize(36, 3, 24, 72, encoder_layers=2, decoder_layers=1),
        "student-3-heads-of-40": ModelSize(36, 3, 40, 72, encoder_layers=2, decoder_layers=1),
        "student-3-of-8-heads": ModelSize(64, 3, 16, 128, encoder_layers=2, decoder_layers=1),
        "base": ModelSize(768, 12, 64, 3072, encoder_layers=12, decoder_layers=12),
    },
    "blip": {
        "teacher": ModelSize(64, 8, 8, 128, encoder_layers=2, decoder_layers=1, vision_layers=2),
        "student-3-heads": ModelSize(36, 3, 12, 72, encoder_layers=1, decoder_layers=1),
        "student-6-heads": ModelSize(36, 6, 6, 72, encoder_layers=1, decoder_layers=1),
        "base": ModelSize(
            768, 12, 64, 3072, encoder_layers=12, decoder_layers=12, vision_layers=12
        ),
    },
}
"""By family and name; `student-3-of-8-heads` fits a part of the teacher,
`base` has the widths and layers of T5-base and of BLIP-base."""


def size_of(family: str, name: str) -> ModelSize:
    """A size by its name.

    Raises:
        ValueError: unknown family or name.
    """
    if family not in SIZES:
        raise ValueError(f"family is {family!r}, expected one of {', '.join(SIZES)}")
    if name not in SIZES[family]:
        raise ValueError(f"size is {name!r}, expected one of {', '.join(SIZES[family])}")
    return SIZES[family][name]
