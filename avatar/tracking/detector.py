"""The face detector: boxes with six keypoints from a small single-shot network.

Bazarevsky et al. 2019 (BlazeFace): anchors of one fixed size on a 16 x 16 and an 8 x 8 grid (section 3.3), and
overlapping answers blended by their scores instead of dropped (section 3.4), which keeps boxes from jittering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.networks import DETECTOR_SIZE, Network
from avatar.tracking.region import DETECTION_SCALE, Region, from_box

MIN_SCORE = 0.5
SAME_FACE_IOU = 0.3
_GRIDS = ((16, 2), (8, 6))  # cells per side, anchors per cell
_RIGHT_EYE, _LEFT_EYE = 0, 1  # the person's own right eye is on the left of the picture


@dataclass(frozen=True, eq=False)
class Detection:
    """One face found; pixels of the picture."""

    box: FloatArray  # (4,): left, top, right, bottom
    keypoints: FloatArray  # (6, 2): right eye, left eye, nose tip, mouth, right ear, left ear
    score: float  # [0, 1]

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    def region(self) -> Region:
        """What the landmark network should look at."""
        return from_box(self.box, self.keypoints[_RIGHT_EYE], self.keypoints[_LEFT_EYE], DETECTION_SCALE)


class FaceDetector:
    """Finds faces in whole pictures."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._anchors = _anchors()

    def detect(self, rgb: RgbImage, regions: Sequence[Region], min_score: float = MIN_SCORE) -> list[Detection]:
        """Find the faces in upright square regions of a picture, largest first."""
        if not regions:
            return []
        parts = [self._look(rgb, region, min_score) for region in regions]
        found = np.concatenate([points for points, _ in parts])
        scores = np.concatenate([part for _, part in parts])
        blends = blend_overlapping(found, scores)
        faces = [Detection(points[:4], points[4:].reshape(-1, 2), score) for points, score in blends]
        return sorted(faces, key=lambda detection: detection.area, reverse=True)

    def _look(self, rgb: RgbImage, region: Region, min_score: float) -> tuple[FloatArray, FloatArray]:
        """Corners and keypoints (N, 16) in pixels of the picture and scores (N,) of what looks like a face."""
        crop = region.crop(rgb, DETECTOR_SIZE, border=cv2.BORDER_CONSTANT)
        values = crop[None].astype(np.float32)
        values *= np.float32(1 / 127.5)
        values -= np.float32(1)
        raw, logits = self._network.run(values)
        scores = _sigmoid(logits.reshape(-1))
        likely = np.flatnonzero(scores >= min_score)
        points = _decode(raw.reshape(-1, 16)[likely], self._anchors[likely])
        return region.to_picture(points.reshape(-1, 2), DETECTOR_SIZE).reshape(-1, 16), scores[likely]


def blend_overlapping(found: FloatArray, scores: FloatArray) -> list[tuple[FloatArray, float]]:
    """Weighted non-maximum suppression: each group that overlaps its best member becomes its score-weighted mean.

    Args:
        found: (N, 16): left, top, right, bottom, then six (x, y).
        scores: (N,) in [0, 1].
    Returns:
        The (16,) blends with the best score of their group, best first.
    """
    order = np.argsort(-scores)
    blends: list[tuple[FloatArray, float]] = []
    while order.size:
        best = order[0]
        same = _iou(found[best, :4], found[order, :4]) > SAME_FACE_IOU
        same[0] = True  # an empty box overlaps nothing, not even itself
        group = order[same]
        weights = scores[group] / scores[group].sum()
        blends.append((weights @ found[group], float(scores[best])))
        order = order[~same]
    return blends


def _anchors() -> FloatArray:
    """(896, 2) anchor centres in pixels of the detector's input."""
    parts = []
    for cells, per_cell in _GRIDS:
        centres = (np.arange(cells, dtype=np.float32) + 0.5) * (DETECTOR_SIZE / cells)
        grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(grid, per_cell, axis=0))
    return np.concatenate(parts).astype(np.float32)


def _decode(raw: FloatArray, anchors: FloatArray) -> FloatArray:
    """Turn (N, 16) offsets from anchors into (N, 16) corners and keypoints, pixels of the detector's input."""
    points = raw.reshape(-1, 8, 2).copy()  # centre, size, six keypoints
    points[:, 0] += anchors
    points[:, 2:] += anchors[:, None]
    centre, half = points[:, 0].copy(), points[:, 1] / 2
    points[:, 0], points[:, 1] = centre - half, centre + half
    return points.reshape(-1, 16)


def _iou(box: FloatArray, boxes: FloatArray) -> FloatArray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    union = float((box[2:] - box[:2]).clip(0).prod()) + areas - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-logits.clip(-80, 80))), np.float32)
