"""The guided filter: an output that is, in every small window, a linear function of the picture's colour.

He, Sun and Tang, "Guided Image Filtering", TPAMI 2013 (colour guide, Eq. 19 to 21); He and Sun, "Fast Guided Filter",
2015 (the coefficients are smooth, so they can be found on a small image and applied to the large one).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

_STRIP_ROWS = 128  # a large picture is worked through in strips, which bounds the memory
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class LocalLinear:
    """output = slope . colour + offset, with coefficients of its own at each pixel; colours in [0, 1]."""

    slope: FloatArray  # (h, w, 3)
    offset: FloatArray  # (h, w)

    def apply(self, guide: FloatArray) -> FloatArray:
        """The output for the (h, w, 3) picture the coefficients were found on; (h, w)."""
        return np.asarray((self.slope * guide).sum(axis=2) + self.offset, np.float32)

    def apply_large(self, rgb: RgbImage) -> FloatArray:
        """The output for a larger version (H, W, 3) uint8 of that picture; (H, W)."""
        height, width = rgb.shape[:2]
        output = np.empty((height, width), np.float32)
        coefficients = np.dstack([self.slope / 255, self.offset])
        for top in range(0, height, _STRIP_ROWS):
            strip = rgb[top : top + _STRIP_ROWS]
            local = enlarged(coefficients, (width, height), top, len(strip))
            output[top : top + _STRIP_ROWS] = (local[..., :3] * strip).sum(axis=2) + local[..., 3]
        return output


def fit_local_linear(
    guide: FloatArray, values: FloatArray, weight: FloatArray, radius: int, eps: float
) -> LocalLinear:
    """Fit values to the picture's colours in every window, pixels counting by their weight.

    Args:
        guide: (h, w, 3) in [0, 1].
        values: (h, w), what to imitate.
        weight: (h, w) > 0.
        radius: windows are 2 radius + 1 pixels wide.
        eps: added to the colours' variance; larger is smoother.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def box(image: FloatArray) -> FloatArray:
        return np.asarray(cv2.blur(image, size, borderType=cv2.BORDER_REFLECT))

    mass = np.maximum(box(weight), _SMALLEST)
    weighted = guide * weight[..., None]
    mean = box(weighted) / mass[..., None]
    mean_value = box(values * weight) / mass
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    xx, xy, xz, yy, yz, zz = (
        box(weighted[..., i] * guide[..., j]) / mass - mean[..., i] * mean[..., j] + (eps if i == j else 0.0)
        for i, j in pairs
    )
    shared = box(weighted * values[..., None]) / mass[..., None] - mean * mean_value[..., None]
    # Inverse of the symmetric 3 x 3 covariance by its cofactors.
    a, b, c = yy * zz - yz * yz, yz * xz - xy * zz, xy * yz - yy * xz
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    determinant = np.maximum(a * xx + b * xy + c * xz, 1e-20)
    x, y, z = (shared[..., i] for i in range(3))
    slope = np.dstack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z]) / determinant[..., None]
    offset = mean_value - (slope * mean).sum(axis=2)
    coefficients = np.dstack([slope, offset]).astype(np.float32)
    smooth = box(coefficients * mass[..., None]) / np.maximum(box(mass), _SMALLEST)[..., None]
    return LocalLinear(np.ascontiguousarray(smooth[..., :3]), np.ascontiguousarray(smooth[..., 3]))


def enlarged(small: FloatArray, size: tuple[int, int], top: int, rows: int) -> FloatArray:
    """Rows top .. top + rows of a small image resized bilinearly to size (width, height); (rows, width, C)."""
    height_small, width_small = small.shape[:2]
    width, height = size
    x = (np.arange(width, dtype=np.float32) + 0.5) * np.float32(width_small / width) - 0.5
    y = (np.arange(top, top + rows, dtype=np.float32) + 0.5) * np.float32(height_small / height) - 0.5
    at_x, at_y = np.meshgrid(x, y)
    return np.asarray(cv2.remap(small, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
