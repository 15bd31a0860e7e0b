"""Rusty: a young fox with combed fur."""

from __future__ import annotations

from avatar.frames import FloatArray
from tools.gallery.curves import ellipse, smooth, symmetric
from tools.gallery.design import EyeDesign, FaceDesign, MouthDesign
from tools.gallery.easel import Easel, lips
from tools.gallery.eyes import EyePaint, draw_brows, draw_eyes
from tools.gallery.fur import Bald, comb
from tools.gallery.light import Lights, Material, shaded
from tools.gallery.solid import Camera, Solid, ball, carved, egg, look, melted, rod, turned, two_sided

EYE = EyeDesign.of(
    (-0.59, -0.205), (-0.20, -0.125), -0.335, -0.03, iris=(-0.375, -0.185), radius=0.122,
    brow=[(-0.63, -0.525), (-0.50, -0.60), (-0.36, -0.61), (-0.23, -0.565)], brow_thick=0.055, top_at=0.46,
    bottom_at=0.55,
)  # fmt: skip
MOUTH = MouthDesign.of(
    [(-0.30, 0.475), (-0.20, 0.535), (-0.10, 0.545), (0, 0.515)],
    upper=[(-0.30, 0.475), (-0.20, 0.50), (-0.10, 0.505), (0, 0.475)],
    lower=[(-0.30, 0.475), (-0.20, 0.585), (-0.10, 0.61), (0, 0.605)],
)
FACE = FaceDesign(
    outline=smooth([
        (0, -0.84), (0.40, -0.80), (0.72, -0.56), (0.86, -0.18), (0.85, 0.18), (0.70, 0.50), (0.46, 0.72), (0.24, 0.86),
        (0, 0.90),
    ]),
    eye=EYE, mouth=MOUTH, nose_tip=(0, 0.15), nose_base=0.275, nose_half=0.15, bridge=-0.22,
)  # fmt: skip
CAMERA = Camera(896, 236.0, 447.5, 486.0)
_NOSE_PART = 1
_DARK = "#3a211c"


def draw(scale: float = 2.0) -> FloatArray:
    """Render the image, (H, W, 3) in [0, 1], at `scale` times the camera's size."""
    camera, lights = CAMERA.scaled(scale), Lights()
    fur = Material(_coat(camera), through=0.55, gloss=0.02, rough=0.8, sheen=0.5)
    seen = look([melted(0.12, _head(), _ears()), _nose(), _chest()], camera, lights.key)
    easel = Easel.backdrop(camera, "#d3efe0", "#9fd4c4", "#5fa6a5", "#478b91", (0.40, 0.30))
    easel.place(seen, shaded(seen, [fur, Material("#1d1716", gloss=0.5, rough=0.32), fur], lights))
    bald = [Bald(0, 0.50, 0.42, 0.16), Bald(0.40, -0.19, 0.25, 0.23), Bald(0, 0.13, 0.17, 0.13, keep=0)]
    comb(easel, seen, _NOSE_PART, bald, length=0.125, count=42000)
    easel.line([(0, 0.24), (0, 0.38), (0, 0.515)], (0.022, 0.016), _DARK, soft=0.006)
    easel.tint(lips(MOUTH), "#c79a8c", 0.35, soft=0.02)
    easel.mouth_line(MOUTH, 0.028, _DARK)
    easel.glow(ellipse(-0.03, 0.085, 0.045, 0.02), 0.55, soft=0.012)
    iris = ("#3a1d08", "#b5651b", "#f2b54a")
    draw_eyes(easel, EYE, EyePaint(iris=iris, pupil=0.48, line="#2b1713", line_width=0.030, lower_line=0.75, lash=0.06))
    draw_brows(easel, EYE, "#7c3514", strength=0.8, soft=0.012)
    return easel.image


def _coat(camera: Camera) -> FloatArray:
    """Paint the texture of the fur, (H, W, 3)."""
    fur = Easel.plain(camera, "#e8772e")
    fur.lay(ellipse(0, -0.75, 0.5, 0.4), "#d9631f", 0.6, soft=0.15)
    mask = [
        (0, 0.02), (0.13, 0.10), (0.26, 0.20), (0.42, 0.16), (0.62, 0.10), (0.86, 0.22), (1.2, 0.5), (0.9, 0.9),
        (0.4, 1.0), (0, 1.05),
    ]  # fmt: skip
    fur.lay(symmetric(mask), "#fff1dc", soft=0.035)
    fur.lay(symmetric([(0, 0.9), (0.55, 1.05), (0.55, 1.6), (0.30, 2.1), (0, 2.4)]), "#fff1dc", soft=0.05)
    for side in (1, -1):
        inside = [(0.47, -0.74), (0.58, -1.04), (0.81, -1.40), (0.79, -1.0), (0.70, -0.74)]
        fur.lay(smooth(inside, closed=True) * (side, 1), "#fbe0c4", 0.9, soft=0.03)
        fur.lay(ellipse(side * 0.84, -1.58, 0.22, 0.26), "#4a2a20", 0.95, soft=0.06)
    return fur.image


def _head() -> Solid:
    skull = egg((0, -0.20, -0.05), (0.88, 0.82, 0.80))
    cheeks = two_sided(egg((0.56, 0.26, 0.14), (0.42, 0.36, 0.42), turn=turned(0, 0, 18)))
    brow = two_sided(ball((0.36, -0.42, 0.50), 0.22))
    muzzle, chops = egg((0, 0.30, 0.72), (0.38, 0.30, 0.46)), two_sided(ball((0.15, 0.40, 0.85), 0.20))
    chin = egg((0, 0.60, 0.58), (0.30, 0.24, 0.32))
    sockets = two_sided(egg((0.40, -0.18, 1.0), (0.26, 0.19, 0.22)))
    face = carved(melted(0.26, melted(0.3, skull, cheeks, brow), muzzle, chops, chin), sockets, 0.2)
    upper = rod((0.62, 0.26, 0.10), (1.15, 0.36, 0.0), 0.24, 0.02)
    lower = rod((0.55, 0.42, 0.12), (0.98, 0.66, 0.05), 0.22, 0.02)
    return melted(0.10, face, two_sided(melted(0.12, upper, lower)))


def _ears() -> Solid:
    front = rod((0.50, -0.62, -0.10), (0.82, -1.52, -0.14), 0.36, 0.05)
    back = rod((0.66, -0.55, -0.12), (0.83, -1.40, -0.14), 0.22, 0.05)
    return two_sided(carved(melted(0.1, front, back), rod((0.54, -0.70, 0.20), (0.81, -1.36, -0.01), 0.21, 0.02), 0.06))


def _nose() -> Solid:
    return melted(0.05, egg((0, 0.115, 1.13), (0.135, 0.085, 0.10)), egg((0, 0.17, 1.12), (0.07, 0.07, 0.07)))


def _chest() -> Solid:
    neck = rod((0, 0.6, -0.2), (0, 1.8, -0.3), 0.50, 0.62)
    return melted(0.3, neck, egg((0, 2.45, -0.35), (1.25, 0.95, 0.7)), egg((0, 1.55, 0.1), (0.5, 0.5, 0.35)))
