"""Model of the visible background: colour, texture and plainness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask, masked_blur, smooth_fill, strongest, typical
from avatar.frames import FloatArray

_FINE = 0.06  # smoothing scale of the colour, in head sizes
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
        weight = seen.astype(np.float32)
        smooth = masked_blur(image, weight, _FINE * size)
        away = strongest(cv2.absdiff(image, smooth))
        scale = 3 * float(np.median(away[seen])) + 4 / 255
        ordinary = weight / (1 + np.square(away / scale))  # outliers such as strands of hair must not tint it
        smooth = masked_blur(image, ordinary, _FINE * size)
        away = strongest(cv2.absdiff(image, smooth))
        deviation = 1.4 * typical(away, seen, max(8, round(0.25 * size)), 65)
        plain = (1 / (1 + np.square(deviation / _PLAIN))).astype(np.float32)
        return Backdrop(smooth_fill(smooth, weight), deviation, plain)
