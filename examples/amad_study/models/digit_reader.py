"""The frozen visual front end: turns the pixels of a region into features.

VL-T5 does not see pixels; it is fed the features of an object detector trained beforehand. Here a
small network trained to name single digits plays that part. Teacher and student share it, so that
they differ in how they reason about a scene and not in how well they read a digit.
"""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

import torch
from torch import Tensor, nn

from amad_study.data.digits.scenes import DIGIT_SIZE, load_digits

FEATURES = 32
_PIXELS = DIGIT_SIZE * DIGIT_SIZE
_PASSES = 60
_PIXEL_NOISE = 0.1


class RegionReader(nn.Module):
    """Maps the pixels of regions, `[..., 64]`, to features, `[..., 32]`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(_PIXELS, 128), nn.ReLU(), nn.Linear(128, FEATURES), nn.ReLU()
        )

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the features; no gradient ever reaches the reader through here."""
        features: Tensor = self.layers(pixels)
        return features


def train_region_reader(seed: int) -> RegionReader:
    """Train a reader to name the single digits of the training split (about two seconds)."""
    torch.manual_seed(seed)
    digits = load_digits("train")
    pixels = torch.from_numpy(digits.pixels).flatten(1)
    labels = torch.from_numpy(digits.labels)
    reader, naming = RegionReader(), nn.Linear(FEATURES, 10)
    network = nn.Sequential(reader.layers, nn.Dropout(0.1), naming)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    for _ in range(_PASSES):
        for rows in torch.randperm(len(labels)).split(64):
            noisy = pixels[rows] + _PIXEL_NOISE * torch.randn(len(rows), _PIXELS)
            loss = nn.functional.cross_entropy(network(noisy), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return reader.requires_grad_(False)
