"""Scene-change detection between consecutive frames of a clip or a camera: a cut, or another frame size."""

from __future__ import annotations

import collections

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

SIDE = 32  # side of the compared thumbnails, pixels
CHANGED = 0.4  # difference above which the scene changed; frames of different scenes differ by 0.5 to 1.3
SUDDEN, SUDDEN_TIMES = 0.1, 6.0  # alternatively: above SUDDEN and SUDDEN_TIMES the largest recent difference
MEMORY = 8  # number of recent differences kept, in frames
CALM = 3  # frames after a change in which no other is reported: a flash is one change
LEAST_CONTRAST = 2.5  # standard deviation in grey levels below which an image is blank
_COARSE = 128  # pixels per side that are enough for a thumbnail


class SceneWatch:
    """Scene-change detector that compares normalised thumbnails, so that fades and lights are not reported."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next frame is no change."""
        self.blank = False  # the last frame is of one colour, such as black
        self._shape: tuple[int, ...] | None = None
        self._before: FloatArray | None = None
        self._differences: collections.deque[float] = collections.deque(maxlen=MEMORY)

    def changed(self, rgb: RgbImage) -> bool:
        """Return whether this (H, W, 3) frame shows another scene than the one before, or has another size."""
        now, before = _thumbnail(rgb), self._before
        resized, self._shape = self._shape not in (None, rgb.shape), rgb.shape
        self.blank = bool(np.linalg.norm(now) < LEAST_CONTRAST * SIDE)
        if self.blank:  # the next frame is compared with the last one that was not blank
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
    """Reduce an (H, W, 3) frame to (SIDE, SIDE) float32 grey levels with zero mean."""
    step = max(1, min(rgb.shape[:2]) // _COARSE)
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = small.mean(axis=2, dtype=np.float32)
    return np.asarray(grey - grey.mean(), np.float32)


def _difference(one: FloatArray, other: FloatArray) -> float:
    """Return 1 minus the correlation of two (SIDE, SIDE) thumbnails: 0 for equal images, about 1 for unrelated ones."""
    return 1 - float((one * other).sum()) / float(np.linalg.norm(one) * np.linalg.norm(other))
