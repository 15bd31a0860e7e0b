"""Backward map of one frame: coarse grids from which the look-up of every pixel is interpolated.

Coordinates are pixels; pixel centres are integers (align_corners=True in torch's terms).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.grid import to_pixels
from avatar.frames import FloatArray

_Value = TypeVar("_Value", bound=np.generic)


@dataclass(frozen=True)
class Box:
    """A rectangle with integer pixel bounds."""

    left: int
    top: int
    right: int  # exclusive
    bottom: int

    @staticmethod
    def around(points: FloatArray, width_px: int, height_px: int, margin_px: float = 1.0) -> Box:
        """Return the bounding box of (N, 2) points with a margin, clipped to the image."""
        low, high = np.floor(points.min(axis=0)) - margin_px, np.ceil(points.max(axis=0)) + 1 + margin_px
        return Box(int(max(low[0], 0)), int(max(low[1], 0)), int(min(high[0], width_px)), int(min(high[1], height_px)))

    def within(self, other: Box) -> Box:
        """Return the intersection of two boxes."""
        return Box(
            max(self.left, other.left), max(self.top, other.top),
            min(self.right, other.right), min(self.bottom, other.bottom),
        )  # fmt: skip

    def cells_around(self, part: Box, step: int) -> Box:
        """Return the cells of `step` pixels, from this box's corner on, that cover a part of it."""
        left, top = self.left + (part.left - self.left) // step * step, self.top + (part.top - self.top) // step * step
        return Box(left, top, part.right, part.bottom)

    def view(self, image: npt.NDArray[_Value], of: Box) -> npt.NDArray[_Value]:
        """Return these pixels of an image (h, w, ...) that shows the box `of`, as a view."""
        return image[self.top - of.top : self.bottom - of.top, self.left - of.left : self.right - of.left]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns in an image whose corner is at 0."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def empty(self) -> bool:
        """True if the box is too small to draw."""
        return self.width < 2 or self.height < 2


@dataclass(frozen=True, eq=False)
class CellMap:
    """Positions in the portrait, known at the centres of square cells that cover a box of the frame."""

    box: Box
    step: int  # side of a cell, pixels
    positions: FloatArray  # (rows, columns, 2), on `Grid.over_cells` of the box

    def pixels(self, texture_scale: int, part: Box | None = None, *, origin: Box | None = None) -> FloatArray:
        """Interpolate to all pixels.

        Args:
            texture_scale: pixels of the texture per pixel of the portrait.
            part: the pixels to compute, inside the box; None: all.
            origin: the part of the portrait that the texture shows; None: all.
        Returns:
            (height, width, 2) pixels of the texture.
        """
        finer = np.float32(texture_scale)
        corner = np.array([0, 0] if origin is None else [origin.left, origin.top], np.float32)
        if part is None:
            return to_pixels(finer * (self.positions - corner), self.step, self.box.width, self.box.height)
        # A pixel lies between the centres of two cells; the first cell is the rim before the box.
        half, step = self.step // 2, self.step
        left, top = (part.left - self.box.left + half) // step, (part.top - self.box.top + half) // step
        right, bottom = (part.right - self.box.left - 1 + half) // step, (part.bottom - self.box.top - 1 + half) // step
        cells = finer * (self.positions[top : bottom + 2, left : right + 2] - corner)
        columns, rows = step * cells.shape[1], step * cells.shape[0]
        fine = cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_LINEAR)
        shown = Box(self.box.left + (left - 1) * step, self.box.top + (top - 1) * step, part.right, part.bottom)
        return np.asarray(part.view(fine, shown))


@dataclass(frozen=True, eq=False)
class FaceLookUp:
    """The backward map around the face, where lids and lips part and meet.

    The region between lid lines and lip line moves separately from the region around it.
    """

    around: CellMap
    middle: CellMap  # of cells around `middle_box` only
    middle_box: Box  # inside that box; outside of it the middle has no weight
    weight: npt.NDArray[np.uint8]  # (h, w) of `middle_box`, 255 = the middle


@dataclass(frozen=True, eq=False)
class LookUp:
    """The backward map of one frame."""

    whole: CellMap
    face: FaceLookUp | None  # in place of `whole` inside its box; None: the face has left the frame

    def pixels(self, texture_scale: int, part: Box | None = None, *, origin: Box | None = None) -> FloatArray:
        """Compute the texture pixels, (height, width, 2), of the frame or a part of it; see `CellMap.pixels`."""
        found = self.whole.pixels(texture_scale, part, origin=origin)
        face, box = self.face, part or self.whole.box
        if face is None:
            return found
        inside = face.around.box.within(box)
        if min(inside.width, inside.height) < 1:  # one row of it may lie in a part
            return found
        inside.view(found, box)[:] = face.around.pixels(texture_scale, part and inside, origin=origin)
        middle = face.middle_box.within(box)
        if min(middle.width, middle.height) >= 1:
            change, place = face.middle.pixels(texture_scale, middle, origin=origin), middle.view(found, box)
            change -= place
            weight = middle.view(face.weight, face.middle_box).astype(np.float32) * np.float32(1 / 255)
            change *= cv2.merge([weight] * 2)
            place += change
        return found
