"""The square crop of the camera frame that is fed to image-driven engines."""

from __future__ import annotations

import math

import numpy as np

from avatar.engines.crop import FACE_MESH, Framing
from avatar.images.box import Box
from avatar.settings import CropSettings
from avatar.tracking.face import Face
from avatar.tracking.smoothing import OneEuroFilter

SLACK = 0.05  # movement of the face, over the side of the square, before the square follows
FOLLOW_S = 0.7  # time constant of the following; motion that the square follows is lost to the portrait
RESCALE = 1.4  # a face larger or smaller than at locking time by this factor ...
RESCALE_S = 2.0  # ... for this long gets a new scale
SMALLEST_PX = 32
CALM = (0.7, 20.0)  # One-Euro filter of the measured square, in sides: cut-off at rest in Hz, and its slope


class DrivingCrop:
    """A square crop of locked size that follows the face, or a manual crop."""

    def __init__(self, settings: CropSettings) -> None:
        self.settings = settings
        self._size = (0, 0)  # frame size to which the following attributes refer
        self._centre: tuple[float, float] | None = None
        self._side = 0.0
        self._time_s = 0.0
        self._odd_since_s: float | None = None
        self._framing = FACE_MESH
        self._calm = OneEuroFilter(*CALM)

    def change(self, settings: CropSettings) -> None:
        """Apply new settings; switching the automatic crop on locks the scale again."""
        if settings.auto and not self.settings.auto:
            self._centre = None
        self.settings = settings

    def start_afresh(self) -> None:
        """Lock position and scale again at the next face, as after a cut."""
        self._centre = None

    def box(self, face: Face | None, width_px: int, height_px: int, time_s: float, framing: Framing = FACE_MESH) -> Box:
        """Return the square for a frame of this size.

        Args:
            face: the driver's face; None leaves the square where it is.
            width_px, height_px: size of the frame.
            time_s: time of the frame, non-decreasing.
            framing: what the engine's model was trained on; a different one restarts it.
        """
        if (self._size, self._framing) != ((width_px, height_px), framing):
            self._size, self._framing, self._centre = (width_px, height_px), framing, None
        if not self.settings.auto:
            return self._by_hand(width_px, height_px)
        if face is not None and not (self.settings.frozen and self._centre is not None):
            self._follow(face, time_s)
        if self._centre is None:
            side = min(width_px, height_px)
            return _square(width_px / 2, height_px / 2, side, width_px, height_px)
        return _square(*self._centre, self._side, width_px, height_px)

    def _follow(self, face: Face, time_s: float) -> None:
        measured = np.array(self._framing.square(face.landmarks), np.float32)
        if self._centre is None:
            self._calm.reset()
        x, y, side = self._calm.filter(measured, time_s, unit=max(float(measured[2]), 1.0)).tolist()
        elapsed_s, self._time_s = max(time_s - self._time_s, 0.0), time_s
        if self._centre is None or self._is_odd(side, time_s):
            self._centre, self._side = (x, y), side
            return
        across, down = x - self._centre[0], y - self._centre[1]
        away = math.hypot(across, down)
        beyond = away - SLACK * self._side
        if beyond > 0:
            step = (1 - math.exp(-elapsed_s / FOLLOW_S)) * beyond / away
            self._centre = (self._centre[0] + step * across, self._centre[1] + step * down)

    def _is_odd(self, side: float, time_s: float) -> bool:
        """Return whether the face has differed in size from the locked one for RESCALE_S."""
        if 1 / RESCALE < side / max(self._side, 1.0) < RESCALE:
            self._odd_since_s = None
        elif self._odd_since_s is None:
            self._odd_since_s = time_s
        elif time_s - self._odd_since_s >= RESCALE_S:
            self._odd_since_s = None
            return True
        return False

    def _by_hand(self, width_px: int, height_px: int) -> Box:
        side = min(width_px, height_px) / self.settings.zoom
        x = width_px / 2 + self.settings.pan_x * (width_px - side) / 2
        y = height_px / 2 + self.settings.pan_y * (height_px - side) / 2
        return _square(x, y, side, width_px, height_px)


def _square(x: float, y: float, side: float, width_px: int, height_px: int) -> Box:
    """Return a square of whole pixels around a point, moved and shrunk to fit into the frame."""
    whole = int(min(max(side, SMALLEST_PX), width_px, height_px))
    left = min(max(round(x - whole / 2), 0), width_px - whole)
    top = min(max(round(y - whole / 2), 0), height_px - whole)
    return Box(left, top, whole, whole)
