"""The squares that LivePortrait's networks see: around the portrait's face, rotated, and around the driver's, upright.

Its authors measure the extent of 203 landmarks on jaw, brows, eyes, nose and lips, without the forehead. The points
chosen here from our 478 cover the same: the jaw from temple to temple, brows, eyes, nose and lips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.crop import Framing
from avatar.frames import FloatArray, RgbImage
from avatar.images.box import Box
from avatar.tracking.face import Face
from avatar.tracking.region import Region
from avatar.tracking.regions import EYES, LEFT_MOUTH_CORNER, LOWER_LIP, NOSE_TIP, RIGHT_MOUTH_CORNER, UPPER_LIP

INPUT_PX = 256  # side of the images that the networks see
CROP_PX = 512  # side of the crop that is put back, and of what the generator draws
_JAW = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
_NOSE = (NOSE_TIP, 2, 98, 327, 168)
POINTS = np.unique(
    np.concatenate(
        [
            _JAW,
            _NOSE,
            *(each for eye in EYES for each in (eye.contour, eye.brow)),
            UPPER_LIP[0],
            LOWER_LIP[0],
            [RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER],
        ]
    )
).astype(np.intp)
_ROOM, _RISE = 2.3, 0.125  # the portrait's square: its side over the longer extent; its centre above the middle
# Clips that are square and framed like this within a quarter are used whole, as those that the authors hand out.
DRIVER = Framing(2.2, 0.1, POINTS, as_is=(0.8 / 2.2, 1.25 / 2.2))


@dataclass(frozen=True)
class Square:
    """A rotated square of an image; pixels, 0 = centre of the first pixel."""

    x: float  # centre
    y: float
    side: float
    angle_rad: float = 0.0  # clockwise as seen in the image

    def matrix(self, size: int) -> npt.NDArray[np.float64]:
        """Return the (2, 3) affine map from pixels of the square, drawn with `size` pixels a side, to the image's."""
        return self._region(size).matrix(size)

    def crop(self, rgb: RgbImage, size: int) -> RgbImage:
        """Return what the square shows of an (H, W, 3) image as (size, size, 3); beyond its edges they go on."""
        return self._region(size).crop(rgb, size)

    def seen(self, rgb: RgbImage) -> RgbImage:
        """Return what the networks see of an (H, W, 3) image: (INPUT_PX, INPUT_PX, 3), averaged from CROP_PX."""
        crop = self.crop(rgb, CROP_PX)
        return np.asarray(cv2.resize(crop, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA))

    def scaled(self, times: float) -> Square:
        """Return the square in the pixels of the image scaled by `times`."""
        return Square((self.x + 0.5) * times - 0.5, (self.y + 0.5) * times - 0.5, self.side * times, self.angle_rad)

    def _region(self, size: int) -> Region:
        """Return the same as a Region, whose pixels are counted from their corners."""
        half = self.side / size / 2
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        x, y = self.x + half * (cos - sin), self.y + half * (sin + cos)
        return Region(x, y, self.side, self.side, self.angle_rad)


def square_of_portrait(landmarks: FloatArray) -> Square:
    """Return the authors' square around a face: upright with it, 2.3 times its extent, an eighth higher.

    Args:
        landmarks: (478, 2 or 3) as in Face.
    """
    points = landmarks[:, :2].astype(np.float64)
    down = _down(points)
    across = np.array([down[1], -down[0]])
    axes = np.stack([across, down])
    within = (points[POINTS] - points[POINTS].mean(axis=0)) @ axes.T
    low, high = within.min(axis=0), within.max(axis=0)
    side = _ROOM * float((high - low).max())
    x, y = (points[POINTS].mean(axis=0) + ((low + high) / 2 - (0.0, _RISE * side)) @ axes).tolist()
    return Square(x, y, side, math.atan2(across[1], across[0]))


def square_of_box(box: Box) -> Square:
    """Return the smallest upright square around a box."""
    return Square(box.left + (box.width - 1) / 2, box.top + (box.height - 1) / 2, float(max(box.width, box.height)))


def eye_ratios(face: Face) -> tuple[float, float]:
    """Return how far the eyes are open, lids over corners: the subject's right, the left one."""
    points = face.landmarks[:, :2]
    right, left = (_gap(points, eye.upper[3], eye.lower[3], eye.outer, eye.inner) for eye in EYES)
    return right, left


def lip_ratio(face: Face) -> float:
    """Return how far the mouth is open: the gap between the inner lips over the distance of the corners."""
    inner = UPPER_LIP[-1][4], LOWER_LIP[-1][4]
    return _gap(face.landmarks[:, :2], *inner, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER)


def _down(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the unit vector (2,) from between the eyes to the mouth; image-down where they coincide."""
    eyes = np.mean([points[[eye.outer, eye.inner, eye.upper[3], eye.lower[3]]].mean(axis=0) for eye in EYES], axis=0)
    mouth = points[[RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER]].mean(axis=0)
    length = float(np.linalg.norm(mouth - eyes))
    return (mouth - eyes) / length if length > 1e-3 else np.array([0.0, 1.0])


def _gap(points: FloatArray, upper: int, lower: int, one: int, other: int) -> float:
    """Return one distance over another between (478, 2) points; 0 where the second is nothing."""
    length = float(np.linalg.norm(points[one] - points[other]))
    return float(np.linalg.norm(points[upper] - points[lower])) / length if length > 1e-3 else 0.0
