"""Layered painting on images. Colours are sRGB in [0, 1]; masks are (H, W) in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from tools.gallery.curves import PointsLike

Colour = str | Sequence[float] | FloatArray  # "#rrggbb", three numbers in [0, 1], or (H, W, 3)
_SHIFT = 6  # fractional bits of OpenCV's polygons


def colour(value: Colour) -> FloatArray:
    """Convert a colour to a float array, (3,) or (H, W, 3)."""
    if isinstance(value, str):
        return np.array([int(value[at : at + 2], 16) for at in (1, 3, 5)], np.float32) / np.float32(255)
    return np.asarray(value, np.float32)


def to_linear(srgb: FloatArray) -> FloatArray:
    """Convert (..., 3) sRGB values to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: FloatArray) -> FloatArray:
    """Convert (..., 3) linear light to sRGB values."""
    safe = np.maximum(linear, 0)
    return np.where(safe <= 0.0031308, 12.92 * safe, 1.055 * safe ** (1 / 2.4) - 0.055).astype(np.float32)


def shape_mask(side_px: int, *outlines: PointsLike, soft_px: float = 0.0) -> FloatArray:
    """Rasterise closed outlines, (N, 2) pixels, with an antialiased or soft edge; (side, side) in [0, 1]."""
    mask = np.zeros((side_px, side_px), np.uint8)
    for outline in outlines:
        fixed = np.round(np.asarray(outline, np.float64) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
    return blur(mask.astype(np.float32) / np.float32(255), soft_px)


def blur(values: FloatArray, sigma_px: float) -> FloatArray:
    """Blur (H, W) or (H, W, C) with a Gaussian."""
    if sigma_px < 0.3:
        return values
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE))


def lay(image: FloatArray, mask: FloatArray, paint: Colour, strength: float = 1.0) -> None:
    """Blend a colour over an image (H, W, 3) under a mask (H, W), in place."""
    image += (np.float32(strength) * mask)[..., None] * (colour(paint) - image)


def tint(image: FloatArray, mask: FloatArray, paint: Colour, strength: float = 1.0) -> None:
    """Multiply an image (H, W, 3) by a colour under a mask (H, W), in place."""
    image *= 1 + (np.float32(strength) * mask)[..., None] * (colour(paint) - 1)


def glow(image: FloatArray, mask: FloatArray, paint: Colour, strength: float = 1.0) -> None:
    """Screen a colour onto an image (H, W, 3) under a mask (H, W), in place."""
    image += (np.float32(strength) * mask)[..., None] * colour(paint) * (1 - image)


def halo(side_px: int, stops: Sequence[tuple[float, Colour]], centre: tuple[float, float], radius: float) -> FloatArray:
    """Render a radial gradient from a centre (0) to a radius (1); (side, side, 3)."""
    at = np.arange(side_px, dtype=np.float32)
    return between(np.hypot(at[None] - centre[0], at[:, None] - centre[1]) / np.float32(radius), stops)


def between(share: FloatArray, stops: Sequence[tuple[float, Colour]]) -> FloatArray:
    """Evaluate a colour gradient at (H, W) positions in [0, 1]; (H, W, 3)."""
    places, colours = [stop for stop, _ in stops], np.stack([colour(paint) for _, paint in stops])
    return np.stack([np.interp(share, places, colours[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)


def noise(side_px: int, size_px: float, seed: int) -> FloatArray:
    """Generate smooth noise with a standard deviation near 1; (side, side)."""
    cells = max(4, round(side_px / size_px) + 3)
    rough = np.random.default_rng(seed).standard_normal((cells, cells)).astype(np.float32)
    grown = cv2.resize(rough, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown)


def finished(image: FloatArray, side_px: int) -> RgbImage:
    """Downscale an image (H, W, 3) in [0, 1] to its final size, as uint8."""
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    levels: npt.NDArray[np.uint8] = np.clip(np.round(255 * small), 0, 255).astype(np.uint8)
    return levels
