"""Pictures that stay on disk until they are asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from amad_study.data.picture import Picture, patch_boxes


class PictureFiles(Mapping[str, Picture]):
    """Image files by name, scaled to one square size, with patches as regions.

    Args:
        paths: the file of each picture.
        size: height and width that every picture is scaled to, in pixels.
        patch: height and width of a region; divides `size`.

    Raises:
        ValueError: `patch` does not divide `size`; a file that is no image, when it is asked for.
        FileNotFoundError: files are missing.
    """

    def __init__(self, paths: Mapping[str, Path], *, size: int, patch: int) -> None:
        self._paths, self._size, self._boxes = dict(paths), size, patch_boxes(size, patch)
        _check_present(self._paths)

    def __getitem__(self, name: str) -> Picture:
        path = self._paths[name]
        try:
            with Image.open(path) as image:
                scaled = image.convert("RGB").resize((self._size, self._size))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{path} cannot be read as an image: {error}") from error
        return Picture(np.asarray(scaled, dtype=np.float32) / 255.0, self._boxes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _check_present(paths: Mapping[str, Path]) -> None:
    there: dict[Path, set[str]] = {}
    for folder in {path.parent for path in paths.values()}:
        there[folder] = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    missing = [path for path in paths.values() if path.name not in there[path.parent]]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} pictures are missing, {missing[0]} among them; "
            "download the images of the data set and unpack them there"
        )
