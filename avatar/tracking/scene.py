"""Notices that a clip or a camera shows another picture from one frame to the next: a cut, or another size."""

from __future__ import annotations

import collections

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

SIDE = 32  # of the thumbnails that are compared
CHANGED = 0.4  # of their contrast: frames of different scenes differ by 0.5 to 1.3
SUDDEN, SUDDEN_TIMES = 0.1, 6.0  # or this much, and that many times what the frames before differed by
MEMORY = 8  # frames
CALM = 3  # frames after a change in which there is no other: a flash is one change
_NOISE = 4.0  # levels; contrast below this is none
_COARSE = 128  # pixels per side are enough to make a thumbnail of


class SceneWatch:
    """Compares each picture with the one before. Lights that go on and fades change no scene: contrast counts."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next picture is no change."""
        self._shape: tuple[int, ...] | None = None
        self._before: FloatArray | None = None
        self._differences: collections.deque[float] = collections.deque(maxlen=MEMORY)

    def changed(self, rgb: RgbImage) -> bool:
        """Whether this picture (H, W, 3) shows another scene than the one before, or has another size."""
        now = _thumbnail(rgb)
        before, shape = self._before, self._shape
        self._before, self._shape = now, rgb.shape
        if before is None:
            return False
        resized = shape != rgb.shape
        difference = _difference(before, now)
        known = self._differences
        usual = max(known, default=0.0)
        settled = len(known) >= CALM
        known.append(difference)
        sudden = difference > SUDDEN and difference > SUDDEN_TIMES * usual
        if resized or (settled and (difference > CHANGED or sudden)):
            known.clear()
            return True
        return False


def _thumbnail(rgb: RgbImage) -> FloatArray:
    """(SIDE, SIDE) greys around their mean."""
    step = max(1, min(rgb.shape[:2]) // _COARSE)
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = small.mean(axis=2, dtype=np.float32)
    return np.asarray(grey - grey.mean(), np.float32)


def _difference(one: FloatArray, other: FloatArray) -> float:
    """0 for the same picture, whatever its brightness and contrast; about 1 for two that have nothing in common."""
    first, second, least = float(np.linalg.norm(one)), float(np.linalg.norm(other)), SIDE * _NOISE
    if min(first, second) > 2 * least:
        return 1 - float((one * other).sum()) / (first * second)
    return float(np.square(one - other).sum()) / (first**2 + second**2 + least**2)
