"""Rotation of an eyeball: the range of its iris, and the iris's foreshortening."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from avatar.engines.warp.eye.lids import Lids
from avatar.frames import FloatArray

_FULL_TURN = math.sin(math.radians(35))  # limit of the iris's offset, in radii of the eyeball: a turn by 35 degrees
_FREE = 0.75  # fraction of the limit up to which the iris follows the gaze exactly


@dataclass(frozen=True, eq=False)
class EyeBall:
    """An eyeball under orthographic projection, in pixels of the portrait; its iris is at `centre` at zero gaze."""

    centre: FloatArray  # (2,)
    radius_px: float
    reach_px: float  # maximum distance of the iris from the centre

    @staticmethod
    def of(lids: Lids, iris_radius_px: float) -> EyeBall:
        """Create the eyeball of an eye.

        An eyeball is 24 mm wide, its iris 12 mm and the opening about 30 mm. Drawn irises may be larger, which enlarges
        the ball.
        """
        width_px = lids.width_px
        radius_px = max(0.42 * width_px, 1.6 * iris_radius_px)
        reach_px = min(_FULL_TURN * radius_px, max(0.56 * width_px - iris_radius_px, 0.08 * width_px))
        return EyeBall(lids.origin + lids.axis * (width_px / 2), radius_px, reach_px)

    def foreshortening(self, iris: FloatArray) -> FloatArray:
        """Return the (2, 2) map that foreshortens a disc at `iris` (2,) along the direction to the ball's centre."""
        offset = iris - self.centre
        distance = float(np.hypot(*offset))
        tilt = min(distance / self.radius_px, 0.8)
        direction = offset / max(distance, 1e-6)
        return (np.eye(2) - (1 - math.sqrt(1 - tilt * tilt)) * np.outer(direction, direction)).astype(np.float32)

    def turn(self, own: FloatArray, wanted: FloatArray) -> FloatArray:
        """Compute the position of the iris for a gaze, within its range.

        Args:
            own: (2,) position of the iris in the portrait, pixels.
            wanted: (2,) position asked for.
        Returns:
            (2,) float32; `own` where `wanted` equals `own`.
        """
        return np.asarray(own + self._hold(wanted) - self._hold(own), np.float32)

    def _hold(self, iris: FloatArray) -> FloatArray:
        """Soft-limit the distance of an iris (2,), in pixels, from the centre; (2,) float32."""
        offset = iris - self.centre
        distance = max(float(np.hypot(*offset)) / self.reach_px, 1e-6)
        beyond = max(distance - _FREE, 0.0) / (1 - _FREE)
        held = min(distance, _FREE) + (1 - _FREE) * math.tanh(beyond)
        return np.asarray(self.centre + offset * (held / distance), np.float32)
