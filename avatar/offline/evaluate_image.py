"""Image quality of an animation: sharpness of the face, and stillness of everything except the head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.tracking import canonical_face
from avatar.tracking.face import Face
from avatar.tracking.regions import FACE_OVAL

FACE_SIDE_PX = 192  # faces are compared at this size
HEAD_SHARE = 1.9  # size of the head with its hair over that of the face's hull
COMPARED_SIDE_PX = 512  # longer side at which backgrounds are compared
SAME_SHAPE = 0.02  # images whose aspect ratios differ by more are not comparable

Mask = npt.NDArray[np.uint8]  # (H, W), 0 or 255


class ImageMeter:
    """Comparison of an animation's frames with the portrait, one at a time, so that none has to be kept."""

    def __init__(self, source: RgbImage, face: Face) -> None:
        self._source, self._face = source, face
        self._source_detail: float | None = None  # detail of the portrait at the size of the frames
        self._details: list[float] = []
        self._changes: list[float] = []
        self._small: tuple[RgbImage, Mask] | None = None  # the portrait at the compared size, and the hull of its head

    def add(self, rgb: RgbImage, face: Face | None) -> None:
        """Add an (H, W, 3) uint8 frame of the result; a frame without a face is ignored."""
        if face is None:
            return
        if self._source_detail is None:
            self._source_detail = self._portrait_detail(rgb)
        self._details.append(face_detail(rgb, face))
        change = self._background_change(rgb, face)
        if change is not None:
            self._changes.append(change)

    @property
    def sharpness(self) -> float | None:
        """Median detail of the result's face over the portrait's; 1 = equally sharp.

        A result of another size is compared with the portrait scaled to that size.
        """
        if not self._details or not self._source_detail:
            return None
        return float(np.median(self._details)) / self._source_detail

    @property
    def background_change(self) -> float | None:
        """Mean absolute change of the pixels outside the head over all frames, [0, 255].

        Neck and shoulders count as background here. None: the result's aspect ratio is not the portrait's.
        """
        return float(np.mean(self._changes)) if self._changes else None

    def _is_of_portrait_shape(self, rgb: RgbImage) -> bool:
        """Return whether an (H, W, 3) frame has the portrait's aspect ratio."""
        height, width = rgb.shape[:2]
        source_height, source_width = self._source.shape[:2]
        return bool(abs(width / height / (source_width / source_height) - 1) <= SAME_SHAPE)

    def _portrait_detail(self, rgb: RgbImage) -> float:
        """Compute the detail of the portrait's face at the size of an (H, W, 3) frame."""
        if not self._is_of_portrait_shape(rgb):
            return face_detail(self._source, self._face)
        scale = rgb.shape[1] / self._source.shape[1]
        pose = replace(self._face.pose, scale_px=self._face.pose.scale_px * scale)
        face = replace(self._face, landmarks=(self._face.landmarks + 0.5) * scale - 0.5, pose=pose)
        return face_detail(_resize(self._source, (rgb.shape[1], rgb.shape[0])), face)

    def _background_change(self, rgb: RgbImage, face: Face) -> float | None:
        """Compute the mean change outside the head for an (H, W, 3) frame; None if there is nothing to compare."""
        if not self._is_of_portrait_shape(rgb):
            return None
        height, width = rgb.shape[:2]
        source_width = self._source.shape[1]
        scale = min(1.0, COMPARED_SIDE_PX / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if self._small is None:
            source = _resize(self._source, size)
            self._small = source, _head(self._face, size, size[0] / source_width)
        source, hull = self._small
        outside = cv2.bitwise_or(hull, _head(face, size, size[0] / width)) == 0
        if not outside.any():
            return None
        return float(np.abs(_resize(rgb, size).astype(np.int16) - source)[outside].mean())


def face_detail(rgb: RgbImage, face: Face) -> float:
    """Compute the mean absolute Laplacian, in grey levels, within a face scaled to a fixed size; (H, W, 3) uint8."""
    outline = face.landmarks[FACE_OVAL, :2]
    canonical = canonical_face().points[FACE_OVAL, 1]
    side = 1.1 * float(np.ptp(canonical)) * face.pose.scale_px  # independent of the head's rotation
    corner = (outline.min(axis=0) + outline.max(axis=0)) / 2 - side / 2
    left, top, whole = round(float(corner[0])), round(float(corner[1])), max(2, round(side))
    crop = _crop(rgb, left, top, whole)
    grey = cv2.cvtColor(_resize(crop, (FACE_SIDE_PX, FACE_SIDE_PX)), cv2.COLOR_RGB2GRAY)
    inside = np.zeros((FACE_SIDE_PX, FACE_SIDE_PX), np.uint8)
    points = (outline - np.array([left, top])) * (FACE_SIDE_PX / whole)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(points).astype(np.int32)), 255)
    if not inside.any():
        return 0.0
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[inside > 0].mean())


def _head(face: Face, size: tuple[int, int], scale: float) -> Mask:
    """Return the (h, w) mask of the head's hull in an image of `size` (w, h), for a face scaled by `scale`."""
    points = face.landmarks[:, :2] * scale
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    hull = cv2.convexHull(np.rint((points - centre) * HEAD_SHARE + centre).astype(np.int32))
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(mask, hull, 255)
    return mask


def _crop(rgb: RgbImage, left: int, top: int, side: int) -> RgbImage:
    """Crop (H, W, 3) to (side, side, 3), replicating the border outside the image."""
    height, width = rgb.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return rgb[rows[:, None], columns]


def _resize(rgb: RgbImage, size: tuple[int, int]) -> RgbImage:
    """Resize (H, W, 3) to `size` (width, height)."""
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb
    shrinks = rgb.shape[1] > size[0]
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
