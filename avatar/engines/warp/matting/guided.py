"""The guided filter: an output that is, in every small window, a linear function of the image's colour.

He, Sun and Tang, "Guided Image Filtering", TPAMI 2013 (colour guide, Eq. 19 to 21); He and Sun, "Fast Guided Filter",
2015 (the coefficients are smooth, so they can be computed on a downscaled image and applied to the large one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import Mask
from avatar.frames import FloatArray, RgbImage

STRIP_ROWS = 128  # a large image is processed in strips to bound the memory
_FIT_ROWS = 48
_SMALLEST = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class LocalLinear:
    """Per-pixel coefficients of output = slope . colour + offset; colours in [0, 1]."""

    coefficients: FloatArray  # (h, w, 4): slope, then offset

    def apply(self, guide: FloatArray) -> FloatArray:
        """Compute the output (h, w) for the (h, w, 3) image that the coefficients were fitted on."""
        return _output(self.coefficients, guide, 1.0)

    def apply_large(self, strip: RgbImage, size: tuple[int, int], top: int, columns: slice) -> FloatArray:
        """Compute rows and columns of the output for a larger version of that image.

        Args:
            strip: (rows, W, 3) uint8, its rows from `top` on.
            size: (W, H), of the whole larger version.
            top: of the strip.
            columns: those that are wanted.
        Returns:
            (rows, columns).
        """
        local = enlarged(self.coefficients, size, top, len(strip))
        return _output(local[:, columns], strip[:, columns], 1 / 255)


def _output(coefficients: FloatArray, colours: RgbImage | FloatArray, scale: float) -> FloatArray:
    """Compute the (h, w) output of (h, w, 4) coefficients for (h, w, 3) colours, scaled to [0, 1] by `scale`."""
    *slopes, output = cv2.split(coefficients)
    for slope, colour in zip(slopes, cv2.split(colours), strict=True):
        output += cv2.multiply(slope, colour, scale=scale, dtype=cv2.CV_32F)
    return np.asarray(output)


def fit_local_linear(
    guide: FloatArray, values: FloatArray, weight: FloatArray, radius: int, eps: float, wanted: Mask | None = None
) -> LocalLinear:
    """Fit values to the image's colours in every window by weighted least squares.

    Args:
        guide: (h, w, 3) in [0, 1].
        values: (h, w), the target.
        weight: (h, w) > 0.
        radius: windows are 2 radius + 1 pixels wide.
        eps: added to the variance of the colours; larger is smoother.
        wanted: (h, w), where coefficients are needed; elsewhere they may be 0. None: everywhere.
    """
    planes = cv2.split(guide)  # many short channels would be several times slower than three planes
    found = np.zeros((*values.shape, 4), np.float32)
    # Strips and their many intermediate planes fit into a core's second-level cache.
    for rows, columns in parts_with(np.ones(values.shape, np.bool_) if wanted is None else wanted, _FIT_ROWS):
        wide = _widened(rows, 2 * radius, values.shape[0]), _widened(columns, 2 * radius, values.shape[1])
        fitted = _fitted([plane[wide] for plane in planes], values[wide], weight[wide], radius, eps)
        top, left = rows.start - wide[0].start, columns.start - wide[1].start
        inner = slice(top, top + rows.stop - rows.start), slice(left, left + columns.stop - columns.start)
        found[rows, columns] = cv2.merge([plane[inner] for plane in fitted])
    return LocalLinear(found)


def parts_with(mask: Mask, height: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns, `height` rows at a time, that hold the true pixels of an (h, w) mask."""
    for top in range(0, len(mask), height):
        columns = np.flatnonzero(mask[top : top + height].any(axis=0))
        if len(columns):
            yield slice(top, min(top + height, len(mask))), slice(int(columns[0]), int(columns[-1]) + 1)


def _widened(part: slice, reach: int, length: int) -> slice:
    """Return a part of an axis with `reach` more on both sides, within its length."""
    return slice(max(part.start - reach, 0), min(part.stop + reach, length))


def _fitted(
    planes: Sequence[FloatArray], values: FloatArray, weight: FloatArray, radius: int, eps: float
) -> list[FloatArray]:
    """Return the four (h, w) planes of slope and offset; arguments as in `fit_local_linear`, planes (h, w) each."""
    size = (2 * radius + 1, 2 * radius + 1)

    def box(plane: FloatArray) -> FloatArray:
        """Average an (h, w) plane over windows."""
        return np.asarray(cv2.blur(plane, size, borderType=cv2.BORDER_REFLECT))

    mass = np.maximum(box(weight), _SMALLEST)
    share = 1 / mass
    weighted = [plane * weight for plane in planes]
    mean = [box(plane) * share for plane in weighted]
    mean_value = box(values * weight) * share
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    xx, xy, xz, yy, yz, zz = (
        box(weighted[i] * planes[j]) * share - mean[i] * mean[j] + np.float32(eps if i == j else 0) for i, j in pairs
    )
    x, y, z = (box(each * values) * share - own * mean_value for each, own in zip(weighted, mean, strict=True))
    # Inverse of the symmetric 3 x 3 covariance by its cofactors.
    a, b, c = yy * zz - yz * yz, yz * xz - xy * zz, xy * yz - yy * xz
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    scale = 1 / np.maximum(a * xx + b * xy + c * xz, np.float32(1e-20))
    slope = [(a * x + b * y + c * z) * scale, (b * x + d * y + e * z) * scale, (c * x + e * y + f * z) * scale]
    offset = mean_value - (slope[0] * mean[0] + slope[1] * mean[1] + slope[2] * mean[2])
    total = np.maximum(box(mass), _SMALLEST)
    return [np.asarray(box(np.asarray(each * mass, np.float32)) / total, np.float32) for each in (*slope, offset)]


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
