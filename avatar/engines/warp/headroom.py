"""Size of the head, and the part of an image around it that needs detailed processing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import CHIN, FACE_OVAL, FOREHEAD_TOP, LEFT_EAR, RIGHT_EAR

ROOM = 2.6  # half the side of the head's box, in head sizes: includes hair, hats and shoulders
_HALF_PIXEL = np.array([0.5, 0.5, 0], np.float32)  # from integer pixel centres to the image corner
WHOLE = 1.3  # an image up to this many times larger than the box is processed whole


@dataclass(frozen=True, eq=False)
class Head:
    """Landmarks and size of a portrait's head, in image pixels."""

    landmarks: FloatArray  # (478, 3)
    size: float  # approximate width of the face, regardless of its rotation

    @staticmethod
    def of(landmarks: FloatArray) -> Head:
        """Measure the head from (478, 3) landmarks."""
        across = np.linalg.norm(landmarks[LEFT_EAR] - landmarks[RIGHT_EAR])
        along = np.linalg.norm(landmarks[CHIN] - landmarks[FOREHEAD_TOP])
        return Head(np.asarray(landmarks, np.float32), max(float(across), 0.8 * float(along), 4.0))

    def scaled(self, scale: float) -> Head:
        """Return the head in an image resized by `scale`."""
        at = (self.landmarks + _HALF_PIXEL) * np.float32(scale) - _HALF_PIXEL
        return Head(np.asarray(at, np.float32), max(self.size * scale, 2.0))

    def cropped(self, left: int, top: int) -> Head:
        """Return the head in a part of the image that begins at (left, top)."""
        return Head(self.landmarks - np.array([left, top, 0], np.float32), self.size)

    def face(self, shape: tuple[int, ...]) -> Mask:
        """Return an (H, W) mask of the interior of the face oval."""
        mask = np.zeros(shape[:2], np.uint8)
        outline = np.clip(np.round(self.landmarks[FACE_OVAL, :2]), -30000, 30000).astype(np.int32)
        cv2.fillConvexPoly(mask, cv2.convexHull(outline), 1)
        return mask.astype(np.bool_)

    def box(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Return rows and columns of the part that needs detail: the whole image, or a square around a small head."""
        height, width = shape[:2]
        middle = 0.5 * (self.landmarks[FACE_OVAL, :2].min(axis=0) + self.landmarks[FACE_OVAL, :2].max(axis=0))
        half = ROOM * self.size
        if max(height, width) <= 2 * half * WHOLE:
            return slice(0, height), slice(0, width)
        left, right = np.clip([middle[0] - half, middle[0] + half], 0, width).astype(int)
        top, bottom = np.clip([middle[1] - half, middle[1] + half], 0, height).astype(int)
        if right - left < 2 or bottom - top < 2:  # the face is outside the image
            return slice(0, height), slice(0, width)
        return slice(int(top), int(bottom)), slice(int(left), int(right))


def shrunk(rgb: RgbImage, longest: int) -> tuple[RgbImage, float]:
    """Downscale an (H, W, 3) image to a longer side of at most `longest` pixels; also returns the scale (<= 1)."""
    height, width = rgb.shape[:2]
    scale = min(1.0, longest / max(height, width))
    if scale == 1.0:
        return rgb, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)), scale
