"""The white of a portrait's eye: its colours behind the iris, and the lid's shadow on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.eye.iris import LUMINANCE, Iris, whiteness
from avatar.engines.warp.eye.lids import Lids, Places
from avatar.frames import FloatArray
from avatar.motion.smoothstep import smoothstep

_WIDTH, _HEIGHT = 96, 48  # size of the unrolled opening: along by across
_OVER = 0.15  # its margin beyond either lid, as a fraction of the opening
_SIDE_REACH = 0.06  # reach of the samples beside the hole, in eye widths
_CORNER_SHADE = 0.4  # darkening assumed in a corner of the eye that the iris hides


def white_behind(image: FloatArray, lids: Lids, iris: Iris, hole: float) -> FloatArray:
    """Fill the region of the iris from the white beside it, row by row between the lids.

    A row runs along the eye at a constant fraction of the way from the upper lid to the lower one, so that the lids'
    shadow and lashes continue above and below the hole as they are beside it.

    Args:
        image: (h, w, 3) float32, 0 to 255.
        lids, iris: in pixels of `image`.
        hole: radius of the hole, in radii of the iris.
    Returns:
        (h, w, 3) float32 at the unrolled eye's resolution, so it should replace the hole only.
    """
    along, deep = np.meshgrid(
        np.linspace(0, 1, _WIDTH, dtype=np.float32), np.linspace(-_OVER, 1 + _OVER, _HEIGHT, dtype=np.float32)
    )
    upper, lower = lids.at(along)
    points = lids.points(along, upper + deep * (lower - upper))
    strip = cv2.remap(image, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    known = np.linalg.norm(points - iris.centre, axis=-1) > hole * iris.radius_px
    filled = _fill_rows(strip, known, along)

    places = lids.places(*pixels(image))
    x, y = places.along * (_WIDTH - 1), (places.depth() + _OVER) / (1 + 2 * _OVER) * (_HEIGHT - 1)
    return np.asarray(cv2.remap(filled, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def pixels(image: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the columns (w,) and rows (h,) of an image (h, w, C)."""
    return np.arange(image.shape[1], dtype=np.float32), np.arange(image.shape[0], dtype=np.float32)


def _fill_rows(strip: FloatArray, known: npt.NDArray[np.bool_], along: FloatArray) -> FloatArray:
    """Replace what is not `known` in each row of the unrolled eye (H, W, 3) by a blend of the white on either side."""
    trust = _whiteness_trust(strip, known, along)
    first = np.argmax(~known, axis=1, keepdims=True) / (_WIDTH - 1)
    last = 1 - np.argmax(~known[:, ::-1], axis=1, keepdims=True) / (_WIDTH - 1)
    whole = known.all(axis=1, keepdims=True)  # a row without a hole supplies colours to its neighbours
    first, last = np.where(whole, 0.5, first), np.where(whole, 0.5, last)
    left = _side_colour(strip, trust * (along < first) * np.exp((along - first) / _SIDE_REACH))
    right = _side_colour(strip, trust * (along > last) * np.exp((last - along) / _SIDE_REACH))
    t = smoothstep((along - first) / np.maximum(last - first, 1e-3), 0, 1)
    from_left, from_right = (1.001 - t) * left[1], (t + 0.001) * right[1]  # one white side suffices
    part = (from_left / (from_left + from_right + 1e-12))[..., None]
    fill = left[0] * part + right[0] * (1 - part)
    hidden = (1 - left[1]) * smoothstep(along, 0.35, 0.0) + (1 - right[1]) * smoothstep(along, 0.65, 1.0)
    fill = fill * (1 - _CORNER_SHADE * hidden)[..., None]  # the corner's colour is not visible on that side of the iris
    nowhere = left[1] + right[1] < 1e-6
    return np.where((known | nowhere)[..., None], strip, fill).astype(np.float32)


def _whiteness_trust(strip: FloatArray, known: npt.NDArray[np.bool_], along: FloatArray) -> FloatArray:
    """Compute (H, W) weights of the pixels for the white of their row; low at the corners, on skin and on lashes."""
    white = whiteness(strip)
    best = np.array([np.percentile(row[k], 85) if k.any() else 0 for row, k in zip(white, known, strict=True)])
    doubt = np.clip((best[:, None] - white) / (0.2 * best[:, None] + 4), 0, 4)
    away_from_corners = smoothstep(along, 0.02, 0.15) * smoothstep(1 - along, 0.02, 0.15)
    return np.asarray(known * (np.exp(-(doubt**2)) * away_from_corners + 1e-5), np.float32)


def _side_colour(strip: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Compute the colour of one side of the hole in each row (H, 1, 3), smoothed over rows, and its weight (H, 1)."""
    total = _over_rows(weight.sum(axis=1, keepdims=True))
    colour = _over_rows((strip * weight[..., None]).sum(axis=1)) / (total + 1e-9)
    return colour[:, None], total / (total + 0.02 * _WIDTH * _SIDE_REACH)


def _over_rows(values: FloatArray) -> FloatArray:
    """Blur (H, N) across its rows."""
    return np.asarray(cv2.GaussianBlur(values.astype(np.float32), (1, 7), sigmaX=0, sigmaY=1.5)).reshape(values.shape)


def lid_shade(white: FloatArray, places: Places) -> FloatArray:
    """Estimate the lids' shading of the iris at each pixel, relative to the middle of the eye.

    Weaker than the shading of the white (h, w, 3): at its edges that includes lashes and lids, which do not darken an
    iris further down.

    Returns:
        (h, w) in [0.55, 1].
    """
    along, deep = places.along, places.depth()
    luminance = white @ LUMINANCE
    bins = 24
    inside = (along > 0.25) & (along < 0.75) & (deep >= 0) & (deep < 1)
    if np.count_nonzero(inside) < bins:
        return np.ones_like(deep)
    index = (deep[inside] * bins).astype(int)
    count = np.bincount(index, minlength=bins)
    level = np.bincount(index, luminance[inside], bins) / np.maximum(count, 1)
    at = (np.arange(bins) + 0.5) / bins
    level = np.interp(at, at[count > 0], level[count > 0])
    level = np.convolve(np.pad(level, 2, mode="edge"), np.array([1, 3, 4, 3, 1]) / 12, mode="valid")
    ratio = 0.4 + 0.6 * np.clip(level / max(np.percentile(level, 90), 1), 0.25, 1)
    return np.interp(deep, at, ratio).astype(np.float32)
