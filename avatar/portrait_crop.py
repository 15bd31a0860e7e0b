"""Which part of a picture is animated."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.errors import UsageError
from avatar.tracking.face import Face

SMALL_FACE = 1 / 6  # of the picture's shorter side: below this the rest is more landscape than portrait
ABOVE, BELOW, BESIDE = 1.6, 3.2, 2.4  # room around the middle of the face, in face heights: hair, chest, shoulders
MIN_SIDE_PX = 32


@dataclass(frozen=True)
class Box:
    """A part of a picture in whole pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The part of (H, W, 3) or (H, W) that the box covers; a view."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def turned(self, turn_deg: int, width_px: int, height_px: int) -> Box:
        """Return the same part of a picture of that size after it was turned clockwise by a multiple of 90 degrees."""
        match turn_deg % 360:
            case 90:
                return Box(height_px - self.top - self.height, self.left, self.height, self.width)
            case 180:
                left, top = width_px - self.left - self.width, height_px - self.top - self.height
                return Box(left, top, self.width, self.height)
            case 270:
                return Box(self.top, width_px - self.left - self.width, self.height, self.width)
        return self

    def inside(self, picture: npt.NDArray[np.uint8]) -> bool:
        """Whether the picture has all of it."""
        height, width = picture.shape[:2]
        return min(self.left, self.top) >= 0 and self.left + self.width <= width and self.top + self.height <= height

    def holds(self, face: Face) -> bool:
        """Whether the middle of a face lies in the part."""
        low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
        x, y = ((low + high) / 2).tolist()
        return bool(self.left <= x < self.left + self.width and self.top <= y < self.top + self.height)


TURNS_DEG = (0, 90, 180, 270)  # clockwise
Crop = Box | str  # "auto", "none", or a part of the picture


def parse_crop(text: str) -> Crop:
    """Read what --crop was given. Raises: UsageError."""
    if text in ("auto", "none"):
        return text
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){3}", text):
        raise UsageError(
            f"--crop {text} is not understood.", remedy="Give auto, none, or X,Y,W,H in pixels: --crop 100,40,512,512"
        )
    box = Box(*(int(part) for part in text.split(",")))
    if min(box.width, box.height) < MIN_SIDE_PX:
        raise UsageError(
            f"--crop {text} is {box.width} x {box.height} pixels; no face fits in that.",
            remedy=f"Make both sides at least {MIN_SIDE_PX} pixels long, best with neck and shoulders.",
        )
    return box


def parse_turn(text: str) -> int | None:
    """Read what --turn was given; None: find out. Raises: UsageError."""
    if text == "auto":
        return None
    if text not in {str(turn) for turn in TURNS_DEG}:
        raise UsageError(f"--turn {text} is not understood.", remedy="Give auto, 0, 90, 180 or 270.")
    return int(text)


def turn_remark(turn_deg: int) -> str:
    """Return what to say about a picture that was turned by itself."""
    lay = "was upside down" if turn_deg == 180 else "lay on its side"
    way = "" if turn_deg == 180 else " clockwise" if turn_deg == 90 else " counter-clockwise"
    return f"The face {lay}, so the picture was turned{way} by {min(turn_deg, 360 - turn_deg)} degrees."


def crop_box(crop: Crop, width_px: int, height_px: int, face: Face | None) -> Box:
    """The part of a picture that is animated.

    Args:
        crop: a part, "none" for all, or "auto": all, unless the face is small in it; then head and shoulders.
        width_px, height_px: of the picture.
        face: the one found in it; without one "auto" takes all.
    Raises:
        UsageError: the part reaches outside the picture.
    """
    whole = Box(0, 0, width_px, height_px)
    if isinstance(crop, Box):
        if crop.left + crop.width > width_px or crop.top + crop.height > height_px:
            raise UsageError(
                f"--crop {crop.left},{crop.top},{crop.width},{crop.height} reaches outside the picture, "
                f"which is {width_px} x {height_px}.",
                remedy="X,Y is the upper left corner and W,H the size, all in pixels.",
            )
        return crop
    if crop == "none" or face is None:
        return whole
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    tall = float((high - low).max())
    if tall >= SMALL_FACE * min(width_px, height_px):
        return whole
    x, y = ((low + high) / 2).tolist()
    left, right = _clipped(x - BESIDE * tall, x + BESIDE * tall, width_px)
    top, bottom = _clipped(y - ABOVE * tall, y + BELOW * tall, height_px)
    return Box(left, top, right - left, bottom - top)


def _clipped(low: float, high: float, length: int) -> tuple[int, int]:
    """A stretch moved into 0..length without changing how long it is, where that is possible."""
    shift = max(0.0, -low) - max(0.0, high - length)
    return max(0, round(low + shift)), min(length, round(high + shift))
