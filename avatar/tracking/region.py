"""Rotated square regions of an image: cropping for a network, and mapping its output back to image pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

DETECTION_SCALE = 1.5  # the detector's box leaves out forehead and chin
LANDMARK_SCALE = 1.5
_SMOOTH_SHRINK = 2.0  # bilinear sampling alone aliases beyond this downscaling factor
MIN_TILE_PX = 128  # the detector's input size; smaller tiles add no detail
MAX_TILES = 256
_WARP_LIMIT = 32_000  # OpenCV's warp refuses images with a side of 32767 pixels or more


@dataclass(frozen=True)
class Region:
    """A rotated rectangle in an image; pixels, 0 = centre of the first pixel."""

    x: float  # centre
    y: float
    width: float
    height: float
    angle_rad: float  # clockwise as seen in the image

    def matrix(self, size: int) -> npt.NDArray[np.float64]:
        """Return the (2, 3) affine map from pixels of the `size` x `size` crop to image pixels."""
        cos, sin = math.cos(self.angle_rad), math.sin(self.angle_rad)
        sx, sy = self.width / size, self.height / size
        linear = np.array([[cos * sx, -sin * sy], [sin * sx, cos * sy]])
        offset = np.array([self.x, self.y]) - linear @ (size / 2, size / 2)
        return np.hstack([linear, offset[:, None]])

    def touches(self, width_px: int, height_px: int) -> bool:
        """Return whether the centre lies within half the region's size of an image of this size."""
        reach = max(self.width, self.height) / 2
        return -reach < self.x < width_px + reach and -reach < self.y < height_px + reach

    def surroundings(self, times: float) -> Region:
        """Return an upright square around the same centre, `times` as wide."""
        side = max(self.width, self.height) * times
        return Region(self.x, self.y, side, side, 0.0)

    def crop(self, rgb: RgbImage, size: int, *, border: int = cv2.BORDER_REPLICATE) -> RgbImage:
        """Sample the region of an (H, W, 3) image as a (size, size, 3) image; `border`: an OpenCV border mode."""
        matrix = self.matrix(size)
        shrink = max(1, int(max(self.width, self.height) / (size * _SMOOTH_SHRINK)))
        if shrink > 1 or max(rgb.shape) > _WARP_LIMIT:
            rgb, matrix = _shrunk(rgb, matrix, size, shrink)
        return np.asarray(
            cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)
        )

    def to_image(self, points: FloatArray, size: int) -> FloatArray:
        """Map (N, 2) or (N, 3) points from crop pixels to image pixels; depth is scaled by the region's width."""
        matrix = self.matrix(size).astype(np.float32)
        out = np.empty_like(points)
        out[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        if points.shape[1] == 3:
            out[:, 2] = points[:, 2] * np.float32(self.width / size)
        return out


def _shrunk(
    rgb: RgbImage, matrix: npt.NDArray[np.float64], size: int, shrink: int
) -> tuple[RgbImage, npt.NDArray[np.float64]]:
    """Average blocks of `shrink` x `shrink` pixels over the part of the image that the crop covers.

    Args:
        rgb: (H, W, 3) uint8.
        matrix: (2, 3), as `Region.matrix`.
    Returns:
        The (h, w, 3) downscaled part and the (2, 3) matrix that refers to it.
    """
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
    """Return the smallest upright square region that holds a whole image, centred on it."""
    side = float(max(width_px, height_px))
    return Region(width_px / 2, height_px / 2, side, side, 0.0)


def tiles(width_px: int, height_px: int, parts: int) -> list[Region]:
    """Cover an image with half-overlapping upright squares, to find faces too small for a pass over the whole.

    Args:
        parts: longer side of the image over the side of a square.
    Returns:
        The squares; none if they would be smaller than MIN_TILE_PX or more than MAX_TILES.
    """
    side = max(width_px, height_px) / parts
    columns, rows = _stops(width_px, side), _stops(height_px, side)
    if side < MIN_TILE_PX or len(columns) * len(rows) > MAX_TILES:
        return []
    return [Region(x, y, side, side, 0.0) for y in rows for x in columns]


def _stops(length: int, side: float) -> list[float]:
    """Return the centres of squares of `side`, at most half a side apart, that cover `length`."""
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [float(centre) for centre in np.linspace(side / 2, length - side / 2, count)]


def from_box(box: FloatArray, eye: FloatArray, other_eye: FloatArray, scale: float) -> Region:
    """Return the region around a detector's box, aligned with the line between the eyes.

    Args:
        box: (4,) left, top, right, bottom.
        eye, other_eye: (2,).
        scale: size of the region over that of the box.
    """
    left, top, right, bottom = (float(value) for value in box)
    return Region(
        (left + right) / 2, (top + bottom) / 2, (right - left) * scale, (bottom - top) * scale, _angle(eye, other_eye)
    )


def from_landmarks(landmarks: FloatArray) -> Region:
    """Return the square region around (478, 3) landmarks, aligned with the outer eye corners, for the next frame."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    x, y = (low + high) / 2
    side = float((high - low).max()) * LANDMARK_SCALE
    return Region(float(x), float(y), side, side, _angle(landmarks[33], landmarks[263]))


def _angle(start: FloatArray, end: FloatArray) -> float:
    """Return the angle of the line between two (2,) or (3,) points in the image plane, in radians."""
    return math.atan2(float(end[1] - start[1]), float(end[0] - start[0]))
