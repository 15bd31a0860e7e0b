"""Notices when the driver has moved away from where the reference frame saw them, and stays away."""

from __future__ import annotations

import math

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.head import pose_difference
from avatar.tracking.face import Face

FAR = np.array([14.0, 14.0, 14.0, 0.6, 0.6, math.log(1.3)])  # yaw, pitch, roll (degrees), shifts (head sizes), growth
LONG_S = 8.0
NEAR = 0.7  # of FAR: back within this, a hint may be given again
_MEMORY_S = 2.0  # a glance aside is averaged away


class Drift:
    """One driver against one reference frame."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """There is a new reference frame."""
        self._mean: FloatArray | None = None
        self._seen_s = 0.0
        self._far_since_s: float | None = None
        self._told = False

    def far_for_long(self, reference: Face, face: Face, now_s: float) -> bool:
        """Whether this is the moment to say so: once per time that the driver moves away."""
        difference = pose_difference(reference.pose, face.pose)
        if self._mean is None:
            self._mean = difference
        else:
            elapsed_s = max(now_s - self._seen_s, 0.0)
            self._mean = self._mean + np.float32(1 - math.exp(-elapsed_s / _MEMORY_S)) * (difference - self._mean)
        self._seen_s = now_s
        away = float((np.abs(self._mean) / FAR).max())
        if away < 1:
            self._far_since_s = None
            self._told = self._told and away > NEAR
            return False
        if self._far_since_s is None:
            self._far_since_s = now_s
        if self._told or now_s - self._far_since_s < LONG_S:
            return False
        self._told = True
        return True
