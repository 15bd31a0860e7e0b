"""The opening of an eye as two smooth curves between its corners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray
from avatar.tracking.regions import LEFT_EYE, RIGHT_EYE

Side = Literal["right", "left"]  # the person's own

SIDES: tuple[Side, Side] = ("right", "left")
TABLE = 64  # samples of each lid curve
EDGE = 0.012  # width of the opening's soft edge, in eye widths; at least a pixel

# From the corner at the left of an upright image to the one at its right; both corners belong to both lids.
UPPER_LID: dict[Side, tuple[int, ...]] = {
    "right": (RIGHT_EYE.outer, *RIGHT_EYE.upper, RIGHT_EYE.inner),
    "left": (LEFT_EYE.inner, *LEFT_EYE.upper[::-1], LEFT_EYE.outer),
}
LOWER_LID: dict[Side, tuple[int, ...]] = {
    "right": (RIGHT_EYE.outer, *RIGHT_EYE.lower, RIGHT_EYE.inner),
    "left": (LEFT_EYE.inner, *LEFT_EYE.lower[::-1], LEFT_EYE.outer),
}
IRIS_CENTRE: dict[Side, int] = {"right": RIGHT_EYE.iris, "left": LEFT_EYE.iris}
IRIS_RIM: dict[Side, tuple[int, ...]] = {"right": tuple(RIGHT_EYE.iris_rim), "left": tuple(LEFT_EYE.iris_rim)}


def _smooth_curve(points: int, samples: int) -> FloatArray:
    """Return the (samples, points) weights of a Catmull-Rom curve through points, whose ends continue straight on."""
    at = np.linspace(0, points - 1, samples)
    first = np.minimum(at.astype(int), points - 2)
    t = at - first
    weights = np.zeros((samples, points + 2))
    row = np.arange(samples)
    weights[row, first] = (-t + 2 * t**2 - t**3) / 2
    weights[row, first + 1] = (2 - 5 * t**2 + 3 * t**3) / 2
    weights[row, first + 2] = (t + 4 * t**2 - 3 * t**3) / 2
    weights[row, first + 3] = (-(t**2) + t**3) / 2
    inner = weights[:, 1:-1]
    inner[:, 0] += 2 * weights[:, 0]
    inner[:, 1] -= weights[:, 0]
    inner[:, -1] += 2 * weights[:, -1]
    inner[:, -2] -= weights[:, -1]
    return inner.astype(np.float32)


_CURVE = _smooth_curve(9, 3 * TABLE)
_STEPS = np.linspace(0, 1, TABLE, dtype=np.float32)
_RISE = np.linspace(0, 1e-4, 3 * TABLE, dtype=np.float32)  # np.interp needs increasing positions


@dataclass(frozen=True, eq=False)
class Places:
    """Coordinates of pixels relative to an eye's lids."""

    along: FloatArray  # (h, w), 0 at the left corner, 1 at the right one
    below_px: FloatArray  # (h, w), distance below the upper lid
    above_px: FloatArray  # (h, w), distance above the lower lid
    width_px: float  # of the eye, from corner to corner

    def depth(self) -> FloatArray:
        """Return the (h, w) fraction of the way from the upper lid (0) to the lower one (1), and beyond."""
        return np.asarray(self.below_px / np.maximum(self.below_px + self.above_px, 1e-3), np.float32)

    def inside(self) -> FloatArray:
        """Return (h, w) weights in [0, 1]: 1 between the lids, falling to 0 over about a pixel inside their edges."""
        edge_px = max(1.0, EDGE * self.width_px)
        return np.asarray(np.clip(np.minimum(self.below_px, self.above_px) / edge_px, 0, 1), np.float32)

    def outside_px(self) -> FloatArray:
        """Return the (h, w) distances beyond the lids or the corners; negative between them."""
        corner = np.maximum(-self.along, self.along - 1) * self.width_px
        return np.maximum(np.maximum(-self.below_px, -self.above_px), corner)


@dataclass(frozen=True, eq=False)
class Lids:
    """One eye's opening in its own frame.

    `along` runs from the left corner (0) to the right one (1), `across` downwards in pixels.
    """

    origin: FloatArray  # (2,) left corner, pixels
    axis: FloatArray  # (2,) unit vector from the left corner to the right one
    width_px: float  # from corner to corner
    upper: FloatArray  # (TABLE,) `across` of the upper lid, at `along` = 0 ... 1
    lower: FloatArray  # (TABLE,) `across` of the lower lid, never above the upper one

    @property
    def down(self) -> FloatArray:
        """(2,) unit vector across the eye, from the upper lid to the lower one."""
        return np.array([-self.axis[1], self.axis[0]], np.float32)

    def coordinates(self, points: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
        """Convert image points (..., 2) in pixels to `along` and `across`, each (...)."""
        offset = np.asarray(points, np.float32) - self.origin
        return np.asarray(offset @ self.axis / self.width_px, np.float32), np.asarray(offset @ self.down, np.float32)

    def at(self, along: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return `across` of the upper and of the lower lid at positions `along` (H, W); (H, W) each."""
        place = np.clip(along, 0, 1) * (TABLE - 1)
        zero = np.zeros_like(place)
        both = np.stack([self.upper, self.lower], axis=-1)[None]
        found = cv2.remap(both, place, zero, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return found[..., 0], found[..., 1]

    def points(self, along: FloatArray, across: FloatArray) -> FloatArray:
        """Convert coordinates (...) back to image points (..., 2) in pixels."""
        points = self.origin + along[..., None] * (self.width_px * self.axis) + across[..., None] * self.down
        return np.asarray(points, np.float32)

    def places(self, x: FloatArray, y: FloatArray) -> Places:
        """Compute the coordinates of the pixels at columns `x` (w,) and rows `y` (h,)."""
        dx, dy = x[None] - self.origin[0], y[:, None] - self.origin[1]
        along = (dx * self.axis[0] + dy * self.axis[1]) / np.float32(self.width_px)
        across = dy * self.axis[0] - dx * self.axis[1]
        upper, lower = self.at(along)
        return Places(along, across - upper, lower - across, self.width_px)

    def opening_px(self) -> FloatArray:
        """Return the (TABLE,) height of the opening at `along` = 0 ... 1."""
        return self.lower - self.upper


def read_lids(landmarks: FloatArray, side: Side) -> Lids:
    """Read one eye's opening from a face's landmarks (478, 2 or 3) in pixels."""
    upper, lower = landmarks[list(UPPER_LID[side]), :2], landmarks[list(LOWER_LID[side]), :2]
    across = upper[-1] - upper[0]
    width_px = max(float(np.hypot(*across)), 1e-3)
    axis = (across / width_px).astype(np.float32)
    frame = np.stack([axis / width_px, [-axis[1], axis[0]]], axis=1).astype(np.float32)  # (2, 2)
    upper_table, lower_table = _table((upper - upper[0]) @ frame), _table((lower - upper[0]) @ frame)
    middle = (upper_table + lower_table) / 2
    crossed = upper_table > lower_table  # noise of a closed eye, whose gap is 0 there
    return Lids(
        upper[0].astype(np.float32),
        axis,
        width_px,
        np.where(crossed, middle, upper_table),
        np.where(crossed, middle, lower_table),
    )


def _table(points: FloatArray) -> FloatArray:
    """Sample a lid (9, 2) of (along, across) to (TABLE,) `across`, straightened where it folds back at a corner."""
    curve = _CURVE @ points
    rising = np.maximum.accumulate(curve[:, 0]) + _RISE
    return np.asarray(np.interp(_STEPS, rising, curve[:, 1]), np.float32)
