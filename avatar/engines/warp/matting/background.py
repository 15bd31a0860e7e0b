"""Filling of the background behind the person, and estimation of the person's foreground colours along the matte.

Large structures are continued under the person and dissolve there (inpaint.py); fine texture is mirrored across the
outline and fades to grain further inside. Only pixels that certainly belong to the background are used; a rim of hair
colour or sharpening along the outline is assigned to the person, so that the head leaves no halo when it moves away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.fields import (
    Mask,
    as_unit,
    blurred,
    distance_to,
    masked_blur,
    smooth_fill,
    strongest,
    times,
    typical,
)
from avatar.engines.warp.headroom import Head, shrunk
from avatar.engines.warp.matting.backdrop import Backdrop
from avatar.engines.warp.matting.guided import enlarged
from avatar.engines.warp.matting.inpaint import continued
from avatar.frames import FloatArray, RgbImage

WORK_SIDE = 448  # px; working resolution of the smooth part
_SOLID = 0.995  # matte above which the image shows the person alone
_EXPECTED_SIDE = 256  # px; working resolution of the person's colours where the image shows none
_GRAIN = 10.0  # levels: smaller differences are noise, those above twice that are not
_FINER_LEVELS = 8  # steps per level in which grain is averaged
_STRIP_ROWS = 128  # a large image is processed in strips to bound the memory
_PERSON = (0.02, 0.06)  # matte above which a pixel is not used as background: on a plain, on a busy background
_MARGIN = 0.02  # additional margin around the person, in head sizes
_FINE = 0.012  # grain up to this size, in head sizes, is not continued as lines
_MIRROR_DEPTH = 0.4  # distance from the outline at which mirrored texture has faded, in head sizes
_TEXTURE = 1.5  # limit of the texture in typical deviations: larger differences would be visible as mirror images


def fill_background(rgb: RgbImage, matte: FloatArray, landmarks: FloatArray) -> RgbImage:
    """Remove the person from an image.

    Args:
        rgb: (H, W, 3) uint8.
        matte: (H, W) in [0, 1], 1 on the person.
        landmarks: (478, 3) pixels; the head size sets the scale of structures.
    Returns:
        (H, W, 3) uint8, equal to the image where the matte is 0, except for a margin. Compositing over this background
        needs the matte of `widen_matte` to reproduce the image.
    """
    head = Head.of(landmarks)
    rows, columns = head.box(rgb.shape)
    part = rgb[rows, columns]
    filled = rgb.copy()
    plan = _plan(part, matte[rows, columns], head.size)
    if plan is None:
        return filled
    random = np.random.default_rng(0)  # deterministic grain
    for top in range(0, len(part), _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, len(part)))
        hole = _columns(plan, part.shape, strip)
        if hole.stop > hole.start:
            filled[rows, columns][strip, hole] = _filled_strip(part, plan, strip, hole, random)
    return filled


def widen_matte(rgb: RgbImage, matte: FloatArray, background: RgbImage) -> None:
    """Widen the matte, in place, to all pixels that the background alone does not explain.

    These lie along the outline, where the matte misses fine hair or sharpening has left a halo.

    It becomes the smallest matte >= `matte` for which a foreground in 0 to 255 reproduces the image (Smith and Blinn,
    "Blue Screen Matting", 1996), except for grain.

    Args:
        rgb: (H, W, 3) uint8, the image.
        matte: (H, W) in [0, 1].
        background: (H, W, 3) uint8, from `fill_background`.
    """
    for top in range(0, len(rgb), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        apart = np.maximum.reduce(cv2.split(cv2.absdiff(rgb[strip], background[strip])))
        part = matte[strip]
        there = np.nonzero((apart > _GRAIN) & (part < 1))
        if len(there[0]):
            image, behind = rgb[strip][there].astype(np.float32), background[strip][there].astype(np.float32)
            room = np.maximum(np.where(image > behind, 255 - behind, behind), 1)
            difference = np.abs(image - behind)
            share = difference / room * np.clip(difference / np.float32(_GRAIN) - 1, 0, 1)
            part[there] = np.maximum(part[there], share.max(axis=1))


class Foreground:
    """The person's own colours: solves the compositing equation (I - (1 - alpha) B) / alpha, part by part."""

    def __init__(self, rgb: RgbImage, matte: FloatArray, background: RgbImage) -> None:
        """Estimate what to expect where the image shows little of the person.

        Args:
            rgb: (H, W, 3) uint8, the image.
            matte: (H, W) in [0, 1], from `widen_matte`.
            background: (H, W, 3) uint8, from `fill_background`.
        """
        self._rgb, self._matte, self._background = rgb, matte, background
        small, _ = shrunk(rgb, _EXPECTED_SIDE)
        alpha = cv2.resize(matte, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
        solid = (alpha > 0.97).astype(np.float32) + 0.05 * (alpha > 0.8)
        self._expected = smooth_fill(small.astype(np.float32), np.minimum(solid, 1))

    def colours(self, rows: slice, columns: slice) -> RgbImage:
        """Return some rows, few at a time, and columns: (h, w, 3) uint8.

        matte * foreground + (1 - matte) * background reproduces the image; where the matte is 0, it is the image.
        """
        colours, alpha = self._rgb[rows, columns].copy(), self._matte[rows, columns]
        there = np.nonzero((alpha > 0) & (alpha <= _SOLID))
        share = np.repeat(alpha[there], 3).reshape(-1, 3)
        size = (self._rgb.shape[1], self._rgb.shape[0])
        prior = enlarged(self._expected, size, rows.start, rows.stop - rows.start)[:, columns][there]
        missing = colours[there] - share * prior - (1 - share) * self._background[rows, columns][there]
        # Least squares, regularised towards the expected colour, which dominates where alpha is close to 0.
        solved = prior + missing * (share / (share * share + np.float32(1e-4)))
        colours[there] = np.rint(np.clip(solved, 0, 255))
        return colours


@dataclass(frozen=True, eq=False)
class _Plan:
    """Plan for the fill, on a downscaled image (h, w); colours from 0 to 255."""

    smooth: FloatArray  # (h, w, 3), the background without its texture
    known: FloatArray  # (h, w) in [0, 1], 1 where the image shows it
    mirror: FloatArray  # (h, w, 2), offset to the source of a filled pixel's texture, pixels of the image
    mirrored: FloatArray  # (h, w) in [0, 1], weight of that texture
    texture: FloatArray  # (h, w), limit of its difference from the smooth part
    grain: FloatArray  # (h, w), standard deviation of the grain
    scale: float  # downscaled pixels per pixel


def _plan(rgb: RgbImage, matte: FloatArray, size: float) -> _Plan | None:
    """Plan the fill on a downscaled image; None if there is no background to learn from.

    Args:
        rgb: (H, W, 3) uint8.
        matte: (H, W) in [0, 1].
        size: size of the head, pixels.
    """
    small, scale = shrunk(rgb, WORK_SIDE)
    image = as_unit(small)
    alpha = cv2.resize(matte, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    size *= scale
    reach = max(1, round(_MARGIN * size))
    covered = _grown(alpha > _PERSON[0], reach)
    if covered.size - covered.sum() < 16 or min(covered.shape) < 4:
        return None
    backdrop = Backdrop.learn(image, ~covered, size)
    # On a busy background the matte takes parts of it for hair; as holes they would be blurred unnecessarily.
    person = alpha > _PERSON[1] + (_PERSON[0] - _PERSON[1]) * backdrop.plain
    covered = _grown(person, reach)
    weight = (~covered).astype(np.float32)
    smooth = masked_blur(image, weight, _FINE * size)
    smooth += times(backdrop.colour - smooth, backdrop.plain)  # where it is plain, outliers are ignored too
    smooth = continued(smooth, ~covered, size)
    mirror, valid = _mirror(covered, reach, size)
    seen = cv2.remap(weight, *_at(mirror), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mirrored = valid * blurred(cv2.erode(np.asarray(seen), np.ones((3, 3), np.uint8)), 0.015 * size)
    tile = max(8, round(0.3 * size))
    grain = typical(_roughness(rgb, alpha.shape), ~covered, tile, 50)
    texture = 255 * _TEXTURE * typical(strongest(cv2.absdiff(image, smooth)), ~covered, tile, 50) + np.float32(1)
    # Blend back to the image within the margin, so that the rim is thin and structures do not move with the head.
    known = np.clip((distance_to(person) - 0.5 * reach) / (0.5 * reach + 1), 0, 1).astype(np.float32)
    return _Plan(255 * smooth, known, mirror / np.float32(scale), mirrored, texture, grain, scale)


def _grown(mask: Mask, reach: int) -> Mask:
    """Dilate an (H, W) mask by a disc of radius `reach`."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc).astype(np.bool_))


def _mirror(covered: Mask, reach: int, size: float) -> tuple[FloatArray, FloatArray]:
    """Compute offsets that mirror covered pixels across the nearest outline, and their validity.

    The signed distance is smoothed first, so that the offsets are smooth even for a jagged outline.

    Args:
        covered: (H, W).
        reach: margin, pixels.
        size: size of the head, pixels.
    Returns:
        (H, W, 2) offsets and (H, W) weights in [0, 1].
    """
    depth = distance_to(~covered)
    signed = blurred(depth - distance_to(covered), 0.08 * size)
    down, across = np.gradient(signed)
    steepness = np.hypot(down, across)
    step = -2 * (np.maximum(signed, depth) + reach)
    mirror = np.dstack([across, down]) * (step / np.maximum(steepness, 1e-3))[..., None]
    # On the medial axis of the hole the distance has a ridge, and the mirror images of two sides clash.
    valid = np.clip((steepness - 0.6) / 0.3, 0, 1) * np.clip((_MIRROR_DEPTH - depth / size) / 0.25, 0, 1)
    return mirror.astype(np.float32), valid.astype(np.float32)


def _at(step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Convert offsets (H, W, 2) to absolute (H, W) positions x and y, for `cv2.remap`."""
    height, width = step.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + step[..., 0], y + step[..., 1]


def _roughness(rgb: RgbImage, shape: tuple[int, int]) -> FloatArray:
    """Estimate the standard deviation of the grain, in levels, on an image of `shape` (h, w).

    White noise loses a ninth of its variance when its 3 x 3 mean is subtracted; mean |x| of a normal x is 0.8 sigma.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    fine = cv2.absdiff(grey, cv2.blur(grey, (3, 3)))
    cv2.multiply(fine, _FINER_LEVELS, dst=fine)  # saturates at edges, which are no grain
    small = cv2.resize(fine, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small * np.float32(1.06 / 0.8 / _FINER_LEVELS), np.float32)


def _columns(plan: _Plan, shape: tuple[int, ...], rows: slice) -> slice:
    """Return the columns of an image (H, W, ...) in which something is filled in these rows."""
    (height, width), known = shape[:2], plan.known
    down, across = len(known) / height, known.shape[1] / width
    near = known[max(int(down * rows.start) - 1, 0) : int(down * rows.stop) + 2]
    unknown = np.flatnonzero((near < 1).any(axis=0))
    if not len(unknown):
        return slice(0, 0)
    return slice(max(int((unknown[0] - 1) / across), 0), min(int(np.ceil((unknown[-1] + 2) / across)), width))


def _filled_strip(rgb: RgbImage, plan: _Plan, strip: slice, columns: slice, random: np.random.Generator) -> RgbImage:
    """Compute some rows and columns of the filled (H, W, 3) image: (rows, columns, 3) uint8."""
    height, width = rgb.shape[:2]
    size, rows = (width, height), strip.stop - strip.start

    def large(small: FloatArray) -> FloatArray:
        """Return this part of a small image (h, w, C), upsampled."""
        return enlarged(small, size, strip.start, rows)[:, columns]

    known, mirrored, limit, grain = cv2.split(large(cv2.merge([plan.known, plan.mirrored, plan.texture, plan.grain])))
    x, y = cv2.split(large(plan.mirror))
    x += np.arange(columns.start, columns.stop, dtype=np.float32)
    y += np.arange(strip.start, strip.stop, dtype=np.float32)[:, None]
    half = np.float32(0.5 * plan.scale - 0.5)
    texture = cv2.subtract(
        _sampled(rgb, x, y), _sampled(plan.smooth, x * plan.scale + half, y * plan.scale + half), dtype=cv2.CV_32F
    )
    excess = np.maximum(limit, strongest(np.abs(texture)))
    made = times(texture, np.asarray(mirrored * limit / excess, np.float32))
    made += large(plan.smooth)
    noise = random.standard_normal(grain.shape, np.float32) * grain * (1 - mirrored)
    made += cv2.merge([noise] * 3)
    made += times(cv2.subtract(rgb[strip, columns], made, dtype=cv2.CV_32F), known)
    # Dithered, because a smooth gradient without grain shows the steps between levels as rings.
    dither = (random.random(grain.shape, np.float32) - np.float32(0.5)) * (1 - known)
    made += cv2.merge([dither] * 3)
    return np.asarray(np.rint(np.clip(made, 0, 255, out=made)), np.uint8)


def _sampled(image: RgbImage | FloatArray, x: FloatArray, y: FloatArray) -> Any:
    """Sample an (H, W, C) image bilinearly at (h, w) positions; (h, w, C)."""
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
