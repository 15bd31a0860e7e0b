"""Contact sheets: a row of the driver's telling moments over a row of what the portrait makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.evaluate import Evaluation
from avatar.evaluate_motion import channel_series
from avatar.frames import RgbImage
from avatar.images import save_png
from avatar.motion.track import MotionTrack

COLUMNS = 8
TILE_PX = 240
_TEXT_PX = 18
# Moments looked for, the most telling first: (label, channel, 1 = where it is largest, -1 = smallest).
_EXTREMES = (
    ("jaw", "jawOpen", 1), ("blink", "blink", 1), ("right", "yaw", 1), ("left", "yaw", -1), ("smile", "smile", 1),
    ("pucker", "mouthPucker", 1), ("up", "pitch", 1), ("down", "pitch", -1), ("brows", "brows", 1), ("tilt", "roll", 1),
    ("look", "gaze_x", 1), ("frown", "brows", -1),
)  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """One frame worth looking at."""

    index: int
    label: str


def pick_moments(track: MotionTrack) -> tuple[Moment, ...]:
    """The frames in which the driver's channels are at their extremes, in order of time; at most COLUMNS."""
    series, seen = channel_series(track), track.presence > 0
    found: dict[int, str] = {}
    for label, channel, sign in _EXTREMES:
        index = int(np.argmax(np.where(seen, sign * series[channel], -np.inf)))
        if len(found) < COLUMNS and index not in found:
            found[index] = label
    return tuple(Moment(index, found[index]) for index in sorted(found))


class Sheet:
    """Collects the tiles of one pair while it is animated."""

    def __init__(self, moments: Sequence[Moment], driving: Mapping[int, RgbImage]) -> None:
        """Take the moments and the driver's pictures at them; a motion template has none."""
        self._moments, self._driving = moments, driving
        self._wanted = {moment.index for moment in moments}
        self._drawn: dict[int, RgbImage] = {}

    @staticmethod
    def thumbnail(rgb: RgbImage) -> RgbImage:
        """The whole picture in a square tile, (TILE_PX, TILE_PX, 3)."""
        scale = TILE_PX / max(rgb.shape[:2])
        width, height = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        tile = np.full((TILE_PX, TILE_PX, 3), 24, np.uint8)
        top, left = (TILE_PX - height) // 2, (TILE_PX - width) // 2
        tile[top : top + height, left : left + width] = small
        return tile

    def add(self, index: int, rgb: RgbImage) -> None:
        """Keep a drawn frame if it belongs on the sheet."""
        if index in self._wanted:
            self._drawn[index] = self.thumbnail(rgb)

    def save(self, path: Path, portrait: RgbImage, reference: int, evaluation: Evaluation) -> None:
        """Write the sheet as PNG. Raises: OutputError."""
        empty = np.full((TILE_PX, TILE_PX, 3), 24, np.uint8)
        driver = [self._driving.get(moment.index, empty) for moment in self._moments]
        drawn = [self._drawn.get(moment.index, empty) for moment in self._moments]
        labels = [f"{moment.index} {moment.label}" for moment in self._moments]
        top = np.hstack([_labelled(empty, f"reference {reference}"), *map(_labelled, driver, labels)])
        below = np.hstack([self.thumbnail(portrait), *drawn])
        save_png(path, np.vstack([top, below, _caption(top.shape[1], evaluation)]))


def _labelled(tile: RgbImage, text: str) -> RgbImage:
    marked = tile.copy()
    _write(marked, text, 4, 14)
    return marked


def _caption(width_px: int, evaluation: Evaluation) -> RgbImage:
    strip = np.full((_TEXT_PX, width_px, 3), 24, np.uint8)
    words = [
        f"{name} {channel.correlation:.2f} x{channel.gain:.2f}"
        for name, channel in evaluation.channels.items()
        if channel.correlation is not None and channel.gain is not None
    ]
    if evaluation.sharpness is not None:
        words.append(f"sharp {evaluation.sharpness:.2f}")
    _write(strip, "   ".join([*words, f"lost {evaluation.frames_lost}"]), 4, 13)
    return strip


def _write(rgb: RgbImage, text: str, x: int, y: int) -> None:
    cv2.putText(rgb, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 235, 120), 1, cv2.LINE_AA)
