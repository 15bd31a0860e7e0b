"""Elise: a lady before a dark ground, painted in oil."""

from __future__ import annotations

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.curves import ellipse, smooth
from tools.gallery.design import EyeDesign, FaceDesign, MouthDesign
from tools.gallery.easel import Easel, lips
from tools.gallery.eyes import EyePaint, draw_brows, draw_eyes
from tools.gallery.light import Lights, Material, shaded
from tools.gallery.paint import noise
from tools.gallery.solid import (
    Camera,
    Solid,
    ball,
    both,
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
from tools.gallery.strokes import painted

EYE = EyeDesign.of(
    (-0.525, -0.205), (-0.170, -0.185), -0.312, -0.135, iris=(-0.350, -0.228), radius=0.093,
    brow=[(-0.60, -0.42), (-0.48, -0.488), (-0.34, -0.49), (-0.19, -0.452)], brow_thick=0.048, top_at=0.52,
    bottom_at=0.45,
)  # fmt: skip
MOUTH = MouthDesign.of(
    [(-0.25, 0.458), (-0.13, 0.512), (-0.04, 0.512), (0, 0.52)],
    upper=[(-0.25, 0.458), (-0.14, 0.452), (-0.05, 0.423), (0, 0.437)],
    lower=[(-0.25, 0.458), (-0.14, 0.575), (0, 0.618)],
)
FACE = FaceDesign(
    outline=smooth([
        (0, -0.82), (0.40, -0.77), (0.67, -0.50), (0.745, -0.15), (0.735, 0.20), (0.64, 0.55), (0.43, 0.83),
        (0.20, 0.96), (0, 0.985),
    ]),
    eye=EYE, mouth=MOUTH, nose_tip=(0, 0.13), nose_base=0.245, nose_half=0.155, bridge=-0.28,
)  # fmt: skip
CAMERA = Camera(896, 246.0, 447.5, 446.0)
_LIGHTS = Lights(
    key=(-0.62, -0.62, 0.80), key_colour="#ffeccf", key_strength=0.95, sky_colour="#c3c6c4", sky_strength=0.32,
    bounce_colour="#e8a77c", bounce_strength=0.24, rim_colour="#d9b58a", rim_strength=0.22,
)  # fmt: skip
_BRUSHES = (26.0, 13.0, 7.0, 3.6)  # pixels, in the finished image


def draw(scale: float = 2.0) -> FloatArray:
    """Render the image, (H, W, 3) in [0, 1], at `scale` times the camera's size."""
    camera = CAMERA.scaled(scale)
    seen = look([melted(0.18, _head(), _bust()), _hair(), _dress(), _lace(), _pearls()], camera, _LIGHTS.key)
    materials = [
        Material(_skin(camera), through=1.0, gloss=0.12, rough=0.45),
        Material("#7f431f", gloss=0.07, rough=0.5, sheen=0.25), Material("#28584a", gloss=0.05, rough=0.6, sheen=0.6),
        Material("#e9e0cf", gloss=0.03, rough=0.6, sheen=0.3), Material("#efe6d8", gloss=0.6, rough=0.28),
    ]  # fmt: skip
    easel = Easel.backdrop(camera, "#8a7a55", "#5c5439", "#33301f", "#242116", (0.66, 0.36))
    side = camera.side_px
    easel.image *= (1 + 0.10 * noise(side, 0.12 * side, 5) + 0.06 * noise(side, 0.04 * side, 6))[..., None]
    easel.place(seen, shaded(seen, materials, _LIGHTS))
    easel.mouth_line(MOUTH, 0.018, "#5d2420")
    shine = smooth([(-0.09, 0.557), (0, 0.572), (0.07, 0.557), (0, 0.545)], closed=True)
    easel.glow(shine, 0.45, paint="#ffd9cc", soft=0.014)
    draw_eyes(easel, EYE, EyePaint(
        white="#f3ebe0", iris=("#2a2a1c", "#5d6b3f", "#a9b072"), lid_shadow=0.3, lid_shadow_colour="#7d6a62",
        line="#3a2017", line_width=0.020, glint=0.2,
    ))  # fmt: skip
    draw_brows(easel, EYE, "#5e3319", strength=0.8)
    return _in_oil(easel, scale)


def _in_oil(easel: Easel, scale: float) -> FloatArray:
    """Repaint the image (H, W, 3) in brush strokes, with the finest brush on eyes and mouth."""
    fine = np.maximum.reduce(
        [
            easel.mask(ellipse(-0.35, -0.235, 0.26, 0.17), soft=0.05),
            easel.mask(ellipse(0.35, -0.235, 0.26, 0.17), soft=0.05),
            easel.mask(ellipse(0, 0.52, 0.33, 0.16), soft=0.05),
        ]
    )
    face = easel.mask(ellipse(0, 0.1, 0.85, 1.05), soft=0.15)
    brushes = tuple(brush * scale for brush in _BRUSHES)
    oil = painted(easel.image, brushes, np.maximum(np.float32(0.35) * face, fine))
    return np.asarray(oil + (np.float32(0.8) * fine)[..., None] * (easel.image - oil))


def _skin(camera: Camera) -> FloatArray:
    """Paint the texture of the skin, (H, W, 3)."""
    skin = Easel.plain(camera, "#f3c9a6")
    skin.blush(0.45, 0.20, 0.20, 0.14, "#ff9c86", 0.55, 0.10)
    skin.blush(0.35, -0.23, 0.24, 0.15, "#e8b8a6", 0.5, 0.06)
    skin.tint(ellipse(0, 0.13, 0.12, 0.1), "#ffac98", 0.45, soft=0.06)
    skin.tint(ellipse(0, 0.82, 0.2, 0.12), "#ffb7a2", 0.3, soft=0.1)
    skin.tint(lips(MOUTH), "#d4716a", 0.85, soft=0.012)
    return skin.image


def _head() -> Solid:
    skull = egg((0, -0.28, -0.08), (0.80, 0.88, 0.84))
    jaw = egg((0, 0.32, 0.05), (0.61, 0.64, 0.62))
    cheeks = two_sided(ball((0.38, 0.12, 0.43), 0.28))
    chin = ball((0, 0.77, 0.44), 0.17)
    mouth = egg((0, 0.51, 0.50), (0.30, 0.24, 0.28))
    sockets = two_sided(egg((0.35, -0.20, 1.0), (0.25, 0.17, 0.25)))
    balls = two_sided(egg((0.35, -0.215, 0.50), (0.21, 0.17, 0.20)))
    ridge = rod((0, -0.28, 0.72), (0, 0.06, 0.86), 0.05, 0.07)
    nose = melted(0.10, ridge, ball((0, 0.11, 0.865), 0.08), two_sided(ball((0.095, 0.155, 0.78), 0.055)))
    nostrils = two_sided(egg((0.06, 0.225, 0.83), (0.033, 0.02, 0.05)))
    upper_lip = two_sided(egg((0.06, 0.468, 0.74), (0.13, 0.045, 0.07), turn=turned(0, 0, 10)))
    both_lips = melted(0.05, upper_lip, egg((0, 0.562, 0.73), (0.14, 0.052, 0.075)))
    face = melted(0.30, skull, jaw, cheeks, chin, mouth)
    face = melted(0.10, carved(face, sockets, 0.24), balls)
    return melted(0.05, carved(melted(0.11, face, nose), nostrils, 0.03), both_lips)


def _hair() -> Solid:
    cap = grown(egg((0, -0.32, -0.12), (0.81, 0.90, 0.86)), 0.05)
    cap = carved(cap, brick((0, 0.36, 1.15), (0.745, 1.08, 1.1), 0.50), 0.06)
    cap = carved(cap, brick((0, 1.16, 0.0), (1.4, 0.93, 2.0), 0.1), 0.12)
    waves = [
        egg((0.40, -0.84, 0.42), (0.42, 0.20, 0.32), turn=turned(0, -24, 26)),
        egg((0.66, -0.54, 0.28), (0.38, 0.19, 0.34), turn=turned(0, -10, 58)),
        egg((0.81, -0.16, 0.10), (0.30, 0.13, 0.32), turn=turned(0, 0, 84)),
    ]
    body = melted(0.10, cap, *(two_sided(wave) for wave in waves))
    body = carved(body, rod((0, -1.3, 0.2), (0, -0.72, 0.86), 0.04), 0.06)

    def combed(p: FloatArray) -> FloatArray:
        """Return (N,) heights at (3, N) points."""
        across = 0.62 * p[1] - 0.78 * np.abs(p[0])
        return np.asarray(0.007 * np.sin(44 * across + 4 * np.sin(2.2 * p[1]) + 7 * p[2]))

    def coiled(p: FloatArray) -> FloatArray:
        """Return (N,) heights at (3, N) points."""
        return np.asarray(0.010 * np.sin(26 * (p[0] + 0.4 * p[1]) + 3 * np.sin(4 * p[1])))

    return both(bumpy(body, combed), bumpy(egg((0, -1.20, -0.42), (0.42, 0.31, 0.34)), coiled))


def _pearls() -> Solid:
    return two_sided(both(ball((0.765, 0.325, 0.16), 0.06), egg((0.75, 0.22, 0.08), (0.06, 0.10, 0.08))))


def _bust() -> Solid:
    return melted(0.24, rod((0, 0.6, -0.12), (0, 1.6, -0.25), 0.30, 0.36), egg((0, 2.20, -0.35), (1.40, 0.80, 0.60)))


def _dress() -> Solid:
    cloth = grown(egg((0, 2.27, -0.35), (1.46, 0.80, 0.64)), 0.05)
    return carved(cloth, egg((0, 1.38, 0.1), (0.66, 0.38, 1.6)), 0.05)


def _lace() -> Solid:
    edge = ring((0, 1.43, -0.10), 0.62, 0.075, turn=turned(0, 66, 0))
    return bumpy(edge, lambda p: 0.018 * np.sin(26 * np.arctan2(p[0], p[2] + 0.1)))
