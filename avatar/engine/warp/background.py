"""What lies behind the person, made up once per avatar, and the person's own colours along the soft outline.

The background's large structures are continued under the person and dissolve there (inpaint.py); what is finer is
mirrored across the outline, as far as it is texture, and fades into grain deeper inside. Only pixels that certainly are
background are used; a rim of hair colour or sharpening along the outline is left to the person, so that the head does
not leave a ring behind when it moves away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.backdrop import Backdrop
from avatar.engine.warp.fields import Mask, as_unit, blurred, distance_to, masked_blur, smooth_fill, strongest, typical
from avatar.engine.warp.guided import enlarged
from avatar.engine.warp.headroom import Head, shrunk
from avatar.engine.warp.inpaint import continued
from avatar.frames import FloatArray, RgbImage

WORK_SIDE = 640  # px; the smooth part needs no more
_GRAIN = 10.0  # levels: a difference no larger is noise, and twice that is not; on black or white noise has no room
_STRIP_ROWS = 128  # a large picture is worked through in strips, which bounds the memory
_PERSON = (0.02, 0.06)  # matte above which a pixel is no source of background colours: plain, busy background
_MARGIN = 0.02  # head sizes that are kept clear of the person besides
_FINE = 0.012  # head sizes; grain up to this size is not continued as a line
_MIRROR_DEPTH = 0.4  # head sizes from the outline at which mirrored texture has faded away
_TEXTURE = 1.5  # times the usual deviation: what is more is no texture, and its mirror image would show


def fill_background(rgb: RgbImage, matte: FloatArray, landmarks: FloatArray) -> RgbImage:
    """Take the person out of a picture.

    Args:
        rgb: (H, W, 3).
        matte: (H, W) in [0, 1], 1 on the person.
        landmarks: (478, 3) pixels; their size sets the scale of structures.
    Returns:
        (H, W, 3), the picture itself a margin away from where the matte is 0. Over this background the matte has to be
        widened (`widened_matte`) for the picture to be put together again.
    """
    head = Head.of(landmarks)
    rows, columns = head.box(rgb.shape)
    part, part_matte = rgb[rows, columns], np.ascontiguousarray(matte[rows, columns])
    filled = rgb.copy()
    plan = _plan(np.ascontiguousarray(part), part_matte, head.size)
    if plan is None:
        return filled
    random = np.random.default_rng(0)  # the same picture always gets the same grain
    for top in range(0, len(part), _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, len(part)))
        colours = _filled_strip(part, plan, strip, random)
        filled[rows, columns][strip] = np.round(255 * colours).astype(np.uint8)
    return filled


def widened_matte(rgb: RgbImage, matte: FloatArray, background: RgbImage) -> FloatArray:
    """Leave to the person whatever of the picture the background alone does not explain.

    That is the rim along the outline in which the matte misses a little hair, or sharpening has drawn a halo.

    Args:
        rgb: (H, W, 3), the picture.
        matte: (H, W) in [0, 1].
        background: (H, W, 3), from `fill_background`.
    Returns:
        (H, W) in [0, 1], the smallest matte >= `matte` over which a foreground between 0 and 255 gives the picture
        (Smith and Blinn, "Blue Screen Matting", 1996), but for grain.
    """
    wide = np.empty_like(matte)
    for top in range(0, len(rgb), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        image, behind = rgb[strip], background[strip]
        room = np.maximum(np.where(image > behind, 255 - behind, behind), 1)
        apart = cv2.absdiff(image, behind)
        share = cv2.divide(apart, room, dtype=cv2.CV_32F) * np.clip(apart / np.float32(_GRAIN) - 1, 0, 1)
        wide[strip] = np.maximum(matte[strip], strongest(share))
    return wide


def foreground_colors(rgb: RgbImage, matte: FloatArray, background: RgbImage) -> RgbImage:
    """The person's own colour where background shines through: (I - (1 - alpha) B) / alpha, the mixture solved for it.

    Args:
        rgb: (H, W, 3), the picture.
        matte: (H, W) in [0, 1], from `widened_matte`.
        background: (H, W, 3), from `fill_background`.
    Returns:
        (H, W, 3); matte * foreground + (1 - matte) * background gives back the picture. Where the matte is 0, the
        person's colours continued, so that resampling has something sensible to mix with.
    """
    small, _ = shrunk(rgb, WORK_SIDE)
    size_small = (small.shape[1], small.shape[0])
    alpha_small = cv2.resize(matte, size_small, interpolation=cv2.INTER_AREA)
    solid = (alpha_small > 0.97).astype(np.float32) + 0.05 * (alpha_small > 0.8)
    expected = smooth_fill(small.astype(np.float32), np.minimum(solid, 1))
    colours = np.empty_like(rgb)
    size = (rgb.shape[1], rgb.shape[0])
    for top in range(0, len(rgb), _STRIP_ROWS):
        strip = slice(top, min(top + _STRIP_ROWS, len(rgb)))
        alpha = matte[strip, :, None]
        prior = enlarged(expected, size, top, strip.stop - top)
        missing = rgb[strip] - alpha * prior - (1 - alpha) * background[strip]
        # Least squares with a slight pull to the expected colour, which decides where alpha is next to nothing.
        solved = prior + missing * (alpha / (alpha * alpha + 1e-4))
        solved = np.where(alpha > 0.995, rgb[strip], solved)
        colours[strip] = np.round(np.clip(solved, 0, 255)).astype(np.uint8)
    return colours


@dataclass(frozen=True, eq=False)
class _Plan:
    """How to fill, on a small picture (h, w); colours in [0, 1]."""

    smooth: FloatArray  # (h, w, 3), the background without its texture
    known: FloatArray  # (h, w) in [0, 1], 1 where the picture shows it
    mirror: FloatArray  # (h, w, 2), where in the picture a filled pixel's texture comes from, as a step in pixels
    mirrored: FloatArray  # (h, w) in [0, 1], how much of that texture to take
    texture: FloatArray  # (h, w), how far it may differ from the smooth part
    grain: FloatArray  # (h, w), standard deviation
    scale: float  # small pixels per pixel


def _plan(rgb: RgbImage, matte: FloatArray, size: float) -> _Plan | None:
    """Everything that can be decided on a small picture; None if there is no background to learn from."""
    small, scale = shrunk(rgb, WORK_SIDE)
    image = as_unit(small)
    alpha = cv2.resize(matte, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    size *= scale
    reach = max(1, round(_MARGIN * size))
    covered = _grown(alpha > _PERSON[0], reach)
    if covered.size - covered.sum() < 16 or min(covered.shape) < 4:
        return None
    backdrop = Backdrop.learn(image, ~covered, size)
    # Before a busy background the matte takes bits of it for hair; as holes they would be blurred for nothing.
    person = alpha > _PERSON[1] + (_PERSON[0] - _PERSON[1]) * backdrop.plain
    covered = _grown(person, reach)
    weight = (~covered).astype(np.float32)
    smooth = masked_blur(image, weight, _FINE * size)
    smooth += backdrop.plain[..., None] * (backdrop.colour - smooth)  # where it is plain, strays do not count either
    smooth = continued(smooth, ~covered, size)
    mirror, valid = _mirror(covered, reach, size)
    seen = cv2.remap(weight, *_at(mirror), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mirrored = valid * blurred(cv2.erode(np.asarray(seen), np.ones((3, 3), np.uint8)), 0.015 * size)
    tile = max(8, round(0.3 * size))
    grain = typical(_roughness(rgb, alpha.shape), ~covered, tile, 50)
    texture = _TEXTURE * typical(strongest(cv2.absdiff(image, smooth)), ~covered, tile, 50) + np.float32(1 / 255)
    # The picture comes back within the margin already: the rim is thin, and structures should not travel with the head.
    known = np.clip((distance_to(person) - 0.5 * reach) / (0.5 * reach + 1), 0, 1).astype(np.float32)
    return _Plan(smooth, known, mirror / np.float32(scale), mirrored, texture, grain, scale)


def _grown(mask: Mask, reach: int) -> Mask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc).astype(np.bool_))


def _mirror(covered: Mask, reach: int, size: float) -> tuple[FloatArray, FloatArray]:
    """Steps across the nearest outline to as far on its other side, and where they are to be trusted.

    The signed distance is smoothed first: the map then is smooth too, and turns jagged hair into a calm line.
    """
    depth = distance_to(~covered)
    signed = blurred(depth - distance_to(covered), 0.08 * size)
    down, across = np.gradient(signed)
    steepness = np.hypot(down, across)
    step = -2 * (np.maximum(signed, depth) + reach)
    mirror = np.dstack([across, down]) * (step / np.maximum(steepness, 1e-3))[..., None]
    # Where outlines of two sides meet, the distance has a ridge and the mirror images clash.
    valid = np.clip((steepness - 0.6) / 0.3, 0, 1) * np.clip((_MIRROR_DEPTH - depth / size) / 0.25, 0, 1)
    return mirror.astype(np.float32), valid.astype(np.float32)


def _at(step: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Positions that lie `step` (H, W, 2) pixels from each pixel, as `remap` wants them."""
    height, width = step.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x + step[..., 0], y + step[..., 1]


def _roughness(rgb: RgbImage, shape: tuple[int, int]) -> FloatArray:
    """Standard deviation of the finest grain, in [0, 1], on a picture of `shape` (h, w).

    White noise loses a ninth of its variance when its 3 x 3 mean is taken away; mean |x| of a normal x is 0.8 sigma.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    fine = cv2.absdiff(grey, cv2.blur(grey, (3, 3)))
    small = cv2.resize(fine.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small * np.float32(1.06 / 0.8 / 255), np.float32)


def _filled_strip(rgb: RgbImage, plan: _Plan, strip: slice, random: np.random.Generator) -> FloatArray:
    """Some rows of the filled picture, (rows, W, 3) in [0, 1]."""
    height, width = rgb.shape[:2]
    rows = strip.stop - strip.start
    maps = np.dstack([plan.known, plan.mirrored, plan.texture, plan.grain])
    known, mirrored, limit, grain = cv2.split(enlarged(maps, (width, height), strip.start, rows))
    smooth = enlarged(plan.smooth, (width, height), strip.start, rows)
    x, y = _at(enlarged(plan.mirror, (width, height), strip.start, rows))
    y += np.float32(strip.start)
    half = np.float32(0.5 * plan.scale - 0.5)
    texture = _sampled(rgb, x, y) / np.float32(255)
    texture -= _sampled(plan.smooth, x * plan.scale + half, y * plan.scale + half)
    excess = np.maximum(limit, strongest(np.abs(texture)))
    texture *= (mirrored * limit / excess)[..., None]
    noise = random.standard_normal((rows, width), np.float32) * grain * (1 - mirrored)
    made = np.clip(smooth + texture + noise[..., None], 0, 1)
    return np.asarray(made + known[..., None] * (as_unit(rgb[strip]) - made), np.float32)


def _sampled(image: RgbImage | FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(sampled, np.float32)
