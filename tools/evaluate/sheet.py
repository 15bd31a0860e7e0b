"""Contact sheets: a row of the driver's most expressive frames above a row of the animated portrait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.images.load import save_png
from avatar.motion.track import MotionTrack
from avatar.offline.evaluate import Evaluation
from avatar.offline.evaluate_motion import channel_series

COLUMNS = 8
TILE_PX = 240
AROUND = 2.1  # side of a tile in face heights
_TEXT_PX = 18
# Extremes to look for, the most important first: (label, channel, 1 = maximum, -1 = minimum).
_EXTREMES = (
    ("jaw", "jawOpen", 1), ("blink", "blink", 1), ("right", "yaw", 1), ("left", "yaw", -1), ("smile", "smile", 1),
    ("pucker", "mouthPucker", 1), ("up", "pitch", 1), ("down", "pitch", -1), ("brows", "brows", 1), ("tilt", "roll", 1),
    ("look", "gaze_x", 1), ("frown", "brows", -1),
)  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """One frame for the sheet."""

    index: int
    label: str


def pick_moments(track: MotionTrack) -> tuple[Moment, ...]:
    """Choose the frames at the extremes of the driver's channels, then evenly spread ones, in order of time.

    Returns at most COLUMNS frames, none close to another.
    """
    series, seen = channel_series(track), track.presence > 0
    extremes = ((int(np.argmax(np.where(seen, sign * series[of], -np.inf))), label) for label, of, sign in _EXTREMES)
    spread = ((int(index), "") for index in np.linspace(0, len(track) - 1, 2 * COLUMNS))
    apart = len(track) // (3 * COLUMNS)
    found: list[Moment] = []
    for index, label in (*extremes, *spread):
        if len(found) < COLUMNS and all(abs(index - other.index) > apart for other in found):
            found.append(Moment(index, label))
    return tuple(sorted(found, key=lambda moment: moment.index))


class Sheet:
    """Collector of the tiles of one pair while it is animated."""

    def __init__(
        self, moments: Sequence[Moment], driving: Mapping[int, RgbImage], portrait: RgbImage, landmarks: FloatArray
    ) -> None:
        """Create a sheet from the chosen frames, the driver's tiles (none for a template) and the portrait."""
        self._moments, self._driving = moments, driving
        self._portrait, self._landmarks = portrait, landmarks
        self._wanted = {moment.index for moment in moments}
        self._drawn: dict[int, RgbImage] = {}

    def add(self, index: int, rgb: RgbImage) -> None:
        """Keep a drawn frame if it belongs on the sheet."""
        if index in self._wanted:
            scale = rgb.shape[1] / self._portrait.shape[1]
            self._drawn[index] = tile(rgb, self._landmarks * scale)

    def save(self, path: Path, reference: RgbImage | None, evaluation: Evaluation) -> None:
        """Write the sheet as PNG; on its left the reference frame (a tile) over the portrait. Raises: OutputError."""
        empty = np.full((TILE_PX, TILE_PX, 3), 24, np.uint8)
        driver = [self._driving.get(moment.index, empty) for moment in self._moments]
        drawn = [self._drawn.get(moment.index, empty) for moment in self._moments]
        labels = [f"{moment.index} {moment.label}" for moment in self._moments]
        first = _labelled(empty if reference is None else reference, "reference")
        top = np.hstack([first, *map(_labelled, driver, labels)])
        below = np.hstack([tile(self._portrait, self._landmarks), *drawn])
        save_png(path, np.vstack([top, below, _caption(top.shape[1], evaluation)]))


def tile(rgb: RgbImage, landmarks: FloatArray) -> RgbImage:
    """Crop a square around the head: (TILE_PX, TILE_PX, 3).

    Args:
        rgb: (H, W, 3) uint8.
        landmarks: (478, 3), or (T, 478, 3) for a square around all T faces.
    """
    points = landmarks[..., :2].reshape(-1, 2)
    low, high = np.quantile(points, 0.02, axis=0), np.quantile(points, 0.98, axis=0)
    side = AROUND * float((high - low).max())
    centre = (low + high) / 2
    scale = TILE_PX / side
    matrix = np.array([[scale, 0, TILE_PX / 2 - scale * centre[0]], [0, scale, TILE_PX / 2 - scale * centre[1]]])
    kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(rgb, matrix, (TILE_PX, TILE_PX), flags=kernel, borderValue=(24, 24, 24)))


def _labelled(tile: RgbImage, text: str) -> RgbImage:  # (H, W, 3) uint8, a copy
    marked = tile.copy()
    _write(marked, text, 4, 14)
    return marked


def _caption(width_px: int, evaluation: Evaluation) -> RgbImage:  # (_TEXT_PX, width_px, 3) uint8
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


def _write(rgb: RgbImage, text: str, x: int, y: int) -> None:  # (H, W, 3) uint8, in place
    cv2.putText(rgb, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 235, 120), 1, cv2.LINE_AA)
