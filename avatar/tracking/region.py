"""Rotated square regions of a picture: what a network gets to see, and how its answers go back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

DETECTION_SCALE = 1.5  # the detector's box holds the face without forehead and chin
LANDMARK_SCALE = 1.5
_SMOOTH_SHRINK = 2.0  # bilinear sampling alone aliases when it shrinks by more
MIN_TILE_PX = 128  # a smaller tile would show the detector nothing that a larger one does not
MAX_TILES = 256
_WARP_LIMIT = 32_000  # OpenCV's warp refuses pictures with a side of 32767 pixels or more


@dataclass(frozen=True)
class Region:
    """A rotated rectangle in a picture; pixels, 0 = centre of the first pixel."""

    x: float  # centre
    y: float
    width: float
    height: float
    angle_rad: float  # clockwise as seen in the picture

    def matrix(self, size: int) -> npt.NDArray[np.float64]:
        """(2, 3) affine from pixels of the `size` x `size` crop to pixels of the picture."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        sx, sy = self.width / size, self.height / size
        linear = np.array([[cos * sx, -sin * sy], [sin * sx, cos * sy]])
        offset = np.array([self.x, self.y]) - linear @ (size / 2, size / 2)
        return np.hstack([linear, offset[:, None]])

    def touches(self, width_px: int, height_px: int) -> bool:
        """Whether the centre lies in a picture of this size, give or take half the region."""
        reach = max(self.width, self.height) / 2
        return -reach < self.x < width_px + reach and -reach < self.y < height_px + reach

    def surroundings(self, times: float) -> Region:
        """An upright square round the same centre, `times` as wide."""
        side = max(self.width, self.height) * times
        return Region(self.x, self.y, side, side, 0.0)

    def crop(self, rgb: RgbImage, size: int, *, border: int = cv2.BORDER_REPLICATE) -> RgbImage:
        """Sample the region as a (size, size, 3) picture; outside the picture `border` decides."""
        matrix = self.matrix(size)
        shrink = max(1, int(max(self.width, self.height) / (size * _SMOOTH_SHRINK)))
        if shrink > 1 or max(rgb.shape) > _WARP_LIMIT:
            rgb, matrix = _shrunk(rgb, matrix, size, shrink)
        return np.asarray(
            cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)
        )

    def to_picture(self, points: FloatArray, size: int) -> FloatArray:
        """Carry (N, 2 or 3) points from crop pixels to the picture; depth is scaled by the region's width."""
        matrix = self.matrix(size).astype(np.float32)
        out = np.empty_like(points)
        out[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        if points.shape[1] == 3:
            out[:, 2] = points[:, 2] * np.float32(self.width / size)
        return out


def _shrunk(
    rgb: RgbImage, matrix: npt.NDArray[np.float64], size: int, shrink: int
) -> tuple[RgbImage, npt.NDArray[np.float64]]:
    """Average blocks of `shrink` x `shrink` pixels over the part of the picture that the crop looks at."""
    corners = matrix @ np.array([[0, size, 0, size], [0, 0, size, size], [1, 1, 1, 1]], np.float64)
    height, width = rgb.shape[:2]
    left, top = (np.floor(corners.min(axis=1)).astype(int) - shrink).clip(0, (width - 1, height - 1)).tolist()
    right, bottom = (np.ceil(corners.max(axis=1)).astype(int) + shrink + 1).clip((1, 1), (width, height)).tolist()
    part = rgb[top : max(bottom, top + 1), left : max(right, left + 1)]
    target = (max(1, round(part.shape[1] / shrink)), max(1, round(part.shape[0] / shrink)))
    small = np.asarray(cv2.resize(part, target, interpolation=cv2.INTER_AREA))
    ratio = np.array([target[0] / part.shape[1], target[1] / part.shape[0]])
    moved = matrix.copy()
    # Pixel centres: u_small + 0.5 = ratio * (u - origin + 0.5).
    moved[:, 2] = ratio * (moved[:, 2] - (left, top) + 0.5) - 0.5
    moved[:, :2] *= ratio[:, None]
    return small, moved


def letterbox(width_px: int, height_px: int) -> Region:
    """The smallest upright square region that holds a whole picture, centred on it."""
    side = float(max(width_px, height_px))
    return Region(width_px / 2, height_px / 2, side, side, 0.0)


def tiles(width_px: int, height_px: int, parts: int) -> list[Region]:
    """Upright squares, half overlapping, that together cover a picture: for faces too small to be seen in the whole.

    Args:
        parts: how many of them, side by side, are as long as the longer side of the picture.
    Returns:
        The squares; none if they would be too small or too many to be worth looking at.
    """
    side = max(width_px, height_px) / parts
    columns, rows = _stops(width_px, side), _stops(height_px, side)
    if side < MIN_TILE_PX or len(columns) * len(rows) > MAX_TILES:
        return []
    return [Region(x, y, side, side, 0.0) for y in rows for x in columns]


def _stops(length: int, side: float) -> list[float]:
    """Centres of squares of `side`, at most half a side apart, that cover `length`."""
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [float(centre) for centre in np.linspace(side / 2, length - side / 2, count)]


def from_box(box: FloatArray, eye: FloatArray, other_eye: FloatArray, scale: float) -> Region:
    """Region round a detector's box (left, top, right, bottom), level with the line from `eye` to `other_eye`."""
    left, top, right, bottom = (float(value) for value in box)
    return Region(
        (left + right) / 2, (top + bottom) / 2, (right - left) * scale, (bottom - top) * scale, _angle(eye, other_eye)
    )


def from_landmarks(landmarks: FloatArray) -> Region:
    """Square region round (478, 3) landmarks, level with the outer corners of the eyes, for the next frame."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    x, y = (low + high) / 2
    side = float((high - low).max()) * LANDMARK_SCALE
    return Region(float(x), float(y), side, side, _angle(landmarks[33], landmarks[263]))


def _angle(start: FloatArray, end: FloatArray) -> float:
    return math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))
