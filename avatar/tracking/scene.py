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
LEAST_CONTRAST = 2.5  # levels; a picture with less shows nothing
_COARSE = 128  # pixels per side are enough to make a thumbnail of


class SceneWatch:
    """Compares each picture with the one before. Lights that go on and fades change no scene: contrast counts."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next picture is no change."""
        self.blank = False  # the last picture is black, or all white
        self._shape: tuple[int, ...] | None = None
        self._before: FloatArray | None = None
        self._differences: collections.deque[float] = collections.deque(maxlen=MEMORY)

    def changed(self, rgb: RgbImage) -> bool:
        """Say whether this picture (H, W, 3) shows another scene than the one before, or has another size."""
        now, before = _thumbnail(rgb), self._before
        resized, self._shape = self._shape not in (None, rgb.shape), rgb.shape
        self.blank = bool(np.linalg.norm(now) < LEAST_CONTRAST * SIDE)
        if self.blank:  # what follows is compared with what was before
            return resized
        self._before = now
        if before is None:
            return resized
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
    return 1 - float((one * other).sum()) / float(np.linalg.norm(one) * np.linalg.norm(other))
