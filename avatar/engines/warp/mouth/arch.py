"""The two rows of teeth as curved strips in space: size, position in the head, and projection.

Lengths are millimetres of an average adult (outer eye corners 90 mm apart). The frame of the arches: x to the right
of the image, y down, z into the head; its origin is the middle of the upper incisors' edge, on their front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray

EYE_SPAN_MM = 90.0  # distance between the outer corners of the eyes
MOUTH_SPAN_MM = 50.0  # distance between the corners of a resting mouth
HINGE = np.array([0.0, -40.0, 85.0], np.float32)  # position of the jaw's hinge
RISE = 0.1  # of the plane in which the rows meet, towards the back
OVERBITE_MM, OVERJET_MM = 1.5, 2.5  # position of the lower incisors above and behind the upper edge, jaw closed


@dataclass(frozen=True)
class ArchShape:
    """One row of teeth: from above, half an ellipse. Lengths in millimetres."""

    half_width: float
    depth: float
    setback: float  # distance behind the upper incisors
    widths: tuple[float, ...]  # width of each tooth, from the middle outwards
    heights: tuple[float, ...]  # height of each visible crown
    edges: tuple[float, ...]  # distance of each edge from the incisors' edge

    @property
    def half_span(self) -> float:
        """Length of half the row."""
        return float(sum(self.widths))


UPPER = ArchShape(
    half_width=27.0,
    depth=36.0,
    setback=0.0,
    widths=(9.3, 7.2, 8.2, 7.6, 7.2, 10.3),
    heights=(11.4, 9.9, 10.8, 9.4, 8.6, 8.0),
    edges=(0.0, 0.5, 0.1, 0.6, 1.0, 1.4),
)
LOWER = ArchShape(
    half_width=25.0,
    depth=34.0,
    setback=OVERJET_MM,
    widths=(5.3, 5.8, 6.8, 7.0, 7.0, 10.0),
    heights=(8.6, 8.8, 9.2, 8.0, 7.4, 6.8),
    edges=(0.0, 0.1, 0.0, -0.3, -0.8, -1.2),
)

_ANGLES = np.radians(np.linspace(-78, 78, 157)).astype(np.float32)


def arch_points(shape: ArchShape) -> tuple[FloatArray, FloatArray]:
    """Sample points along the front of a row, in the plane of its incisors' edge.

    Returns:
        (N,) length along the row from its middle, negative at the left of the image, and (N, 3) positions, in mm.
    """
    x = shape.half_width * np.sin(_ANGLES)
    z = shape.depth * (1 - np.cos(_ANGLES)) + shape.setback
    along = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    y = -RISE * (z - shape.setback)
    return (along - along[len(along) // 2]).astype(np.float32), np.stack([x, y, z], axis=1)


def about_hinge(points: FloatArray, drop_mm: float) -> FloatArray:
    """Rotate (N, 3) points of the lower jaw about its hinge, so that its incisors drop by `drop_mm`."""
    arm, rest = float(np.hypot(HINGE[1], HINGE[2])), float(np.arctan2(-HINGE[1], HINGE[2]))
    angle = np.arcsin(np.clip((drop_mm - HINGE[1]) / arm, -0.95, 0.95)) - rest
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32)
    return np.asarray((points - HINGE) @ turn.T + HINGE, np.float32)


@dataclass(frozen=True, eq=False)
class ArchView:
    """Projection of a row of teeth: for each column of the mouth's frame, the tooth and the height of its edge.

    The mouth's frame: `across` and `down` in pixels from the upper incisors' edge, down along the skull's vertical.
    """

    across: FloatArray  # (M,) increasing; beyond its ends the row occludes itself
    along: FloatArray  # (M,) mm along the row
    down: FloatArray  # (M,) height of the row's edge line
    px_per_mm: float  # scale along `down`

    @staticmethod
    def of(along: FloatArray, points: FloatArray, to_mouth: FloatArray) -> ArchView:
        """Project (N, 3) points at lengths `along` (N,) by `to_mouth` (2, 3), from mm to pixels of the mouth."""
        across, down = to_mouth @ points.T
        middle = len(across) // 2
        falls_right = np.flatnonzero(np.diff(across[middle:]) <= 1e-4)
        falls_left = np.flatnonzero(np.diff(across[: middle + 1])[::-1] <= 1e-4)
        stop = middle + 1 + (int(falls_right[0]) if len(falls_right) else len(across) - 1 - middle)
        start = middle - (int(falls_left[0]) if len(falls_left) else middle)
        seen = slice(start, stop)
        return ArchView(across[seen], along[seen], down[seen], float(to_mouth[1, 1]))

    def columns(self, across: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lengths along the row in mm, +-1000 beyond its ends, and heights of the edge; (W,) each."""
        along = np.interp(across, self.across, self.along, left=-1e3, right=1e3)
        return along.astype(np.float32), np.interp(across, self.across, self.down).astype(np.float32)
