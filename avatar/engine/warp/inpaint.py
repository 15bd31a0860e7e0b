"""A picture continued into a hole: structures that run into it go on for a while, then dissolve.

The first part is OpenCV's inpainting along lines of equal brightness (after Bertalmio, Bertozzi and Sapiro,
"Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting", CVPR 2001). What comes from opposite sides clashes in
the middle of the hole, so the answer is the more blurred the deeper it lies.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.fields import Mask, blurred, distance_to
from avatar.frames import FloatArray

_WORK_SIDE = 256  # px; larger, the grain of the picture is continued as streaks
_RADIUS = 3  # px, how far around a pixel its known neighbours count
_MOSTLY = 0.3  # share of known pixels from which a pixel of the small picture counts as known
_DISSOLVE = 0.45  # standard deviation of the blur per depth
_BLURS = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32)  # head sizes; between them is interpolated


def continued(image: FloatArray, known: Mask, size: float) -> FloatArray:
    """Fill in what is not known, without an edge that was not there before.

    Args:
        image: (H, W, 3) in [0, 1].
        known: (H, W), at least one pixel.
        size: of the head, pixels: the scale on which structures dissolve.
    Returns:
        (H, W, 3) in [0, 1], slightly smoothed also where the picture is known.
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
    """The hole filled from its outline inwards; lines that meet it go on straight."""
    rgb = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    filled = cv2.inpaint(rgb, (~known).astype(np.uint8), _RADIUS, cv2.INPAINT_NS)
    return np.where(known[..., None], image, filled * np.float32(1 / 255)).astype(np.float32)


def _dissolved(image: FloatArray, known: Mask, size: float) -> FloatArray:
    """The filled hole blurred in proportion to its depth; at its outline, as it is."""
    depth = distance_to(known) / np.float32(size)
    result, finer = image.copy(), image
    for low, high in pairwise(_BLURS):
        coarser = blurred(image, high * size)
        result += np.clip((_DISSOLVE * depth - low) / (high - low), 0, 1)[..., None] * (coarser - finer)
        finer = coarser
    return np.asarray(np.where(known[..., None], image, result), np.float32)
