"""Bolt: a friendly robot of enamel and rubber."""

from __future__ import annotations

import numpy as np

from avatar.frames import FloatArray
from tools.gallery.curves import Points, ellipse, mirrored, ribbon, shifted, smooth, symmetric
from tools.gallery.design import EyeDesign, FaceDesign, MouthDesign
from tools.gallery.easel import Easel, lips
from tools.gallery.eyes import EyePaint, draw_brows, draw_eyes
from tools.gallery.light import Lights, Material, shaded
from tools.gallery.paint import lay
from tools.gallery.solid import (
    Camera,
    Solid,
    ball,
    both,
    brick,
    carved,
    egg,
    look,
    melted,
    ring,
    rod,
    turned,
    two_sided,
)

EYE = EyeDesign.of(
    (-0.60, -0.195), (-0.16, -0.195), -0.365, -0.03, iris=(-0.38, -0.20), radius=0.122,
    brow=[(-0.61, -0.565), (-0.48, -0.635), (-0.32, -0.64), (-0.18, -0.605)], brow_thick=0.07, squareness=0.42,
)  # fmt: skip
MOUTH = MouthDesign.of(
    [(-0.32, 0.475), (-0.18, 0.55), (0, 0.57)],
    upper=[(-0.32, 0.475), (-0.20, 0.505), (-0.08, 0.53), (0, 0.533)],
    lower=[(-0.32, 0.475), (-0.18, 0.592), (0, 0.61)],
)
FACE = FaceDesign(
    outline=smooth([
        (0, -0.86), (0.45, -0.84), (0.74, -0.66), (0.84, -0.25), (0.84, 0.15), (0.80, 0.55), (0.62, 0.84), (0.30, 0.97),
        (0, 0.99),
    ]),
    eye=EYE, mouth=MOUTH, nose_tip=(0, 0.15), nose_base=0.25, nose_half=0.13, bridge=-0.24,
)  # fmt: skip
CAMERA = Camera(896, 232.0, 447.5, 474.0)
_TEAL, _RUBBER, _SHADE = "#1fa5a3", "#39434f", "#b9a58d"


def draw(scale: float = 2.0) -> FloatArray:
    """Render the image, (H, W, 3) in [0, 1], at `scale` times the camera's size."""
    camera, lights = CAMERA.scaled(scale), Lights(key_strength=0.8, rim_strength=0.7)
    seen = look([_head(), _trims(), _neck(), _body(), _lamp(), _nose()], camera, lights.key)
    coral = Material("#f0654f", gloss=0.3, rough=0.36)
    materials = [
        Material(_enamel(camera), through=0.15, gloss=0.16, rough=0.40), coral,
        Material("#3b4552", gloss=0.15, rough=0.5), Material(_TEAL, gloss=0.3, rough=0.36),
        Material("#ffd75e", gloss=0.5, rough=0.3), coral,
    ]  # fmt: skip
    easel = Easel.backdrop(camera, "#fff0cf", "#ffd79a", "#f7ac6c", "#e8935a", (0.38, 0.28))
    easel.place(seen, shaded(seen, materials, lights))
    easel.glow(ellipse(0, -1.51, 0.10, 0.10), 0.75, paint="#ffe9a0", soft=0.12)
    for outline in (EYE.opening, mirrored(EYE.opening)):
        _bezel(easel, outline)
    easel.tint(shifted(lips(MOUTH), 0.01, 0.02), _SHADE, 0.6, soft=0.02)
    easel.lay(lips(MOUTH), _RUBBER, soft=0.004)
    shine = ribbon(smooth([(-0.14, 0.585), (0, 0.595), (0.14, 0.585)]), [0.003, 0.01, 0.003])
    easel.glow(shine, 0.5, paint="#93a4b3", soft=0.006)
    easel.mouth_line(MOUTH, 0.018, "#141a20")
    draw_eyes(easel, EYE, EyePaint(
        white="#f2fdff", iris=("#082a40", "#0d4f74", "#2fb4e8"), pupil=0.40, pupil_colour="#041019", lid_shadow=0.12,
        line="#262e38", line_width=0.02, lower_line=0.0,
    ))  # fmt: skip
    draw_brows(easel, EYE, _RUBBER)
    return easel.image


def _bezel(easel: Easel, outline: Points) -> None:
    """Paint a rubber ring around an eye; `outline`: (N, 2)."""
    middle = outline.mean(axis=0)
    easel.tint((outline - middle) * 1.24 + middle + np.array([0.012, 0.02]), _SHADE, 0.5, soft=0.02)
    ring_mask = easel.mask((outline - middle) * 1.15 + middle, soft=0.008)
    lay(easel.image, ring_mask, _RUBBER)
    light = easel.mask((outline - middle) * 1.125 + middle - np.array([0.008, 0.012]), soft=0.008)
    lay(easel.image, light * ring_mask, "#4d5967", 0.8)


def _enamel(camera: Camera) -> FloatArray:
    """Paint the head's texture, (H, W, 3): a cream face in a teal frame, with a groove between them."""
    paint = Easel.plain(camera, _TEAL)
    edge = symmetric([
        (0, -0.90), (0.50, -0.87), (0.80, -0.68), (0.885, -0.2), (0.875, 0.3), (0.80, 0.68), (0.52, 0.90), (0, 0.95),
    ])  # fmt: skip
    paint.lay(edge, "#f7f1e3")
    paint.lay(ribbon(np.concatenate([edge, edge[:1]]), [0.022]), "#0f4f55")
    paint.blush(0.58, 0.27, 0.13, 0.10, "#ffab93", 0.75, 0.045)
    for side in (1, -1):
        for y in (-0.62, 0.62):
            paint.lay(ellipse(side * 0.945, y, 0.03, 0.03), "#0f6f74")
    return paint.image


def _head() -> Solid:
    box = brick((0, 0.02, -0.16), (1.03, 1.09, 0.80), 0.52)
    front = egg((0, 0.08, 0.10), (0.90, 0.95, 0.68))
    chin = egg((0, 0.72, 0.42), (0.42, 0.24, 0.24))
    sockets = two_sided(egg((0.38, -0.205, 0.90), (0.27, 0.26, 0.14)))
    crest = brick((0, -1.06, -0.12), (0.15, 0.16, 0.5), 0.12)
    return melted(0.06, carved(melted(0.25, box, front, chin), sockets, 0.10), crest)


def _trims() -> Solid:
    discs = two_sided(egg((1.08, 0.0, -0.12), (0.11, 0.27, 0.27)))
    bolts = two_sided(egg((1.17, 0.0, -0.12), (0.09, 0.12, 0.12)))
    antenna = both(rod((0, -1.15, -0.12), (0, -1.46, -0.12), 0.035), egg((0, -1.23, -0.12), (0.13, 0.07, 0.13)))
    return both(discs, bolts, antenna, two_sided(ball((1.12, 2.12, -0.3), 0.40)))


def _lamp() -> Solid:
    return ball((0, -1.51, -0.12), 0.105)


def _nose() -> Solid:
    return egg((0, 0.145, 0.80), (0.10, 0.075, 0.09))


def _neck() -> Solid:
    return both(*(ring((0, y, -0.15), 0.36, 0.075, turn=turned(0, 90, 0)) for y in (1.12, 1.25, 1.38, 1.51)))


def _body() -> Solid:
    collar = ring((0, 1.62, -0.18), 0.42, 0.10, turn=turned(0, 82, 0))
    return melted(0.10, brick((0, 2.45, -0.3), (1.05, 0.92, 0.62), 0.40), collar)
