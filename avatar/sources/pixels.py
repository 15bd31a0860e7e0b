"""From a decoder's frame to upright RGB pixels."""

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
    """A turn by a multiple of 90 degrees and mirroring: swap the axes first, then flip."""

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    def apply(self, rgb: RgbImage) -> RgbImage:
        """Turn an (H, W, 3) picture; the result is (W, H, 3) where the axes swap."""
        if self == Orientation():
            return rgb
        turned = rgb.transpose(1, 0, 2) if self.swap else rgb
        return np.ascontiguousarray(turned[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])

    @property
    def rotation_deg(self) -> int:
        """The turn that FFmpeg reads off it, which is all that `VideoFrame.rotation` says: counter-clockwise."""
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
    """Turns one clip's decoded frames into RGB; keeps swscale's tables from frame to frame."""

    def __init__(
        self, first: VideoFrame, pixel_aspect: Fraction | None = None, orientation: Orientation | None = None
    ) -> None:
        """Get ready; `orientation` is the container's, which knows of mirroring."""
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self.notes = colour_notes(first)  # sentences the user should read
        self._orientation, self._pixel_aspect = orientation or Orientation(), pixel_aspect or Fraction(1)
        self.width_px, self.height_px = self._stored(first)[:: -1 if self._turn_of(first).swap else 1]

    def convert(self, frame: VideoFrame) -> RgbImage:
        """Return (H, W, 3) uint8 of the frame's own size and colours, which may change within a clip."""
        return self._turn_of(frame).apply(srgb_of(frame, self._reformatter, *self._stored(frame)))

    def _stored(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height in square pixels, before it is turned."""
        return _display_width(frame.width, self._pixel_aspect), frame.height

    def _turn_of(self, frame: VideoFrame) -> Orientation:
        """The container's word, unless the frame has its own; never by `side_data`, which can end the process."""
        turn_deg = round(frame.rotation / 90) * 90
        if (turn_deg - self._orientation.rotation_deg) % 360 == 0:
            return self._orientation
        return _TURNS[turn_deg % 360]


def _display_width(stored_px: int, pixel_aspect: Fraction) -> int:
    """Width in square pixels: camcorders and DVDs store 720 columns for pictures 4:3 or 16:9 wide."""
    return round(stored_px * pixel_aspect) if Fraction(1, 4) <= pixel_aspect <= 4 else stored_px
