"""Sam: a young man in a hoodie, modelled like a vinyl toy."""

from __future__ import annotations

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.curves import ellipse, smooth
from tools.gallery.design import EyeDesign, FaceDesign, MouthDesign
from tools.gallery.easel import Easel, lips
from tools.gallery.eyes import EyePaint, draw_brows, draw_eyes
from tools.gallery.light import Lights, Material, shaded
from tools.gallery.solid import (
    Camera,
    Solid,
    ball,
    brick,
    bumpy,
    carved,
    egg,
    grown,
    look,
    melted,
    ring,
    rod,
    turned,
    two_sided,
)

EYE = EyeDesign.of(
    (-0.55, -0.185), (-0.155, -0.17), -0.36, -0.06, iris=(-0.345, -0.215), radius=0.125,
    brow=[(-0.60, -0.51), (-0.48, -0.595), (-0.33, -0.61), (-0.19, -0.585)], brow_thick=0.075, bottom_at=0.48,
)  # fmt: skip
MOUTH = MouthDesign.of(
    [(-0.285, 0.485), (-0.15, 0.55), (0, 0.57)],
    upper=[(-0.285, 0.485), (-0.16, 0.50), (-0.055, 0.487), (0, 0.497)],
    lower=[(-0.285, 0.485), (-0.15, 0.615), (0, 0.65)],
)
FACE = FaceDesign(
    outline=smooth([
        (0, -0.86), (0.42, -0.80), (0.72, -0.52), (0.80, -0.15), (0.79, 0.20), (0.69, 0.56), (0.48, 0.84), (0.24, 0.99),
        (0, 1.03),
    ]),
    eye=EYE, mouth=MOUTH, nose_tip=(0, 0.15), nose_base=0.25, nose_half=0.15, bridge=-0.27,
)  # fmt: skip
CAMERA = Camera(896, 246.0, 447.5, 452.0)
_HAIR = "#5a3420"


def draw(scale: float = 2.0) -> FloatArray:
    """Render the image, (H, W, 3) in [0, 1], at `scale` times the camera's size."""
    camera, lights = CAMERA.scaled(scale), Lights()
    skin = Easel.plain(camera, "#f6c09e")
    skin.blush(0.50, 0.25, 0.20, 0.14, "#ff9a86", 0.38, 0.09)
    skin.tint(ellipse(0, 0.15, 0.13, 0.1), "#ff9f8d", 0.35, soft=0.06)
    skin.tint(lips(MOUTH), "#e39a90", 0.6, soft=0.012)
    seen = look([melted(0.18, _head(), _neck()), _hair(), _hoodie()], camera, lights.key)
    materials = [
        Material(skin.image, through=1.0, gloss=0.10, rough=0.5), Material(_HAIR, gloss=0.10, rough=0.5, sheen=0.35),
        Material("#f2b13c", gloss=0.03, rough=0.7, sheen=0.5),
    ]  # fmt: skip
    easel = Easel.backdrop(camera, "#d6ecf7", "#a9d0ea", "#7aa7d4", "#6289bd", (0.36, 0.28))
    easel.place(seen, shaded(seen, materials, lights))
    shine = smooth([(-0.11, 0.605), (0, 0.62), (0.11, 0.605), (0, 0.595)], closed=True)
    easel.glow(shine, 0.3, paint="#ffe0d4", soft=0.014)
    below = smooth([(-0.13, 0.69), (0, 0.71), (0.13, 0.69), (0, 0.675)], closed=True)
    easel.tint(below, "#c58468", 0.4, soft=0.03)
    easel.mouth_line(MOUTH, 0.022, "#8a4037")
    draw_eyes(easel, EYE, EyePaint(iris=("#143a33", "#2f7d62", "#8fd6a8"), pupil=0.46))
    draw_brows(easel, EYE, _HAIR)
    return easel.image


def _head() -> Solid:
    skull = egg((0, -0.28, -0.08), (0.85, 0.90, 0.87))
    jaw = egg((0, 0.34, 0.06), (0.68, 0.66, 0.66))
    cheeks = two_sided(ball((0.38, 0.20, 0.42), 0.32))
    chin = ball((0, 0.80, 0.42), 0.2)
    ridge = rod((0, -0.12, 0.76), (0, 0.09, 0.87), 0.045, 0.085)
    nose = melted(0.10, ridge, ball((0, 0.14, 0.87), 0.11), two_sided(ball((0.085, 0.165, 0.82), 0.062)))
    sockets = two_sided(egg((0.36, -0.23, 1.0), (0.30, 0.22, 0.18)))
    face = carved(melted(0.34, skull, jaw, cheeks, chin), sockets, 0.22)
    ear = egg((0.83, 0.0, -0.05), (0.10, 0.19, 0.15), turn=turned(25, 0, 8))
    ears = two_sided(carved(ear, egg((0.93, -0.01, 0.06), (0.07, 0.12, 0.1)), 0.06))
    return melted(0.10, melted(0.09, face, nose), ears)


def _hair() -> Solid:
    cap = grown(egg((0, -0.34, -0.12), (0.85, 0.92, 0.88)), 0.06)
    cap = carved(cap, brick((0, 0.24, 1.15), (0.755, 1.0, 1.1), 0.5), 0.08)
    cap = carved(cap, brick((0, 1.10, 0.0), (1.4, 0.93, 2.0), 0.1), 0.06)
    locks = [
        egg((x, y, z), (1.15 * size, 0.72 * size, 1.1 * size), turn=turned(0, -28, lean))
        for x, y, z, size, lean in (
            (-0.58, -0.92, 0.30, 0.24, -38), (-0.36, -1.10, 0.44, 0.29, -20), (-0.06, -1.21, 0.48, 0.32, -6),
            (0.28, -1.19, 0.46, 0.31, 10), (0.55, -1.00, 0.34, 0.27, 30),
        )
    ]  # fmt: skip

    def strands(p: FloatArray) -> FloatArray:
        """Return (N,) heights at (3, N) points."""
        return np.asarray(0.007 * np.sin(30 * (p[0] + 0.25 * p[1]) + 3 * np.sin(3.1 * p[1] + 2 * p[0]) + 9 * p[2]))

    return bumpy(melted(0.16, cap, *locks), strands)


def _hoodie() -> Solid:
    body = melted(0.3, egg((0, 2.62, -0.35), (1.50, 1.05, 0.75)), two_sided(ball((1.0, 2.2, -0.35), 0.5)))
    collar = ring((0, 1.46, -0.12), 0.46, 0.14, turn=turned(0, 72, 0))
    hood = two_sided(egg((0.52, 1.52, -0.25), (0.42, 0.22, 0.40), turn=turned(0, 0, 28)))
    return melted(0.12, body, hood, collar)


def _neck() -> Solid:
    return rod((0, 0.6, -0.12), (0, 1.9, -0.25), 0.36, 0.42)
