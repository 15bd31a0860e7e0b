"""Images known only in places: their smooth part, what they look like elsewhere, and the nearest known pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray

Mask = npt.NDArray[np.bool_]

_SMALLEST = 1e-4
_WIDE_SIGMA = 4.0  # px; a wider blur is computed on a smaller image


def as_unit(image: npt.NDArray[np.uint8]) -> FloatArray:
    """The image in [0, 1]."""
    return np.asarray(image * np.float32(1 / 255), np.float32)


def strongest(image: FloatArray) -> FloatArray:
    """The largest channel of an (H, W, C) image; far quicker than NumPy's maximum over a short last axis."""
    return np.asarray(np.maximum.reduce(cv2.split(image)))


def blurred(image: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur of an (H, W) or (H, W, C) image; a wide one is computed at a smaller size, to the same effect."""
    height, width = image.shape[:2]
    shrink = min(int(sigma / _WIDE_SIGMA), height // 8, width // 8)
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma, 0.1)))
    small = cv2.resize(image, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def masked_blur(image: FloatArray, weight: FloatArray, sigma: float) -> FloatArray:
    """Gaussian mean over the pixels that count: normalized convolution (Knutsson and Westin 1993).

    Args:
        image: (H, W, 3).
        weight: (H, W) >= 0. Where no pixel with weight is near, the result means nothing.
        sigma: pixels.
    """
    mass = blurred(weight, sigma)
    return np.asarray(blurred(image * weight[..., None], sigma) / np.maximum(mass, _SMALLEST)[..., None])


def smooth_fill(image: FloatArray, known: FloatArray, *, sweeps: int = 4) -> FloatArray:
    """Continue an image smoothly from where it is known: pull and push over a pyramid (Gortler et al. 1996).

    Args:
        image: (H, W, C).
        known: (H, W) in [0, 1]; 1 keeps the pixel, 0 fills it, between blends.
        sweeps: of local averaging at each level, which take the pyramid's blocks away.
    Returns:
        (H, W, C); where nothing at all is known, zeros.
    """
    height, width = known.shape
    if min(height, width) <= 2:
        mass = float(known.sum())
        mean = (image * known[..., None]).sum(axis=(0, 1)) / max(mass, _SMALLEST)
        return np.asarray(image * known[..., None] + mean * (1 - known[..., None]), np.float32)
    mass = cv2.pyrDown(known)
    pulled = _with_channels(cv2.pyrDown(image * known[..., None])) / np.maximum(mass, _SMALLEST)[..., None]
    coarse = smooth_fill(pulled, mass, sweeps=sweeps)
    kept = image * known[..., None]
    open_share = 1 - known[..., None]
    filled = kept + _with_channels(cv2.pyrUp(coarse, dstsize=(width, height))) * open_share
    for _ in range(sweeps):
        filled = kept + _with_channels(cv2.blur(filled, (3, 3))) * open_share
    return np.asarray(filled, np.float32)


def nearest(mask: Mask) -> npt.NDArray[np.intp]:
    """For every pixel the flat index of the nearest true pixel; (H, W). The mask must hold one."""
    _, label = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index = np.flatnonzero(mask)
    of_label = np.zeros(int(label.max()) + 1, np.intp)
    of_label[label.ravel()[index]] = index
    return np.asarray(of_label[label])


def nearest_in_row(mask: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """For every pixel the flat index of the first true pixel to its left and to its right; (H, W) each.

    Where a row has none on that side, the one on its other side; where it has none at all, the pixel itself.
    """
    height, width = mask.shape
    column = np.arange(width)
    left = np.maximum.accumulate(np.where(mask, column, -1), axis=1)
    right = np.minimum.accumulate(np.where(mask, column, width)[:, ::-1], axis=1)[:, ::-1]
    either = np.where(left >= 0, left, np.where(right < width, right, column))
    start = (np.arange(height) * width)[:, None]
    return start + either, start + np.where(right < width, right, either)


def distance_to(mask: Mask) -> FloatArray:
    """Pixels from each pixel to the nearest true one; 0 on the mask, large everywhere where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, float(sum(mask.shape)), np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5))


def typical(values: FloatArray, mask: Mask, tile: int, percentile: float) -> FloatArray:
    """A percentile of the values under the mask, tile by tile, spread smoothly over the image; (H, W).

    Unlike a local mean it does not see small exceptions. Zeros where the mask is empty.
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
    """Of the first `count` (N,) values of each row (N, M), in order: `np.nanpercentile`, which sorts row by row."""
    place = (count - 1) * (percentile / 100)
    below = place.astype(np.intp)
    row = np.arange(len(ordered))
    low, high = ordered[row, below], ordered[row, np.minimum(below + 1, count - 1)]
    return np.asarray(low + (place - below).astype(np.float32) * (high - low), np.float32)


def _with_channels(image: FloatArray) -> FloatArray:
    """OpenCV drops a last axis of length one; put it back."""
    return image if image.ndim == 3 else image[..., None]
