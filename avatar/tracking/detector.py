"""The face detector: boxes with six keypoints from a small single-shot network.

Bazarevsky et al. 2019 (BlazeFace): anchors of one fixed size on a 16 x 16 and an 8 x 8 grid (section 3.3), and
overlapping detections blended by their scores instead of suppressed (section 3.4), which keeps boxes from jittering.
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
_RIGHT_EYE, _LEFT_EYE = 0, 1  # the person's own right eye is on the left of the image


@dataclass(frozen=True, eq=False)
class Detection:
    """One detected face, in image pixels."""

    box: FloatArray  # (4,): left, top, right, bottom
    keypoints: FloatArray  # (6, 2): right eye, left eye, nose tip, mouth, right ear, left ear
    score: float  # [0, 1]

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    def region(self) -> Region:
        """Return the region to crop for the landmark network."""
        return from_box(self.box, self.keypoints[_RIGHT_EYE], self.keypoints[_LEFT_EYE], DETECTION_SCALE)


class FaceDetector:
    """Face detector for whole images."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._anchors = _anchors()

    def detect(self, rgb: RgbImage, regions: Sequence[Region], min_score: float = MIN_SCORE) -> list[Detection]:
        """Find the faces in upright square regions of an image, largest first.

        Args:
            rgb: (H, W, 3) uint8 RGB.
            regions: parts of the image to run the network on.
            min_score: detections below this score, in [0, 1], are dropped.
        """
        if not regions:
            return []
        parts = [self._look(rgb, region, min_score) for region in regions]
        found = np.concatenate([points for points, _ in parts])
        scores = np.concatenate([part for _, part in parts])
        blends = blend_overlapping(found, scores)
        faces = [Detection(points[:4], points[4:].reshape(-1, 2), score) for points, score in blends]
        return sorted(faces, key=lambda detection: detection.area, reverse=True)

    def _look(self, rgb: RgbImage, region: Region, min_score: float) -> tuple[FloatArray, FloatArray]:
        """Run the network on one region of an (H, W, 3) uint8 image.

        Returns:
            (N, 16) corners and keypoints in image pixels, and (N,) scores in [0, 1].
        """
        crop = region.crop(rgb, DETECTOR_SIZE, border=cv2.BORDER_CONSTANT)
        values = crop[None].astype(np.float32)
        values *= np.float32(1 / 127.5)
        values -= np.float32(1)
        raw, logits = self._network.run(values)
        scores = _sigmoid(logits.reshape(-1))
        likely = np.flatnonzero(scores >= min_score)
        points = _decode(raw.reshape(-1, 16)[likely], self._anchors[likely])
        return region.to_image(points.reshape(-1, 2), DETECTOR_SIZE).reshape(-1, 16), scores[likely]


def blend_overlapping(found: FloatArray, scores: FloatArray) -> list[tuple[FloatArray, float]]:
    """Apply weighted non-maximum suppression: replace each group of overlapping boxes by its score-weighted mean.

    Args:
        found: (N, 16) float32: left, top, right, bottom, then six (x, y).
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
    """Return (896, 2) float32 anchor centres in pixels of the detector's input."""
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
    """Return the (N,) intersection over union of a (4,) box with (N, 4) boxes: left, top, right, bottom."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    union = float((box[2:] - box[:2]).clip(0).prod()) + areas - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)


def _sigmoid(logits: FloatArray) -> FloatArray:
    """Map (N,) logits to (N,) scores in [0, 1]."""
    return np.asarray(1 / (1 + np.exp(-logits.clip(-80, 80))), np.float32)
