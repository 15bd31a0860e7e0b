"""Inpainting: structures continue into the hole for a while, then dissolve.

First comes OpenCV's inpainting along isophotes (after Bertalmio, Bertozzi and Sapiro, "Navier-Stokes, Fluid Dynamics,
and Image and Video Inpainting", CVPR 2001). Continuations from opposite sides clash in the middle of the hole, so the
result is blurred in proportion to the distance from the outline.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask, blurred, distance_to
from avatar.frames import FloatArray

_WORK_SIDE = 192  # px; at a larger size the grain of the image would be continued as streaks
_RADIUS = 3  # px, OpenCV's inpainting radius
_MOSTLY = 0.3  # fraction of known pixels from which a downscaled pixel counts as known
_DISSOLVE = 0.45  # standard deviation of the blur over the depth in the hole
_BLURS = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32)  # blur levels in head sizes, between which is interpolated


def continued(image: FloatArray, known: Mask, size: float) -> FloatArray:
    """Fill unknown pixels without introducing new edges.

    Args:
        image: (H, W, 3) in [0, 1].
        known: (H, W), at least one pixel.
        size: size of the head in pixels, the scale on which structures dissolve.
    Returns:
        (H, W, 3) in [0, 1], slightly smoothed also where the image is known.
    """
    height, width = known.shape
    scale = min(1.0, _WORK_SIDE / max(height, width))
    small_size = (max(4, round(width * scale)), max(4, round(height * scale)))
    weight = known.astype(np.float32)
    share = cv2.resize(weight, small_size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(image * weight[..., None], small_size, interpolation=cv2.INTER_AREA)
    small /= np.maximum(share, 1e-3)[..., None]
    there = share > _MOSTLY
    if not there.any():
        there = share >= share.max()
    filled = _dissolved(_along_lines(small, there), there, size * scale)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(large, 0, 1), np.float32)


def _along_lines(image: FloatArray, known: Mask) -> FloatArray:
    """Fill the hole in an (H, W, 3) image from its outline inwards, continuing lines; `known`: (H, W)."""
    rgb = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    filled = cv2.inpaint(rgb, (~known).astype(np.uint8), _RADIUS, cv2.INPAINT_NS)
    return np.where(known[..., None], image, filled * np.float32(1 / 255)).astype(np.float32)


def _dissolved(image: FloatArray, known: Mask, size: float) -> FloatArray:
    """Blur the filled hole of an (H, W, 3) image in proportion to the depth; `known`: (H, W)."""
    depth = distance_to(known) / np.float32(size)
    result, finer = image.copy(), image
    for low, high in pairwise(_BLURS):
        coarser = blurred(image, high * size)
        result += np.clip((_DISSOLVE * depth - low) / (high - low), 0, 1)[..., None] * (coarser - finer)
        finer = coarser
    return np.asarray(np.where(known[..., None], image, result), np.float32)
