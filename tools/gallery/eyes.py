"""Painting of eyes: white, iris, the lid's shadow, lashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.curves import at_fractions, ribbon, shifted
from tools.gallery.design import EyeDesign
from tools.gallery.easel import Easel
from tools.gallery.paint import Colour, between, colour, lay, tint


@dataclass(frozen=True)
class EyePaint:
    """Colours and line widths of an eye; lengths in camera units."""

    white: Colour = "#fbf8f4"
    iris: tuple[Colour, Colour, Colour] = ("#2c1a10", "#6b3f1d", "#b57a3c")  # rim, middle, lit part below the pupil
    pupil: float = 0.42  # of the iris's radius
    pupil_colour: Colour = "#0c0908"
    lid_shadow: float = 0.2
    lid_shadow_colour: Colour = "#5a4652"
    line: Colour = "#2a1a18"  # lashes
    line_width: float = 0.034
    lower_line: float = 0.3  # of the upper line's strength
    lash: float = 0.0  # length of the lashes at the outer corner
    glint: float = 0.24  # radius of the light, in radii of the iris


def draw_eyes(easel: Easel, eye: EyeDesign, paint: EyePaint) -> None:
    """Paint both eyes, in place; the light falls from the left in both."""
    for side in (1, -1):
        outline = eye.opening * (side, 1)
        lay(easel.image, easel.mask(outline), _ball(easel, eye, paint, side))
        _lines(easel, eye, paint, side)


def _ball(easel: Easel, eye: EyeDesign, paint: EyePaint, side: int) -> FloatArray:
    """Paint the visible part of the eyeball, (H, W, 3)."""
    camera, flip = easel.camera, (side, 1)
    at = np.arange(camera.side_px, dtype=np.float32)
    corners = camera.pixels(eye.upper[[0, -1]] * flip)
    middle = camera.pixels((eye.upper.mean(axis=0) + eye.lower.mean(axis=0)) / 2 * flip)
    wide = abs(corners[0, 0] - corners[1, 0]) / 2
    away = np.hypot((at[None] - middle[0]) / wide, (at[:, None] - middle[1]) / wide)
    ball = Easel.plain(camera, paint.white).image
    ball *= (1 - 0.12 * np.clip(away - 0.35, 0, 1) ** 1.5)[..., None]  # it is round
    centre, radius = camera.pixels(np.array(eye.iris) * flip), eye.radius * camera.unit_px
    x, y = (at[None] - centre[0]) / radius, (at[:, None] - centre[1]) / radius
    far = np.hypot(x, y)

    def inside(distance: FloatArray) -> FloatArray:
        """Rasterise (H, W) distances in iris radii with antialiasing: 1 where they are below 0."""
        return np.asarray(np.clip(0.5 - distance * radius / 1.6, 0, 1)[..., None], np.float32)

    ball += inside(far - 1) * (_iris(far, x, y, paint) - ball)
    ball += inside(far - paint.pupil) * (colour(paint.pupil_colour) - ball) * inside(far - 1)
    for dx, dy, share, strength in ((-0.32, -0.36, paint.glint, 0.97), (0.36, 0.42, 0.5 * paint.glint, 0.45)):
        ball += strength * inside(np.hypot(x - dx, y - dy) - share) * (1 - ball)
    roof = np.concatenate([shifted(eye.upper, 0, -0.3), shifted(eye.upper, 0, 0.05)[::-1]]) * flip
    tint(ball, easel.mask(roof, soft=0.03), paint.lid_shadow_colour, paint.lid_shadow)
    return ball


def _iris(far: FloatArray, x: FloatArray, y: FloatArray, paint: EyePaint) -> FloatArray:
    """Compute the iris's colours, (H, W, 3), at (H, W) distances from its centre in radii, lit from below."""
    rim, plain, bright = (colour(each) for each in paint.iris)
    disc = between(far, [(0, plain), (0.55, plain), (0.80, 0.6 * plain + 0.4 * rim), (0.93, rim), (1.0, rim)])
    lit = np.clip(0.15 + 0.75 * y, 0, 1) * np.clip(1.25 - 1.3 * np.abs(far - 0.62) / 0.4, 0, 1)
    disc += lit[..., None] * (bright - disc)
    spokes = 0.05 * np.sin(23 * np.arctan2(y, x)) * np.clip(1.6 - 2 * np.abs(far - 0.65) / 0.4, 0, 1)
    return np.asarray(disc * (1 + spokes)[..., None])


def _lines(easel: Easel, eye: EyeDesign, paint: EyePaint, side: int) -> None:
    """Draw the lashes, outside the opening only: inside they would count as part of the white."""
    flip, wide = (side, 1), paint.line_width
    upper, lower = eye.upper * flip, eye.lower * flip
    line = [ribbon(shifted(upper, 0, -0.5 * wide), [0.75 * wide, 1.15 * wide, 1.2 * wide, 0.9 * wide, 0.35 * wide])]
    if paint.lash > 0:
        for at, lean in ((0.02, -1.0), (0.14, -0.75), (0.28, -0.45)):
            root = at_fractions(upper, [at])[0]
            tip = root + np.array([side * lean, -0.62]) * paint.lash
            bend = (root + tip) / 2 + np.array([0, 0.12 * paint.lash])
            line.append(ribbon(np.array([root, bend, tip]), [0.9 * wide, 0.55 * wide, 0.08 * wide]))
    mask = np.maximum.reduce([easel.mask(outline, soft=0.006) for outline in line])  # soft: a closing lid stretches it
    lay(easel.image, mask, paint.line)
    below = ribbon(shifted(lower[4:-4], 0, 0.3 * wide), [0.5 * wide, 0.4 * wide, 0.2 * wide])
    easel.lay(below, paint.line, paint.lower_line, soft=0.15 * wide)


def draw_brows(easel: Easel, eye: EyeDesign, paint: Colour, *, strength: float = 1.0, soft: float = 0.006) -> None:
    """Paint both brows between the curves of the design, in place."""
    for side in (1, -1):
        easel.lay(np.concatenate([eye.brow_top, eye.brow_bottom[::-1]]) * (side, 1), paint, strength, soft=soft)
