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


def orientation_of(matrix: tuple[int, ...]) -> Orientation:
    """Read a display matrix (ISO/IEC 14496-12, 6.2.2): nine numbers, x' = m0 x + m3 y, y' = m1 x + m4 y."""
    if abs(matrix[1]) > abs(matrix[0]):
        return Orientation(swap=True, flip_x=matrix[3] < 0, flip_y=matrix[1] < 0)
    return Orientation(flip_x=matrix[0] < 0, flip_y=matrix[4] < 0)


class RgbConverter:
    """Turns one clip's decoded frames into RGB of one size; keeps swscale's tables from frame to frame."""

    def __init__(self, first: VideoFrame, pixel_aspect: Fraction | None = None) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self.notes = colour_notes(first)  # sentences the user should read
        self._orientation = _orientation_of_frame(first)
        self._stored = (_display_width(first.width, pixel_aspect or Fraction(1)), first.height)
        self.width_px, self.height_px = self._stored[:: -1 if self._orientation.swap else 1]

    def convert(self, frame: VideoFrame) -> RgbImage:
        """(H, W, 3) uint8 of the clip's size, also where this frame's own size or colours differ."""
        return self._orientation.apply(srgb_of(frame, self._reformatter, *self._stored))


def _orientation_of_frame(frame: VideoFrame) -> Orientation:
    from av.sidedata.sidedata import Type

    if Type.DISPLAYMATRIX not in frame.side_data:
        return Orientation()
    matrix = np.frombuffer(bytes(frame.side_data[Type.DISPLAYMATRIX]), np.int32)
    return orientation_of(tuple(int(value) for value in matrix[:9]))


def _display_width(stored_px: int, pixel_aspect: Fraction) -> int:
    """Width in square pixels: camcorders and DVDs store 720 columns for pictures 4:3 or 16:9 wide."""
    return round(stored_px * pixel_aspect) if Fraction(1, 4) <= pixel_aspect <= 4 else stored_px
