"""Zuri: a woman with an afro and a headband, in flat colours."""

from __future__ import annotations

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.curves import Points, ellipse, ribbon, shifted, smooth, symmetric
from tools.gallery.design import EyeDesign, FaceDesign, MouthDesign
from tools.gallery.easel import Easel
from tools.gallery.eyes import EyePaint, draw_brows, draw_eyes
from tools.gallery.paint import glow, lay
from tools.gallery.solid import Camera

EYE = EyeDesign.of(
    (-0.55, -0.235), (-0.17, -0.205), -0.365, -0.10, iris=(-0.355, -0.235), radius=0.112,
    brow=[(-0.62, -0.495), (-0.50, -0.585), (-0.34, -0.60), (-0.17, -0.555)], brow_thick=0.07, top_at=0.52,
    bottom_at=0.46,
)  # fmt: skip
MOUTH = MouthDesign.of(
    [(-0.285, 0.485), (-0.15, 0.55), (0, 0.568)],
    upper=[(-0.285, 0.485), (-0.17, 0.475), (-0.06, 0.447), (0, 0.462)],
    lower=[(-0.285, 0.485), (-0.16, 0.628), (0, 0.672)],
)
FACE = FaceDesign(
    outline=smooth([
        (0, -0.80), (0.40, -0.77), (0.69, -0.54), (0.775, -0.18), (0.765, 0.18), (0.68, 0.55), (0.46, 0.85),
        (0.22, 1.0), (0, 1.03),
    ]),
    eye=EYE, mouth=MOUTH, nose_tip=(0, 0.15), nose_base=0.25, nose_half=0.17, bridge=-0.25,
)  # fmt: skip
CAMERA = Camera(896, 234.0, 447.5, 470.0)
_SKIN, _HAIR, _GOLD = "#9f603c", "#33211f", "#f6b73c"


def draw(scale: float = 2.0) -> FloatArray:
    """Render the image, (H, W, 3) in [0, 1], at `scale` times the camera's size."""
    easel = Easel.backdrop(CAMERA.scaled(scale), "#ffe3d2", "#ffd0bb", "#fbab9b", "#f59387", (0.5, 0.42))
    _hair(easel)
    _clothes(easel)
    for side in (1, -1):
        _ear(easel, side)
    easel.lay(symmetric(FACE.outline[::12]), _SKIN)
    on_face = easel.mask(symmetric(FACE.outline[::12]))
    shadow = [
        (0.50, -0.9), (0.62, -0.35), (0.56, 0.10), (0.60, 0.42), (0.40, 0.74), (0.06, 1.0), (0.4, 1.2), (1.0, 0.7),
        (1.0, -0.6),
    ]  # fmt: skip
    easel.tint(smooth(shadow, closed=True), "#ecc0a8", within=on_face)
    easel.blush(0.47, 0.25, 0.17, 0.12, "#ffa58c", 0.42, 0.05)
    _nose(easel)
    _lips(easel)
    _front_hair(easel, on_face)
    _band(easel)
    draw_eyes(easel, EYE, EyePaint(
        white="#fffaf3", iris=("#241109", "#4a2612", "#8a5227"), pupil=0.5, lid_shadow=0.14, line="#22120f",
        line_width=0.034, lower_line=0.35, lash=0.085, glint=0.26,
    ))  # fmt: skip
    draw_brows(easel, EYE, _HAIR)
    return easel.image


def _cloud(grow: float) -> Points:
    """Return the outline of the afro, (N, 2)."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    lobes = grow * (1 + 0.028 * np.abs(np.sin(11 * angle + 0.4)) + 0.012 * np.sin(5 * angle))
    return np.stack([1.24 * lobes * np.cos(angle), -0.42 + 1.14 * lobes * np.sin(angle)], axis=1)


def _hair(easel: Easel) -> None:
    easel.lay(_cloud(1.0), _HAIR)
    random = np.random.default_rng(7)
    curls = []
    for row, radius in enumerate((0.70, 0.84, 0.98, 1.11)):
        for angle in np.linspace(0, 2 * np.pi, round(26 * radius), endpoint=False) + 0.13 * row:
            turn, bow = angle + random.normal(0, 0.25), 0.075 * random.uniform(0.8, 1.2)
            x, y = 1.10 * radius * np.cos(angle), -0.42 + radius * np.sin(angle)
            arc = np.linspace(turn - 1.2, turn + 1.2, 14)
            curls.append(ribbon(np.stack([x + bow * np.cos(arc), y + bow * np.sin(arc)], axis=1), [0.004, 0.02, 0.004]))
    lay(easel.image, easel.mask(*curls) * easel.mask(_cloud(0.97)), "#5c3d37", 0.9)
    light = ellipse(-0.55, -1.05, 0.55, 0.42)
    easel.glow(light, 0.22, paint="#a86f5a", soft=0.25, within=easel.mask(_cloud(1.0)))


def _clothes(easel: Easel) -> None:
    half = [(0, 1.42), (0.42, 1.50), (0.95, 1.66), (1.28, 1.95), (1.42, 2.6), (0, 2.6)]
    easel.lay(symmetric(half), "#12747a")
    light = [(-1.28, 1.95), (-0.95, 1.66), (-0.6, 1.57), (-0.95, 1.95), (-1.02, 2.6), (-1.42, 2.6)]
    easel.lay(smooth(light, closed=True), "#1b8b8f")
    neck = np.array([(-0.37, 0.6), (0.37, 0.6), (0.40, 1.62), (-0.40, 1.62)])
    easel.lay(neck, _SKIN)
    easel.tint(ellipse(0.05, 0.86, 0.62, 0.46), "#d0a088", within=easel.mask(neck))
    collar = [(-0.45, 1.26), (0, 1.37), (0.45, 1.26), (0.52, 1.56), (0, 1.72), (-0.52, 1.56)]
    easel.lay(smooth(collar, closed=True), "#159197")
    easel.line(smooth([(-0.47, 1.40), (0, 1.52), (0.47, 1.40)]), (0.02, 0.03, 0.02), "#0f6c72")


def _ear(easel: Easel, side: int) -> None:
    easel.lay(ellipse(side * 0.79, 0.02, 0.115, 0.19), _SKIN)
    easel.lay(ellipse(side * 0.81, 0.02, 0.06, 0.11), "#7d4529")
    hoop = easel.mask(ellipse(side * 0.845, 0.40, 0.165, 0.175)) - easel.mask(ellipse(side * 0.845, 0.40, 0.12, 0.13))
    lay(easel.image, hoop, _GOLD)
    glow(easel.image, hoop * easel.mask(ellipse(side * 0.845 - 0.06, 0.31, 0.1, 0.09), soft=0.02), "#ffffff", 0.5)


def _nose(easel: Easel) -> None:
    under = [(-0.17, 0.185), (-0.10, 0.235), (0, 0.265), (0.10, 0.235), (0.17, 0.185), (0.11, 0.275), (0, 0.30)]
    easel.lay(smooth([*under, (-0.11, 0.275)], closed=True), "#74402a", 0.8, soft=0.008)
    for side in (1, -1):
        easel.lay(ellipse(side * 0.075, 0.232, 0.035, 0.016, turn_deg=side * 12), "#4e2618", 0.85, soft=0.004)
    ridge = [(-0.05, -0.15), (-0.06, 0.05), (-0.03, 0.15), (0.04, 0.14), (0.02, -0.1)]
    easel.glow(smooth(ridge, closed=True), 0.22, paint="#e9a982", soft=0.03)


def _lips(easel: Easel) -> None:
    easel.lay(np.concatenate([MOUTH.upper, MOUTH.line[::-1]]), "#8e3a3f")
    easel.lay(np.concatenate([MOUTH.line, MOUTH.lower[::-1]]), "#b3504f")
    shine = smooth([(-0.10, 0.605), (0, 0.625), (0.10, 0.605), (0, 0.59)], closed=True)
    easel.lay(shine, "#d98a80", 0.75, soft=0.006)
    easel.mouth_line(MOUTH, 0.020, "#4d1c22")


def _front_hair(easel: Easel, on_face: FloatArray) -> None:  # mask (H, W) in [0, 1]
    inner = [(-0.82, -0.02), (-0.79, -0.35), (-0.66, -0.60), (-0.40, -0.735), (0, -0.775), (0.40, -0.735)]
    inner += [(0.66, -0.60), (0.79, -0.35), (0.82, -0.02)]
    hair = smooth([*inner, (1.0, -0.5), (0.7, -1.0), (0, -1.15), (-0.7, -1.0), (-1.0, -0.5)], closed=True)
    easel.tint(shifted(hair, 0, 0.05), "#b87a5d", 0.7, soft=0.03, within=on_face)
    easel.lay(hair, _HAIR)


def _band(easel: Easel) -> None:
    lower = [(-0.93, -0.44), (-0.72, -0.80), (-0.38, -0.97), (0, -1.02), (0.38, -0.97), (0.72, -0.80), (0.93, -0.44)]
    upper = [(0.99, -0.60), (0.80, -0.97), (0.42, -1.17), (0, -1.225), (-0.42, -1.17), (-0.80, -0.97), (-0.99, -0.60)]
    band = smooth([*lower, *upper], closed=True)
    on_band = easel.mask(band)
    easel.lay(band, _GOLD)
    angles = np.linspace(-2.75, -0.39, 12)
    dots = [ellipse(0.93 * np.cos(angle), -0.18 + 0.94 * np.sin(angle), 0.045, 0.045) for angle in angles]
    lay(easel.image, easel.mask(*dots) * on_band, "#e2574c")
    easel.glow(ellipse(-0.45, -1.06, 0.3, 0.12, turn_deg=-24), 0.3, soft=0.06, within=on_band)
