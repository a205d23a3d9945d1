"""Pictures and their regions, whatever they come from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and the regions in it: boxes of a detector, or patches.

    Attributes:
        pixels: brightness in [0, 1], `[height, width, channels]`, one channel or three.
        boxes: (top, left, bottom, right) of each region in pixels, `[R, 4]`; the last two are the
            first pixel outside.
    """

    pixels: NDArray[np.float32]
    boxes: NDArray[np.int64]

    def crops(self) -> NDArray[np.float32]:
        """Cut the regions out, `[R, height, width, channels]`.

        Raises:
            ValueError: the regions are not all of one size.
        """
        sizes = {(int(bottom - top), int(right - left)) for top, left, bottom, right in self.boxes}
        if len(sizes) > 1:
            raise ValueError(
                f"boxes have {len(sizes)} sizes, {sorted(sizes)[:3]} among them; crops() stacks "
                "regions of one size: cut pixels by hand and scale them first"
            )
        height, width = next(iter(sizes), (0, 0))
        cut = [self.pixels[top:bottom, left:right] for top, left, bottom, right in self.boxes]
        return np.array(cut, dtype=np.float32).reshape(
            len(cut), height, width, self.pixels.shape[2]
        )

    def standardised(self) -> "Picture":
        """The picture with a mean of 0 in each channel, and a standard deviation of 1 over all.

        A plain ground is then near 0, and what stands on it stands out. One colour all over is 0.
        """
        centred = self.pixels - self.pixels.mean(axis=(0, 1))
        spread = max(float(centred.std()), 1e-3)
        return Picture((centred / spread).astype(np.float32), self.boxes)

    def relative_boxes(self) -> NDArray[np.float32]:
        """The boxes in units of the image, so within [0, 1], `[R, 4]`."""
        height, width, _ = self.pixels.shape
        scaled: NDArray[np.float32] = np.divide(
            self.boxes, [height, width, height, width], dtype=np.float32
        )
        return scaled


def patch_boxes(size: int, patch: int) -> NDArray[np.int64]:
    """The boxes of the square patches of a square image, row by row, `[(size / patch)^2, 4]`.

    Raises:
        ValueError: the patches do not fill the image.
    """
    if patch < 1 or size % patch:
        raise ValueError(
            f"patch is {patch}, expected a divisor of the image's size, which is {size}"
        )
    starts = range(0, size, patch)
    return np.array([(top, left, top + patch, left + patch) for top in starts for left in starts])
