"""Model of the visible background: colour, texture and plainness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask, blurred, shrunk_by, smooth_fill, strongest, times, typical
from avatar.frames import FloatArray

_FINE = 0.06  # smoothing scale of the colour, in head sizes
_SIGMA_PX = 2.5  # standard deviation at which the smoothing is done, on a smaller image
_ENOUGH = 1e-4  # weight around a pixel below which nothing is known
_PLAIN = 6 / 255  # typical deviation from the smooth colour up to which a background counts as plain


@dataclass(frozen=True, eq=False)
class Backdrop:
    """Estimated background at every pixel, also behind the person; colours in [0, 1]."""

    colour: FloatArray  # (H, W, 3), its smooth colour
    deviation: FloatArray  # (H, W), typical deviation of its pixels from the smooth colour
    plain: FloatArray  # (H, W) in [0, 1], 1 for a background without texture

    @staticmethod
    def learn(image: FloatArray, seen: Mask, size: float) -> Backdrop:
        """Estimate the background from pixels that certainly belong to it.

        Args:
            image: (H, W, 3) in [0, 1].
            seen: (H, W), at least one pixel.
            size: size of the head, pixels.
        """
        sigma = _FINE * size
        smaller = max(1, int(sigma / _SIGMA_PX))
        weight = seen.astype(np.float32)
        away = _away(image, _smoothed(image, weight, sigma, smaller)[0])
        scale = 3 * float(np.median(away[seen])) + 4 / 255
        ordinary = weight / (1 + np.square(away / np.float32(scale)))  # strands of hair and the like must not tint it
        smooth, mass = _smoothed(image, ordinary, sigma, smaller)
        deviation = 1.4 * typical(_away(image, smooth), seen, max(8, round(0.25 * size)), 65)
        plain = (1 / (1 + np.square(deviation / _PLAIN))).astype(np.float32)
        known = shrunk_by(weight, smaller) * (mass > _ENOUGH)
        return Backdrop(_enlarged(smooth_fill(smooth, known), weight.shape), deviation, plain)


def _smoothed(image: FloatArray, weight: FloatArray, sigma: float, smaller: int) -> tuple[FloatArray, FloatArray]:
    """Compute the weighted Gaussian mean of an (H, W, 3) image on a grid that is `smaller` times as coarse.

    Returns:
        (h, w, 3), undefined where all weights nearby are 0, and the (h, w) mean weights.
    """
    mass = blurred(shrunk_by(weight, smaller), sigma / smaller)
    total = blurred(shrunk_by(times(image, weight), smaller), sigma / smaller)
    return times(total, np.asarray(1 / np.maximum(mass, _ENOUGH), np.float32)), mass


def _enlarged(small: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Upsample an image (h, w, ...) to `shape` (H, W, ...)."""
    return np.asarray(cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _away(image: FloatArray, smooth: FloatArray) -> FloatArray:
    """Return by how much an (H, W, 3) image differs from its smooth version, of any size; (H, W)."""
    return strongest(cv2.absdiff(image, _enlarged(smooth, image.shape)))
