"""Square crops of images for models, and blending of a crop back into its image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.images.box import Box
from avatar.tracking.face import Face


@dataclass(frozen=True, eq=False)
class Framing:
    """The upright square around a face that a model was trained on."""

    room: float  # its side over the longer side of the landmarks' extent
    rise: float = 0.0  # how far its centre lies above that extent's middle, over its side
    points: npt.NDArray[np.intp] | None = None  # the landmarks that count; None: all of the mesh
    as_is: tuple[float, float] = (0.0, 0.0)  # share of a square image that a face takes where all of it is used

    def extent(self, landmarks: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the corners (..., 2) of the extent of landmarks (..., 478, 2 or 3), in their pixels."""
        points = landmarks[..., :2] if self.points is None else landmarks[..., self.points, :2]
        return points.min(axis=-2), points.max(axis=-2)

    def square(self, landmarks: FloatArray) -> tuple[float, float, float]:
        """Return centre x and y and side, in pixels, of the square around landmarks (478, 2 or 3)."""
        low, high = self.extent(landmarks)
        side = self.room * float((high - low).max())
        x, y = ((low + high) / 2).tolist()
        return x, y - self.rise * side, side


FACE_MESH = Framing(1.7, as_is=(0.45, 0.75))  # what First Order Motion Models of faces are trained on


def whole(image: RgbImage) -> Box:
    """Return the box of a whole (H, W, 3) image: for bodies, cartoons and other subjects without a face."""
    return Box(0, 0, image.shape[1], image.shape[0])


def face_square(
    points: FloatArray, longest_px: float, width_px: int, height_px: int, framing: Framing = FACE_MESH
) -> Box:
    """Return the square around a face track, inside the image.

    Args:
        points: (M, 2) corners of the extents of all frames that share the square.
        longest_px: longer side of the largest extent among them.
        width_px, height_px: of the image.
        framing: what the model was trained on.
    """
    if width_px == height_px and framing.as_is[0] <= longest_px / width_px <= framing.as_is[1]:
        return Box(0, 0, width_px, height_px)
    side = max(1, min(round(framing.room * longest_px), width_px, height_px))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    left = int(np.clip(round(float(middle[0]) - side / 2), 0, width_px - side))
    top = int(np.clip(round(float(middle[1]) - (0.5 + framing.rise) * side), 0, height_px - side))
    return Box(left, top, side, side)


def square_of_face(face: Face, image: RgbImage, framing: Framing = FACE_MESH) -> Box:
    """Return the square around one face in an (H, W, 3) image."""
    return square_of_track([face.landmarks[None]], image.shape[1], image.shape[0], framing)


def square_of_track(
    landmarks: Iterable[FloatArray], width_px: int, height_px: int, framing: Framing = FACE_MESH
) -> Box:
    """Return one square for all faces of a clip: arrays of landmarks, each (478, 2 or 3) or of several faces."""
    low, high, longest_px = np.full(2, np.inf), np.full(2, -np.inf), 0.0
    for part in landmarks:
        lows, highs = (corners.reshape(-1, 2) for corners in framing.extent(part))
        low, high = np.minimum(low, lows.min(axis=0)), np.maximum(high, highs.max(axis=0))
        longest_px = max(longest_px, float((highs - lows).max()))
    return face_square(np.stack([low, high]).astype(np.float32), longest_px, width_px, height_px, framing)


def cut(image: RgbImage, box: Box, size: int) -> RgbImage:
    """Crop (H, W, 3) to a square box and resize it to (size, size, 3); a view where it has that size already."""
    return scaled(box.of(image), size, size)


def scaled(image: RgbImage, width_px: int, height_px: int) -> RgbImage:
    """Resize (H, W, 3) to (height_px, width_px, 3): by area averaging to a smaller size, bicubic to a larger one."""
    if image.shape[:2] == (height_px, width_px):
        return np.ascontiguousarray(image)
    shrinks = height_px * width_px < image.shape[0] * image.shape[1]
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width_px, height_px), interpolation=kernel))


def feather(box: Box, image: RgbImage, share: float = 0.07) -> FloatArray:
    """Compute the blending weights (h, w, 1) of a crop: 1 inside, falling to 0 at edges that lie inside the image.

    Args:
        box: the crop to put back.
        image: (H, W, 3), the image it is put into.
        share: width of the fade, over the crop's shorter side.
    """
    height, width = image.shape[:2]
    fade_px = max(1.0, share * min(box.width, box.height))
    across = _ramp(box.width, fade_px, box.left > 0, box.left + box.width < width)
    down = _ramp(box.height, fade_px, box.top > 0, box.top + box.height < height)
    return np.ascontiguousarray((down[:, None] * across)[..., None])


def _ramp(length: int, fade_px: float, fades_in: bool, fades_out: bool) -> FloatArray:
    """Return (length,) weights that fall to 0 at either end, if it fades."""
    place = np.arange(length, dtype=np.float32) + 0.5
    near = np.ones(length, np.float32)
    if fades_in:
        near = np.minimum(near, place / fade_px)
    if fades_out:
        near = np.minimum(near, (length - place) / fade_px)
    return np.asarray(near * near * (3 - 2 * near), np.float32)
