"""A part of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Box:
    """A part of an image in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the part of an image, (H, W, 3) or (H, W), that the box covers, as a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def turned(self, turn_deg: int, width_px: int, height_px: int) -> Box:
        """Return the same part of an image of that size after a clockwise rotation by a multiple of 90 degrees."""
        match turn_deg % 360:
            case 90:
                return Box(height_px - self.top - self.height, self.left, self.height, self.width)
            case 180:
                left, top = width_px - self.left - self.width, height_px - self.top - self.height
                return Box(left, top, self.width, self.height)
            case 270:
                return Box(self.top, width_px - self.left - self.width, self.height, self.width)
        return self

    def inside(self, image: npt.NDArray[np.uint8]) -> bool:
        """Return whether the box lies within an (H, W, 3) or (H, W) image."""
        height, width = image.shape[:2]
        return min(self.left, self.top) >= 0 and self.left + self.width <= width and self.top + self.height <= height
