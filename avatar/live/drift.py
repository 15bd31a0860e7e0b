"""Drift detection: the driver has moved away from the pose of the reference frame and stays there."""

from __future__ import annotations

import math

import numpy as np

from avatar.frames import FloatArray
from avatar.motion.head import pose_difference
from avatar.tracking.face import Face

FAR = np.array([14.0, 14.0, 14.0, 0.6, 0.6, math.log(1.3)])  # yaw, pitch, roll (degrees), shifts (head sizes), growth
LONG_S = 8.0
NEAR = 0.7  # fraction of FAR; after a return within it, another hint may be given
_MEMORY_S = 2.0  # time constant of the average, which ignores short glances


class Drift:
    """Drift detector for one driver and one reference frame."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again, for a new reference frame."""
        self._mean: FloatArray | None = None
        self._seen_s = 0.0
        self._far_since_s: float | None = None
        self._told = False

    def far_for_long(self, reference: Face, face: Face, now_s: float) -> bool:
        """Return True once each time the driver has been away for LONG_S."""
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
