"""What reads BLIP's patches: each patch by itself, at its place, and well enough to tell digits."""

import numpy as np
import torch

from amad_study.data.digits.scenes import CELL_SIZE, compose_scene
from amad_study.models.patch_reader import PatchEmbedding
from amad_study.models.size import size_of
from amad_study.runs.student import bench_of


def test_each_patch_is_read_at_its_place() -> None:
    scene = compose_scene("test", np.random.default_rng(0))
    picture = torch.from_numpy(scene.canvas)
    stem = PatchEmbedding(16, CELL_SIZE, of_digits=True)
    found = stem(picture.expand(1, 3, -1, -1))
    assert found.shape == (1, 16, 3, 3)
    for row in range(3):
        for column in range(3):
            part = picture[row * CELL_SIZE :, column * CELL_SIZE :][:CELL_SIZE, :CELL_SIZE]
            expected = stem.norm(stem.project(stem.read(part.reshape(-1))))
            torch.testing.assert_close(found[0, :, row, column], expected)


def test_a_digit_is_nearer_to_its_like_than_to_others() -> None:
    random = np.random.default_rng(1)
    stem = PatchEmbedding(16, CELL_SIZE, of_digits=True)
    features, labels = [], []
    for _ in range(200):
        scene = compose_scene("test", random)
        for (row, column), label in zip(scene.cells, scene.labels, strict=True):
            part = scene.canvas[row * CELL_SIZE :, column * CELL_SIZE :][:CELL_SIZE, :CELL_SIZE]
            features.append(stem.read(torch.from_numpy(np.ascontiguousarray(part)).flatten()))
            labels.append(label)
    read, named = torch.stack(features), torch.tensor(labels)
    known, asked = slice(0, 600), slice(600, None)
    means = torch.stack([read[known][named[known] == digit].mean(dim=0) for digit in range(10)])
    nearest = torch.cdist(read[asked], means).argmin(dim=1)
    assert (nearest == named[asked]).float().mean() > 0.85


def test_it_is_frozen_and_the_same_for_all() -> None:
    bench = bench_of("digit-questions", "blip", 16, 4)
    models = [bench.new_model(size_of("blip", "teacher"), seed) for seed in (0, 1)]
    first, second = (model.vision_model.embeddings.patch_embedding for model in models)
    assert not any(weights.requires_grad for weights in first.read.parameters())
    assert first.project.weight.requires_grad
    for one, other in zip(first.read.parameters(), second.read.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first.project.weight, second.project.weight)


def test_other_pictures_are_taken_as_they_are() -> None:
    pictures = torch.rand(2, 3, 16, 16)
    stem = PatchEmbedding(5, 8, of_digits=False)
    found = stem(pictures)
    expected = stem.norm(stem.project(pictures[1, :, 8:, :8].reshape(-1)))
    torch.testing.assert_close(found[1, :, 1, 0], expected)
