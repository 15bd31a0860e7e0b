"""Picture sizes and rates that a Linux camera offers, from <linux/videodev2.h>, without any package."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatar.system.v4l2 import ioctl

USUAL_SIZES = ((320, 240), (640, 360), (640, 480), (960, 540), (1280, 720), (1920, 1080), (2560, 1440), (3840, 2160))
USUAL_RATES = (15, 24, 25, 30, 50, 60)
MOST = 64  # entries of a list, so that a driver that never ends one cannot hold us up

_ENUM_FMT, _ENUM_FRAMESIZES, _ENUM_FRAMEINTERVALS = 0xC0405602, 0xC02C564A, 0xC034564B
_CAPTURE, _CAPTURE_MPLANE = 1, 9  # V4L2_BUF_TYPE_VIDEO_CAPTURE and _MPLANE
_DISCRETE = 1  # V4L2_FRMSIZE_TYPE_DISCRETE and V4L2_FRMIVAL_TYPE_DISCRETE; others are ranges


@dataclass(frozen=True)
class CameraMode:
    """A picture size with the rates at which a camera delivers it."""

    width_px: int
    height_px: int
    rates: tuple[int, ...]  # frames per second, ascending; empty: unknown

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.width_px, self.height_px


def camera_modes(path: Path) -> tuple[CameraMode, ...]:
    """Return what a camera offers, smallest first; of a range, the usual sizes and rates in it; empty if unknown."""
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return ()
    try:
        rates: dict[tuple[int, int], set[int]] = {}
        for pixels in _formats(device):
            for size in _sizes(device, pixels):
                rates.setdefault(size, set()).update(_rates(device, pixels, size))
    finally:
        os.close(device)
    return tuple(CameraMode(*size, tuple(sorted(rates[size]))) for size in sorted(rates))


def _formats(device: int) -> Iterator[bytes]:
    for kind in (_CAPTURE, _CAPTURE_MPLANE):
        for answer in _entries(device, _ENUM_FMT, 64, (kind,)):
            yield answer[44:48]


def _sizes(device: int, pixels: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sizes of a pixel format as (width, height)."""
    for answer in _entries(device, _ENUM_FRAMESIZES, 44, struct.unpack("=I", pixels)):
        kind, *numbers = struct.unpack_from("=7I", answer, 8)
        if kind == _DISCRETE:
            yield numbers[0], numbers[1]
            continue
        least_width, most_width, _, least_height, most_height, _ = numbers
        for width, height in USUAL_SIZES:
            if least_width <= width <= most_width and least_height <= height <= most_height:
                yield width, height
        return


def _rates(device: int, pixels: bytes, size: tuple[int, int]) -> Iterator[int]:
    """Yield the frames per second of a size, rounded: 29.97 is 30."""
    for answer in _entries(device, _ENUM_FRAMEINTERVALS, 52, (*struct.unpack("=I", pixels), *size)):
        kind, *numbers = struct.unpack_from("=7I", answer, 16)
        if kind == _DISCRETE:
            yield from _per_second(numbers[:2])
            continue
        shortest, longest = numbers[0] / max(numbers[1], 1), numbers[2] / max(numbers[3], 1)  # intervals in seconds
        yield from (rate for rate in USUAL_RATES if shortest <= 1 / rate <= longest)
        return


def _per_second(interval: Sequence[int]) -> Iterator[int]:
    """Yield the rate of an interval (numerator, denominator) in seconds, unless it is impossible."""
    numerator, denominator = interval
    if numerator and 1 <= (rate := round(denominator / numerator)) <= 240:
        yield rate


def _entries(device: int, request: int, length: int, given: Sequence[int]) -> Iterator[bytes]:
    """Yield the entries of a driver's list, whose records begin with an index and some given numbers."""
    for index in range(MOST):
        answer = bytearray(length)
        struct.pack_into(f"={1 + len(given)}I", answer, 0, index, *given)
        try:
            ioctl(device, request, answer)
        except OSError:
            return
        yield bytes(answer)
