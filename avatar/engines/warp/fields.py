"""Operations on partially known images: masked blur, smooth filling, nearest known pixels, local percentiles."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray

Mask = npt.NDArray[np.bool_]

_SMALLEST = 1e-4
_WIDE_SIGMA = 4.0  # px; a wider blur is computed on a downscaled image


def as_unit(image: npt.NDArray[np.uint8]) -> FloatArray:
    """Convert a uint8 image (H, W, ...) to float32 in [0, 1]."""
    return np.asarray(image * np.float32(1 / 255), np.float32)


def strongest(image: FloatArray) -> FloatArray:
    """Return the (H, W) maximum over the channels of (H, W, C), faster than NumPy's over a short last axis."""
    return np.asarray(np.maximum.reduce(cv2.split(image)))


def times(image: FloatArray, weight: FloatArray) -> FloatArray:
    """Multiply (H, W, C) by (H, W); several times as fast as NumPy, which has to go along a short last axis."""
    weights = cv2.merge([weight] * image.shape[2])
    return _with_channels(cv2.multiply(image, weights, dtype=cv2.CV_32F))


def blurred(image: FloatArray, sigma: float) -> FloatArray:
    """Blur an (H, W) or (H, W, C) image with a Gaussian; a wide one is computed on a downscaled image."""
    height, width = image.shape[:2]
    shrink = min(int(sigma / _WIDE_SIGMA), height // 8, width // 8)
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1)))
    small = cv2.resize(image, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def shrunk_by(image: FloatArray, times_smaller: int) -> FloatArray:
    """Downscale an (H, W) or (H, W, C) image to 1 / `times_smaller` of its sides, rounded up."""
    height, width = image.shape[:2]
    size = (-(-width // times_smaller), -(-height // times_smaller))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def masked_blur(image: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """Compute a weighted Gaussian mean: normalized convolution (Knutsson and Westin 1993).

    Args:
        image: (H, W, 3).
        weight: (H, W) >= 0. The result is undefined where all weights nearby are 0.
        sigma: pixels.
    Returns:
        (H, W, 3).
    """
    mass = np.maximum(blurred(weight, sigma), np.float32(_SMALLEST))
    return np.asarray(cv2.divide(blurred(times(image, weight), sigma), cv2.merge([mass] * 3)))


def smooth_fill(image: FloatArray, known: FloatArray, *, sweeps: int = 4) -> FloatArray:
    """Fill unknown pixels smoothly by pull-push over an image pyramid (Gortler et al. 1996).

    Args:
        image: (H, W, C).
        known: (H, W) in [0, 1]; 1 keeps a pixel, 0 fills it, values between blend.
        sweeps: number of local averages at each level, which remove the blocks of the pyramid.
    Returns:
        (H, W, C); zeros if no pixel is known.
    """
    height, width = known.shape
    if min(height, width) <= 2:
        mass = float(known.sum())
        mean = (image * known[..., None]).sum(axis=(0, 1)) / max(mass, _SMALLEST)
        return np.asarray(image * known[..., None] + mean * (1 - known[..., None]), np.float32)
    kept, open_share = times(image, known), _with_channels(cv2.merge([1 - known] * image.shape[2]))
    mass = cv2.pyrDown(known)
    pulled = times(_with_channels(cv2.pyrDown(kept)), np.asarray(1 / np.maximum(mass, _SMALLEST), np.float32))
    filled = _with_channels(cv2.pyrUp(smooth_fill(pulled, mass, sweeps=sweeps), dstsize=(width, height)))
    filled *= open_share
    filled += kept
    for _ in range(sweeps):
        filled = _with_channels(cv2.blur(filled, (3, 3)))
        filled *= open_share
        filled += kept
    return filled


def nearest(mask: Mask) -> npt.NDArray[np.intp]:
    """Return the (H, W) flat indices of the nearest true pixels of an (H, W) mask, which must not be empty."""
    _, label = cv2.distanceTransformWithLabels((~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    index = np.flatnonzero(mask)
    of_label = np.zeros(int(label.max()) + 1, np.intp)
    of_label[label.ravel()[index]] = index
    return np.asarray(of_label[label])


def nearest_in_row(mask: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the flat indices of the nearest true pixels to the left and to the right in the same row.

    If there is none on one side, the one on the other side is used; in a row without any, the pixel itself.

    Args:
        mask: (H, W).
    Returns:
        (H, W) indices to the left, and (H, W) to the right.
    """
    height, width = mask.shape
    column = np.arange(width)
    left = np.maximum.accumulate(np.where(mask, column, -1), axis=1)
    right = np.minimum.accumulate(np.where(mask, column, width)[:, ::-1], axis=1)[:, ::-1]
    either = np.where(left >= 0, left, np.where(right < width, right, column))
    start = (np.arange(height) * width)[:, None]
    return start + either, start + np.where(right < width, right, either)


def distance_to(mask: Mask) -> FloatArray:
    """Return the (H, W) distances in pixels to the nearest true pixel of an (H, W) mask; large for an empty mask."""
    if not mask.any():
        return np.full(mask.shape, float(sum(mask.shape)), np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5))


def typical(values: FloatArray, mask: Mask, tile: int, percentile: float) -> FloatArray:
    """Compute a local percentile: per tile over the masked pixels, then interpolated smoothly.

    Unlike a local mean it is robust to outliers.

    Args:
        values: (H, W).
        mask: (H, W), the pixels to use.
        tile: side of a tile, pixels.
        percentile: 0 to 100.
    Returns:
        (H, W); zeros if the mask is empty.
    """
    height, width = values.shape
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.full((rows * tile, columns * tile), np.nan, np.float32)
    padded[:height, :width] = np.where(mask, values, np.nan)
    tiles = padded.reshape(rows, tile, columns, tile).swapaxes(1, 2).reshape(rows, columns, -1)
    count = np.isfinite(tiles).sum(axis=2)
    enough = count > 0.05 * tile * tile
    found = np.zeros((rows, columns, 1), np.float32)
    if enough.any():
        found[enough, 0] = _percentile(np.sort(tiles[enough], axis=1), count[enough], percentile)
    spread = smooth_fill(found, enough.astype(np.float32))[..., 0]
    return np.asarray(cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR))


def _percentile(ordered: FloatArray, count: npt.NDArray[np.intp], percentile: float) -> FloatArray:
    """Compute a percentile of the first `count` (N,) values of sorted rows (N, M); faster than `np.nanpercentile`."""
    place = (count - 1) * (percentile / 100)
    below = place.astype(np.intp)
    row = np.arange(len(ordered))
    low, high = ordered[row, below], ordered[row, np.minimum(below + 1, count - 1)]
    return np.asarray(low + (place - below).astype(np.float32) * (high - low), np.float32)


def _with_channels(image: FloatArray) -> FloatArray:
    """Restore the last axis of (H, W, 1), which OpenCV drops."""
    return image if image.ndim == 3 else image[..., None]
