"""Miso: a grey cat with a white bib and whiskers."""

from __future__ import annotations

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.curves import ellipse, smooth, symmetric
from tools.gallery.design import EyeDesign, FaceDesign, MouthDesign
from tools.gallery.easel import Easel, lips
from tools.gallery.eyes import EyePaint, draw_brows, draw_eyes
from tools.gallery.fur import Bald, comb
from tools.gallery.light import Lights, Material, shaded
from tools.gallery.solid import Camera, Solid, ball, carved, egg, look, melted, rod, two_sided

EYE = EyeDesign.of(
    (-0.615, -0.20), (-0.175, -0.155), -0.365, -0.015, iris=(-0.385, -0.19), radius=0.142,
    brow=[(-0.62, -0.575), (-0.50, -0.645), (-0.36, -0.65), (-0.22, -0.61)], brow_thick=0.05, top_at=0.48,
    bottom_at=0.52,
)  # fmt: skip
MOUTH = MouthDesign.of(
    [(-0.26, 0.47), (-0.19, 0.525), (-0.10, 0.535), (0, 0.48)],
    upper=[(-0.26, 0.47), (-0.19, 0.49), (-0.10, 0.495), (0, 0.44)],
    lower=[(-0.26, 0.47), (-0.19, 0.575), (-0.10, 0.60), (0, 0.585)],
)
FACE = FaceDesign(
    outline=smooth([
        (0, -0.86), (0.44, -0.82), (0.78, -0.58), (0.94, -0.16), (0.92, 0.20), (0.74, 0.52), (0.46, 0.72), (0.24, 0.82),
        (0, 0.85),
    ]),
    eye=EYE, mouth=MOUTH, nose_tip=(0, 0.20), nose_base=0.305, nose_half=0.13, bridge=-0.20,
)  # fmt: skip
CAMERA = Camera(896, 230.0, 447.5, 474.0)
_NOSE_PART = 1
_DARK = "#5a3a40"
_STRIPES = (
    [(0.0, -0.98), (0.0, -0.62)], [(0.15, -0.97), (0.12, -0.66)], [(0.30, -0.93), (0.23, -0.70)],
    [(0.98, -0.02), (0.74, 0.03)], [(0.99, 0.16), (0.76, 0.17)], [(0.93, 0.34), (0.74, 0.31)],
)  # fmt: skip
_WHISKERS = (
    [(0.24, 0.35), (0.58, 0.225), (0.92, 0.20)],
    [(0.25, 0.39), (0.615, 0.375), (0.98, 0.42)],
    [(0.24, 0.43), (0.57, 0.525), (0.90, 0.62)],
)


def draw(scale: float = 2.0) -> FloatArray:
    """Render the image, (H, W, 3) in [0, 1], at `scale` times the camera's size."""
    camera, lights = CAMERA.scaled(scale), Lights()
    fur = Material(_coat(camera), through=0.4, gloss=0.02, rough=0.8, sheen=0.6)
    pink = Material("#f08d92", through=0.4, gloss=0.22, rough=0.4)
    seen = look([melted(0.12, _head(), _ears()), _nose(), _chest()], camera, lights.key)
    easel = Easel.backdrop(camera, "#f3dcf2", "#d5b4e0", "#a184c4", "#8a6fb2", (0.40, 0.30))
    easel.place(seen, shaded(seen, [fur, pink, fur], lights))
    bald = [Bald(0, 0.50, 0.36, 0.15), Bald(0.40, -0.19, 0.28, 0.25), Bald(0, 0.20, 0.15, 0.11, keep=0)]
    comb(easel, seen, _NOSE_PART, bald, length=0.105, count=46000)
    easel.line([(0, 0.27), (0, 0.38), (0, 0.48)], (0.020, 0.016), _DARK, soft=0.006)
    easel.tint(lips(MOUTH), "#eec3bf", 0.4, soft=0.02)
    easel.mouth_line(MOUTH, 0.024, _DARK)
    easel.glow(ellipse(-0.03, 0.165, 0.035, 0.014), 0.6, soft=0.008)
    iris = ("#26371a", "#7ea03a", "#dbe37a")
    draw_eyes(easel, EYE, EyePaint(iris=iris, pupil=0.52, line="#23252e", line_width=0.03, lower_line=0.75))
    draw_brows(easel, EYE, "#4d5162", strength=0.75, soft=0.012)
    for side in (1, -1):
        for whisker in _WHISKERS:
            easel.line(smooth(whisker) * (side, 1), (0.011, 0.008, 0.002), "#ffffff", soft=0.001)
        for x, y in ((0.17, 0.35), (0.25, 0.33), (0.21, 0.41)):
            easel.lay(ellipse(side * x, y, 0.012, 0.012), "#8b8790", 0.7, soft=0.003)
    return easel.image


def _coat(camera: Camera) -> FloatArray:
    """Paint the texture of the fur, (H, W, 3)."""
    fur = Easel.plain(camera, "#8d93a5")
    for stripe in _STRIPES:
        for side in (1, -1) if stripe[0][0] else (1,):
            fur.line(smooth(stripe) * (side, 1), (0.02, 0.075, 0.03), "#565b6d", soft=0.018)
    blaze = [(0, -0.42), (0.07, -0.10), (0.12, 0.12), (0.30, 0.20), (0.47, 0.34), (0.46, 0.58), (0.34, 0.85), (0, 1.0)]
    fur.lay(symmetric(blaze), "#fdf8f2", soft=0.03)
    fur.lay(symmetric([(0, 0.75), (0.50, 0.95), (0.62, 1.5), (0.42, 2.1), (0, 2.4)]), "#fdf8f2", soft=0.05)
    inside = np.array([(0.50, -0.72), (0.60, -0.98), (0.83, -1.18), (0.85, -0.90), (0.74, -0.66)])
    for side in (1, -1):
        fur.lay(smooth(inside * (side, 1), closed=True), "#f4b9b4", 0.9, soft=0.03)
        fur.lay(ellipse(side * 0.40, -0.19, 0.31, 0.27), "#b9bdca", 0.5, soft=0.04)
    return fur.image


def _head() -> Solid:
    skull = egg((0, -0.14, -0.05), (1.00, 0.86, 0.80))
    cheeks = two_sided(egg((0.55, 0.28, 0.18), (0.50, 0.38, 0.46)))
    pads = two_sided(egg((0.165, 0.37, 0.72), (0.22, 0.185, 0.24)))
    bridge = rod((0, -0.25, 0.62), (0, 0.16, 0.84), 0.16, 0.12)
    sockets = two_sided(egg((0.40, -0.18, 1.0), (0.29, 0.24, 0.24)))
    face = carved(melted(0.26, melted(0.3, skull, cheeks), bridge), sockets, 0.2)
    return melted(0.10, face, pads, egg((0, 0.60, 0.55), (0.27, 0.20, 0.28)))


def _ears() -> Solid:
    front = rod((0.46, -0.66, -0.10), (0.84, -1.26, -0.12), 0.38, 0.07)
    back = rod((0.76, -0.48, -0.12), (0.85, -1.20, -0.12), 0.24, 0.06)
    return two_sided(carved(melted(0.12, front, back), rod((0.54, -0.70, 0.24), (0.83, -1.12, 0.04), 0.24, 0.05), 0.06))


def _nose() -> Solid:
    return melted(0.06, two_sided(ball((0.055, 0.185, 0.915), 0.055)), ball((0, 0.235, 0.90), 0.045))


def _chest() -> Solid:
    neck = rod((0, 0.5, -0.2), (0, 1.8, -0.3), 0.58, 0.72)
    return melted(0.3, neck, egg((0, 2.45, -0.35), (1.30, 1.0, 0.7)), egg((0, 1.50, 0.1), (0.52, 0.5, 0.35)))
