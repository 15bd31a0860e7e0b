"""Which square of a picture the model sees, and how that square is brought to its size and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.portrait_crop import Box
from avatar.tracking.face import Face

ROOM = 1.7  # side of the square over the longer side of the face mesh: what face models are trained on
AS_IS = (0.45, 0.75)  # share of a square picture that its face may take to be used as it is


def whole(picture: RgbImage) -> Box:
    """All of a picture: for bodies, cartoons, and whatever else has no face to go by."""
    return Box(0, 0, picture.shape[1], picture.shape[0])


def face_square(points: FloatArray, longest_px: float, width_px: int, height_px: int) -> Box:
    """The square around a face track, inside the picture.

    Args:
        points: (M, 2) landmarks of all frames that share the square.
        longest_px: longer side of the largest face among them.
        width_px, height_px: of the picture.
    """
    if width_px == height_px and AS_IS[0] <= longest_px / width_px <= AS_IS[1]:
        return Box(0, 0, width_px, height_px)
    side = max(1, min(round(ROOM * longest_px), width_px, height_px))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    left = int(np.clip(round(float(middle[0]) - side / 2), 0, width_px - side))
    top = int(np.clip(round(float(middle[1]) - side / 2), 0, height_px - side))
    return Box(left, top, side, side)


def square_of_face(face: Face, picture: RgbImage) -> Box:
    """The square around one face."""
    points = face.landmarks[:, :2]
    return face_square(points, float(np.ptp(points, axis=0).max()), picture.shape[1], picture.shape[0])


def square_of_track(landmarks: Iterable[FloatArray], width_px: int, height_px: int) -> Box:
    """Return one square for all faces of a clip: arrays of landmarks, each (M, 2 or 3) or of several faces."""
    low, high, longest_px = np.full(2, np.inf), np.full(2, -np.inf), 0.0
    for part in landmarks:
        points = part[..., :2]
        low = np.minimum(low, points.reshape(-1, 2).min(axis=0))
        high = np.maximum(high, points.reshape(-1, 2).max(axis=0))
        longest_px = max(longest_px, float(np.ptp(points, axis=-2).max()))
    return face_square(np.stack([low, high]).astype(np.float32), longest_px, width_px, height_px)


def cut(picture: RgbImage, box: Box, size: int) -> RgbImage:
    """The part of a picture that a box covers, as (size, size, 3). The same pixels where it has that size already."""
    return scaled(box.of(picture), size, size)


def scaled(picture: RgbImage, width_px: int, height_px: int) -> RgbImage:
    """A picture of another size: averaged where it gets smaller, cubic where it gets larger."""
    if picture.shape[:2] == (height_px, width_px):
        return np.ascontiguousarray(picture)
    shrinks = height_px * width_px < picture.shape[0] * picture.shape[1]
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=kernel))


def feather(box: Box, picture: RgbImage, share: float = 0.07) -> FloatArray:
    """How much of each pixel in the box is new, (h, w, 1): less towards edges that lie inside the picture.

    Args:
        box: the part that is put back.
        picture: where.
        share: of the box's shorter side, over which it fades.
    """
    height, width = picture.shape[:2]
    fade_px = max(1.0, share * min(box.width, box.height))
    across = _ramp(box.width, fade_px, box.left > 0, box.left + box.width < width)
    down = _ramp(box.height, fade_px, box.top > 0, box.top + box.height < height)
    return np.ascontiguousarray((down[:, None] * across)[..., None])


def _ramp(length: int, fade_px: float, fades_in: bool, fades_out: bool) -> FloatArray:
    place = np.arange(length, dtype=np.float32) + 0.5
    near = np.ones(length, np.float32)
    if fades_in:
        near = np.minimum(near, place / fade_px)
    if fades_out:
        near = np.minimum(near, (length - place) / fade_px)
    return np.asarray(near * near * (3 - 2 * near), np.float32)
