"""Letterboxing: an image scaled to fit into another shape without distortion."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.frames import RgbImage
from avatar.images.box import Box


def inner_box(size: tuple[int, int], canvas: tuple[int, int]) -> Box:
    """Return the part of a canvas that an image covers; both sizes are (width, height)."""
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return Box((canvas[0] - width) // 2, (canvas[1] - height) // 2, width, height)


def letterboxed(rgb: RgbImage, width_px: int, height_px: int) -> RgbImage:
    """Fit an (H, W, 3) image into another size, with black bars; the same array if it has that size."""
    rows, columns = rgb.shape[:2]
    if (columns, rows) == (width_px, height_px):
        return rgb
    box = inner_box((columns, rows), (width_px, height_px))
    kernel = cv2.INTER_AREA if box.width < columns else cv2.INTER_LINEAR
    inner = np.asarray(cv2.resize(rgb, (box.width, box.height), interpolation=kernel))
    if (box.width, box.height) == (width_px, height_px):
        return inner
    canvas = np.zeros((height_px, width_px, 3), np.uint8)
    box.of(canvas)[:] = inner
    return canvas
