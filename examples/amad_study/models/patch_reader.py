"""What embeds the patches of BLIP's pictures; digits are read by a small frozen network.

BLIP's vision transformer begins with weights that classified a million photographs. Without any
such beginning one of this size answers from the words alone for thousands of steps. So patches are
read by a network that was trained to name the single digits of the training split, the same for
teacher and student, as VL-T5's regions are; how patches are put together is left to be learned.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import copy
from functools import cache

import torch
from torch import Tensor, nn

from amad_study.data.digits.scenes import CELL_SIZE, DIGIT_SIZE, load_digits

FEATURES = 32
_PIXELS = CELL_SIZE * CELL_SIZE
_NOTHING = 10
_PASSES = 60
_PIXEL_NOISE = 0.1
_SEED = 0


class PatchEmbedding(nn.Module):
    """Pictures `[B, 3, H, W]` to embedded patches of unit size, `[B, width, rows, columns]`.

    Args:
        width: of the model.
        patch_size: in pixels.
        of_digits: whether patches are read; else their pixels are what is embedded.
    """

    def __init__(self, width: int, patch_size: int, *, of_digits: bool) -> None:
        super().__init__()
        self._side, self._channels = patch_size, 1 if of_digits else 3
        # A copy, as a model's dtype may be changed.
        self.read = copy.deepcopy(_reader()) if of_digits else nn.Identity()
        features = FEATURES if of_digits else self._channels * patch_size**2
        self.project, self.norm = nn.Linear(features, width), nn.LayerNorm(width)

    @property
    def weight(self) -> Tensor:
        """What a vision transformer takes its dtype from."""
        return self.project.weight

    def forward(self, pictures: Tensor) -> Tensor:
        """All three channels are one in pictures of digits; the first is read."""
        grid = tuple(length // self._side for length in pictures.shape[2:])
        seen = pictures[:, : self._channels]
        patches = nn.functional.unfold(seen, self._side, stride=self._side)
        with torch.no_grad():
            features = self.read(patches.transpose(1, 2))
        embedded: Tensor = self.norm(self.project(features))
        pieces: Tensor = embedded.transpose(1, 2).unflatten(2, grid)
        return pieces


@cache
def _reader() -> nn.Sequential:
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(_SEED)
        return _trained_reader()


def _trained_reader() -> nn.Sequential:
    """Names what is in a patch, a digit at any place or nothing; without the last layer."""
    digits = load_digits("train")
    pixels, labels = torch.from_numpy(digits.pixels), torch.from_numpy(digits.labels)
    reader = nn.Sequential(nn.Linear(_PIXELS, 128), nn.ReLU(), nn.Linear(128, FEATURES), nn.ReLU())
    network = nn.Sequential(reader, nn.Dropout(0.1), nn.Linear(FEATURES, _NOTHING + 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    for _ in range(_PASSES):
        for rows in torch.randperm(len(labels)).split(64):
            patches, named = _placed(pixels[rows], labels[rows])
            noisy = patches + _PIXEL_NOISE * torch.randn(patches.shape)
            loss = nn.functional.cross_entropy(network(noisy), named, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return reader.requires_grad_(False)


def _placed(digits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Each digit somewhere in a patch; one patch in eight is left empty."""
    patches = torch.zeros(len(digits), CELL_SIZE, CELL_SIZE)
    named = labels.clone()
    places = torch.randint(CELL_SIZE - DIGIT_SIZE + 1, (len(digits), 2)).tolist()
    for number, (top, left) in enumerate(places):
        if number % 8 == 0:
            named[number] = _NOTHING
        else:
            patches[number, top : top + DIGIT_SIZE, left : left + DIGIT_SIZE] = digits[number]
    return patches.flatten(1), named
