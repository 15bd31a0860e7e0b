"""The guided filter: an output that is, in every small window, a linear function of the image's colour.

He, Sun and Tang, "Guided Image Filtering", TPAMI 2013 (colour guide, Eq. 19 to 21); He and Sun, "Fast Guided Filter",
2015 (the coefficients are smooth, so they can be computed on a downscaled image and applied to the large one).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage

STRIP_ROWS = 128  # a large image is processed in strips to bound the memory
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class LocalLinear:
    """Per-pixel coefficients of output = slope . colour + offset; colours in [0, 1]."""

    slope: FloatArray  # (h, w, 3)
    offset: FloatArray  # (h, w)

    def apply(self, guide: FloatArray) -> FloatArray:
        """Compute the output (h, w) for the (h, w, 3) image that the coefficients were fitted on."""
        products = (slope * colour for slope, colour in zip(cv2.split(self.slope), cv2.split(guide), strict=True))
        return np.asarray(sum(products, self.offset), np.float32)

    def apply_large(self, strip: RgbImage, size: tuple[int, int], top: int) -> FloatArray:
        """Compute rows of the output for a larger version of that image.

        Args:
            strip: (rows, W, 3) uint8, its rows from `top` on.
            size: (W, H), of the whole larger version.
            top: of the strip.
        Returns:
            (rows, W).
        """
        local = enlarged(np.dstack([self.slope / 255, self.offset]), size, top, len(strip))
        *slopes, output = cv2.split(local)
        for slope, colour in zip(slopes, cv2.split(strip), strict=True):
            output += slope * colour
        return np.asarray(output)


def fit_local_linear(guide: FloatArray, values: FloatArray, weight: FloatArray, radius: int, eps: float) -> LocalLinear:
    """Fit values to the image's colours in every window by weighted least squares.

    Args:
        guide: (h, w, 3) in [0, 1].
        values: (h, w), the target.
        weight: (h, w) > 0.
        radius: windows are 2 radius + 1 pixels wide.
        eps: added to the variance of the colours; larger is smoother.
    """
    size = (2 * radius + 1, 2 * radius + 1)

    def box(plane: FloatArray) -> FloatArray:
        """Average an (h, w) plane over windows."""
        return np.asarray(cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT))

    mass = np.maximum(box(weight), _SMALLEST)
    planes = cv2.split(guide)  # many short channels would be several times slower than three planes
    weighted = [plane * weight for plane in planes]
    mean = [box(plane) / mass for plane in weighted]
    mean_value = box(values * weight) / mass
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    xx, xy, xz, yy, yz, zz = (
        box(weighted[i] * planes[j]) / mass - mean[i] * mean[j] + (eps if i == j else 0.0) for i, j in pairs
    )
    x, y, z = (box(each * values) / mass - own * mean_value for each, own in zip(weighted, mean, strict=True))
    # Inverse of the symmetric 3 x 3 covariance by its cofactors.
    a, b, c = yy * zz - yz * yz, yz * xz - xy * zz, xy * yz - yy * xz
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    determinant = np.maximum(a * xx + b * xy + c * xz, 1e-20)
    slope = [(a * x + b * y + c * z) / determinant, (b * x + d * y + e * z) / determinant]
    slope.append((c * x + e * y + f * z) / determinant)
    offset = mean_value - (slope[0] * mean[0] + slope[1] * mean[1] + slope[2] * mean[2])
    total = np.maximum(box(mass), _SMALLEST)
    red, green, blue, rest = (
        np.asarray(box(np.asarray(each * mass, np.float32)) / total, np.float32) for each in (*slope, offset)
    )
    return LocalLinear(np.asarray(cv2.merge([red, green, blue])), rest)


def enlarged(small: FloatArray, size: tuple[int, int], top: int, rows: int) -> FloatArray:
    """Resize a small image (h, w) or (h, w, C) bilinearly to `size` (width, height); `rows` rows from `top` on."""
    width, height = size
    y = (np.arange(top, top + rows, dtype=np.float32) + 0.5) * np.float32(len(small) / height) - 0.5
    y = np.clip(y, 0, len(small) - 1)
    above = y.astype(np.intp)
    share = (y - above).astype(np.float32).reshape(-1, *(1 for _ in small.shape[1:]))
    between = small[above]
    between += share * (small[np.minimum(above + 1, len(small) - 1)] - between)
    return np.asarray(cv2.resize(between, (width, rows), interpolation=cv2.INTER_LINEAR))
