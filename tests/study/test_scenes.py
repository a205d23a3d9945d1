"""Scenes, held against scikit-learn's images."""

import numpy as np
import pytest
from sklearn import datasets

from amad_study.data.digits.scenes import compose_scene, load_digits

BUNCH = datasets.load_digits()


def test_the_splits_share_no_image_and_leave_none_out() -> None:
    numbers = [set(load_digits(split).numbers) for split in ("train", "validation", "test")]
    assert sum(len(split) for split in numbers) == len(BUNCH.target) == len(set.union(*numbers))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_scenes_are_made_of_the_split_s_own_images(split: str) -> None:
    random, allowed = np.random.default_rng(3), set(load_digits(split).numbers)  # type: ignore[arg-type]
    for _ in range(50):
        scene = compose_scene(split, random)  # type: ignore[arg-type]
        assert set(scene.numbers) <= allowed
        assert len(set(scene.cells)) == len(set(scene.labels)) == len(scene.numbers)
        assert list(scene.labels) == BUNCH.target[list(scene.numbers)].tolist()
        for (top, left), number in zip(scene.corners, scene.numbers, strict=True):
            region = scene.canvas[top : top + 8, left : left + 8]
            np.testing.assert_allclose(region * 16, BUNCH.images[number])


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="split is 'tset', expected one of"):
        load_digits("tset")  # type: ignore[arg-type]
