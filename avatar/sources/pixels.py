"""Conversion of decoded frames to upright RGB pixels."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from avatar.frames import RgbImage
from avatar.sources.clip_colours import colour_notes, srgb_of

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True)
class Orientation:
    """A rotation by a multiple of 90 degrees with mirroring: swap the axes first, then flip."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, rgb: RgbImage) -> RgbImage:
        """Rotate (H, W, 3); the result is (W, H, 3) if the axes are swapped."""
        if self == Orientation():
            return rgb
        turned = rgb.transpose(1, 0, 2) if self.swap else rgb
        return np.ascontiguousarray(turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    @property
    def rotation_deg(self) -> int:
        """Counter-clockwise rotation, as in `VideoFrame.rotation`, which does not include mirroring."""
        if self.swap:
            return 90 if self.flip_y else -90
        return 180 if self.flip_x else 0


def orientation_of(matrix: tuple[int, ...]) -> Orientation:
    """Read a display matrix (ISO/IEC 14496-12, 6.2.2): nine numbers, x' = m0 x + m3 y, y' = m1 x + m4 y."""
    if abs(matrix[1]) > abs(matrix[0]):
        return Orientation(swap=True, flip_x=matrix[3] < 0, flip_y=matrix[1] < 0)
    return Orientation(flip_x=matrix[0] < 0, flip_y=matrix[4] < 0)


_TURNS = {
    0: Orientation(),
    90: Orientation(swap=True, flip_y=True),
    180: Orientation(flip_x=True, flip_y=True),
    270: Orientation(swap=True, flip_x=True),
}


class RgbConverter:
    """Converter of a clip's decoded frames to RGB; keeps swscale's tables between frames."""

    def __init__(
        self, first: VideoFrame, pixel_aspect: Fraction | None = None, orientation: Orientation | None = None
    ) -> None:
        """Create a converter; `orientation` is the container's, which includes mirroring."""
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self.notes = colour_notes(first)  # notes for the user
        self._orientation, self._pixel_aspect = orientation or Orientation(), pixel_aspect or Fraction(1)
        self.width_px, self.height_px = self._stored(first)[:: -1 if self._turn_of(first).swap else 1]

    def convert(self, frame: VideoFrame) -> RgbImage:
        """Convert a frame to (H, W, 3) uint8 by its own size and colours, which may change within a clip."""
        return self._turn_of(frame).apply(srgb_of(frame, self._reformatter, *self._stored(frame)))

    def _stored(self, frame: VideoFrame) -> tuple[int, int]:
        """Return width and height in square pixels, before rotation."""
        return _display_width(frame.width, self._pixel_aspect), frame.height

    def _turn_of(self, frame: VideoFrame) -> Orientation:
        """Return the rotation of the container, unless the frame has its own; avoids `side_data`, which can crash."""
        turn_deg = round(frame.rotation / 90) * 90
        if (turn_deg - self._orientation.rotation_deg) % 360 == 0:
            return self._orientation
        return _TURNS[turn_deg % 360]


def _display_width(stored_px: int, pixel_aspect: Fraction) -> int:
    """Return the width in square pixels: camcorders and DVDs store 720 columns for 4:3 and 16:9."""
    return round(stored_px * pixel_aspect) if Fraction(1, 4) <= pixel_aspect <= 4 else stored_px
