"""How an eyeball turns: where its iris may go and how it is foreshortened there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.engine.warp.eye_lids import Lids
from avatar.frames import FloatArray

_FULL_TURN = math.sin(math.radians(35))  # of the eyeball; further out the iris only creeps
_FREE = 0.75  # of the way there the iris goes where it is asked to


@dataclass(frozen=True, eq=False)
class EyeBall:
    """A sphere seen from afar, in pixels of the portrait; its iris is at the centre when it looks straight ahead."""

    centre: FloatArray  # (2,)
    radius_px: float
    reach_px: float  # how far from the centre the iris may be

    @staticmethod
    def of(lids: Lids, iris_radius_px: float) -> EyeBall:
        """An eyeball is 24 mm wide, its iris 12 mm, the opening about 30 mm: drawn irises may be larger."""
        width_px = lids.width_px
        radius_px = max(0.42 * width_px, 1.6 * iris_radius_px)
        reach_px = min(_FULL_TURN * radius_px, max(0.56 * width_px - iris_radius_px, 0.08 * width_px))
        return EyeBall(lids.origin + lids.axis * (width_px / 2), radius_px, reach_px)

    def foreshortening(self, iris: FloatArray) -> FloatArray:
        """(2, 2): how a disc at `iris` (2,) is squeezed towards the ball's centre, for it faces away there."""
        offset = iris - self.centre
        distance = float(np.hypot(*offset))
        tilt = min(distance / self.radius_px, 0.8)
        direction = offset / max(distance, 1e-6)
        return (np.eye(2) - (1 - math.sqrt(1 - tilt * tilt)) * np.outer(direction, direction)).astype(np.float32)

    def turn(self, own: FloatArray, wanted: FloatArray) -> FloatArray:
        """Where an iris (2,) at `own` in the portrait goes that is asked to go to `wanted`: there, or short of it."""
        return np.asarray(own + self._hold(wanted) - self._hold(own), np.float32)

    def _hold(self, iris: FloatArray) -> FloatArray:
        offset = iris - self.centre
        distance = max(float(np.hypot(*offset)) / self.reach_px, 1e-6)
        beyond = max(distance - _FREE, 0.0) / (1 - _FREE)
        held = min(distance, _FREE) + (1 - _FREE) * math.tanh(beyond)
        return np.asarray(self.centre + offset * (held / distance), np.float32)
