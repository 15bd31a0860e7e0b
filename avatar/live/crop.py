"""Which square of the camera's picture engines get that work on pictures."""

from __future__ import annotations

import math

from avatar.engine.fomm.crop import ROOM
from avatar.portrait_crop import Box
from avatar.settings import CropSettings
from avatar.tracking.face import Face

SLACK = 0.05  # of the side: a face may move this far before the square follows
FOLLOW_S = 0.7  # how slowly it follows: what it takes back, the portrait does not show
RESCALE = 1.4  # a face this much larger or smaller than when the scale was locked ...
RESCALE_S = 2.0  # ... for so long gets a new scale
SMALLEST_PX = 32


class DrivingCrop:
    """Follows the face with a square of locked size, or stays where it is put."""

    def __init__(self, settings: CropSettings) -> None:
        self.settings = settings
        self._size = (0, 0)  # of the picture that the rest belongs to
        self._centre: tuple[float, float] | None = None
        self._side = 0.0
        self._time_s = 0.0
        self._odd_since_s: float | None = None

    def change(self, settings: CropSettings) -> None:
        """Take other settings; the scale is locked afresh when the automatic crop is switched on."""
        if settings.auto and not self.settings.auto:
            self._centre = None
        self.settings = settings

    def start_afresh(self) -> None:
        """After a cut: the next face sets place and scale."""
        self._centre = None

    def box(self, face: Face | None, width_px: int, height_px: int, time_s: float) -> Box:
        """The square for a picture of this size.

        Args:
            face: the driver's; None leaves the square where it is.
            time_s: of the picture, never earlier than the last time.
        """
        if self._size != (width_px, height_px):
            self._size, self._centre = (width_px, height_px), None
        if not self.settings.auto:
            return self._by_hand(width_px, height_px)
        if face is not None and not (self.settings.frozen and self._centre is not None):
            self._follow(face, time_s)
        if self._centre is None:
            side = min(width_px, height_px)
            return _square(width_px / 2, height_px / 2, side, width_px, height_px)
        return _square(*self._centre, self._side, width_px, height_px)

    def _follow(self, face: Face, time_s: float) -> None:
        low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
        side = ROOM * float((high - low).max())
        x, y = (float(value) for value in (low + high) / 2)
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
        """Whether the face has had quite another size than the locked one for long."""
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
    """A square of whole pixels around a point, moved and shrunk into the picture."""
    whole = int(min(max(side, SMALLEST_PX), width_px, height_px))
    left = min(max(round(x - whole / 2), 0), width_px - whole)
    top = min(max(round(y - whole / 2), 0), height_px - whole)
    return Box(left, top, whole, whole)
