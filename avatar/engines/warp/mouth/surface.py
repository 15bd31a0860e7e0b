"""The surface of a picture: how soft its edges are, and its grain, which what is painted into it must share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.mouth.frame import smooth
from avatar.engines.warp.mouth.light import BROW, CHEEK_LEFT, CHEEK_RIGHT, LUMA
from avatar.frames import FloatArray, RgbImage
from avatar.tracking.regions import EYES

SHARP_PX = 2.9  # width of the edges around the eyes of a sharp photograph, from dark to light at their steepest
SOFTEST_PX, SOFTEST_MM = 1.5, 0.5  # limits of the softening, as the sigma of a Gaussian
FINE = (0.015, 0.035)  # relative deviation of the calmest skin: of pores, which wet teeth do not have, and of paint
_PATCH = 0.07  # half a side of a patch of skin, in distances between the eyes' outer corners
_GRAIN = 0.025  # sigma of the high-pass filter, likewise


@dataclass(frozen=True, eq=False)
class Surface:
    """Softness and grain of a portrait."""

    softness_px: float  # sigma, pixels of the portrait
    grain: FloatArray  # (h, w) relative deviation of brightness, in pixels of the portrait; (0, 0): none

    def on(self, rgba: FloatArray, scale: float, mm_px: float) -> FloatArray:
        """Return a painted layer with this surface, (H, W, 4) in [0, 255].

        Args:
            rgba: (H, W, 4) in [0, 255].
            scale: its pixels per pixel of the portrait.
            mm_px: pixels of the portrait per millimetre.
        """
        height, width = rgba.shape[:2]
        sigma = min(self.softness_px, SOFTEST_MM * mm_px) * scale
        if sigma > 0:
            weight = rgba[..., 3:] / 255 + 1e-3
            blurred = cv2.GaussianBlur(np.concatenate([rgba[..., :3] * weight, weight], axis=2), (0, 0), sigma)
            rgba = np.concatenate([blurred[..., :3] / blurred[..., 3:], (blurred[..., 3:] - 1e-3) * 255], axis=2)
        if self.grain.size == 0:
            return rgba
        size = tuple(max(2, round(scale * side)) for side in self.grain.shape[::-1])
        tile = cv2.resize(self.grain, size, interpolation=cv2.INTER_LINEAR)
        tile = np.concatenate([tile, tile[:, ::-1]], axis=1)
        tile = np.concatenate([tile, tile[::-1]], axis=0)  # so that it repeats without a seam
        many = np.tile(tile, (-(-height // tile.shape[0]), -(-width // tile.shape[1])))[:height, :width]
        return np.asarray(np.concatenate([rgba[..., :3] * (1 + many[..., None]), rgba[..., 3:]], axis=2), np.float32)


def read_surface(rgb: RgbImage, landmarks: FloatArray) -> Surface:
    """Measure the surface of a portrait at its eyes and its skin.

    Args:
        rgb: (H, W, 3) uint8.
        landmarks: (478, 3) pixels.
    """
    height, width = rgb.shape[:2]
    span = float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))
    face = landmarks[:468, :2]
    low = np.clip(np.floor(face.min(axis=0)).astype(int), 0, [width - 2, height - 2])
    high = np.clip(np.ceil(face.max(axis=0)).astype(int) + 1, low + 2, [width, height])
    luma = (rgb[low[1] : high[1], low[0] : high[0]].astype(np.float32) @ LUMA).astype(np.float32)
    points = landmarks[:, :2] - low
    wide_px = float(np.median([_edge_px(luma, points[eye.contour]) for eye in EYES]))
    softness_px = float(np.sqrt(max(wide_px**2 - SHARP_PX**2, 0.0))) / np.sqrt(2 * np.pi)
    return Surface(min(softness_px, SOFTEST_PX), _grain(luma, points, span))


def _edge_px(luma: FloatArray, contour: FloatArray) -> float:
    """Return the width of the steepest edges inside the box of a contour (N, 2): contrast over slope, pixels."""
    height, width = luma.shape
    low = np.clip(np.floor(contour.min(axis=0)).astype(int), 0, [width - 2, height - 2])
    high = np.clip(np.ceil(contour.max(axis=0)).astype(int) + 1, low + 2, [width, height])
    part = np.ascontiguousarray(luma[low[1] : high[1], low[0] : high[0]])
    slope = np.hypot(cv2.Sobel(part, -1, 1, 0, scale=1 / 8), cv2.Sobel(part, -1, 0, 1, scale=1 / 8))
    contrast = float(np.subtract(*np.percentile(part, [95, 5])))
    return contrast / max(float(np.percentile(slope, 98)), 1e-3)


def _grain(luma: FloatArray, points: FloatArray, span: float) -> FloatArray:
    """Return the grain of the calmest patch of skin, (h, w), as far as it is coarser than a photograph's."""
    half, height, width = max(2, round(_PATCH * span)), *luma.shape
    fine = luma - cv2.GaussianBlur(luma, (0, 0), max(1.0, _GRAIN * span))
    found: list[tuple[float, FloatArray]] = []
    for group in (CHEEK_RIGHT, CHEEK_LEFT, BROW):
        x, y = np.rint(points[list(group)].mean(axis=0)).astype(int)
        part = slice(max(y - half, 0), min(y + half + 1, height)), slice(max(x - half, 0), min(x + half + 1, width))
        if luma[part].size >= 9:
            relative = fine[part] / max(float(luma[part].mean()), 1.0)
            found.append((float(relative.std()), relative))
    if not found:
        return np.zeros((0, 0), np.float32)
    deviation, relative = min(found, key=lambda each: each[0])
    weight = smooth((deviation - FINE[0]) / (FINE[1] - FINE[0]))
    if weight == 0:
        return np.zeros((0, 0), np.float32)
    return np.asarray(weight * np.clip(relative, -3 * deviation, 3 * deviation), np.float32)
