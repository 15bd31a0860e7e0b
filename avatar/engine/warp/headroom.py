"""How large the head is and which part of a picture matters to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.fields import Mask
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import CHIN, FACE_OVAL, FOREHEAD_TOP, LEFT_EAR, RIGHT_EAR

ROOM = 2.6  # half the side of the head's box, in head sizes: hair, hats and shoulders are inside
_HALF_PIXEL = np.array([0.5, 0.5, 0], np.float32)  # from pixel centres at integers to the picture's corner
WHOLE = 1.3  # a picture up to so many times larger than the box is taken whole


@dataclass(frozen=True, eq=False)
class Head:
    """The head of one portrait; lengths in pixels of the picture."""

    landmarks: FloatArray  # (478, 3)
    size: float  # about the width of the face, however it is turned

    @staticmethod
    def of(landmarks: FloatArray) -> Head:
        """Measure the head by its (478, 3) landmarks."""
        across = np.linalg.norm(landmarks[LEFT_EAR] - landmarks[RIGHT_EAR])
        along = np.linalg.norm(landmarks[CHIN] - landmarks[FOREHEAD_TOP])
        return Head(np.asarray(landmarks, np.float32), max(float(across), 0.8 * float(along), 4.0))

    def scaled(self, scale: float) -> Head:
        """The same head in a picture resized by `scale`."""
        at = (self.landmarks + _HALF_PIXEL) * np.float32(scale) - _HALF_PIXEL
        return Head(np.asarray(at, np.float32), max(self.size * scale, 2.0))

    def cropped(self, left: int, top: int) -> Head:
        """The same head in a part of the picture that begins at (left, top)."""
        return Head(self.landmarks - np.array([left, top, 0], np.float32), self.size)

    def face(self, shape: tuple[int, ...]) -> Mask:
        """The inside of the face's outline; (H, W)."""
        mask = np.zeros(shape[:2], np.uint8)
        outline = np.clip(np.round(self.landmarks[FACE_OVAL, :2]), -30000, 30000).astype(np.int32)
        cv2.fillConvexPoly(mask, cv2.convexHull(outline), 1)
        return mask.astype(np.bool_)

    def box(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns of the part that matters: the whole picture, or a square around a small head."""
        height, width = shape[:2]
        middle = 0.5 * (self.landmarks[FACE_OVAL, :2].min(axis=0) + self.landmarks[FACE_OVAL, :2].max(axis=0))
        half = ROOM * self.size
        if max(height, width) <= 2 * half * WHOLE:
            return slice(0, height), slice(0, width)
        left, right = np.clip([middle[0] - half, middle[0] + half], 0, width).astype(int)
        top, bottom = np.clip([middle[1] - half, middle[1] + half], 0, height).astype(int)
        if right - left < 2 or bottom - top < 2:  # the face is outside the picture
            return slice(0, height), slice(0, width)
        return slice(int(top), int(bottom)), slice(int(left), int(right))


def shrunk(rgb: RgbImage, longest: int) -> tuple[RgbImage, float]:
    """The picture with its longer side at most `longest` pixels, and by how much it was resized (<= 1)."""
    height, width = rgb.shape[:2]
    scale = min(1.0, longest / max(height, width))
    if scale == 1.0:
        return rgb, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)), scale
