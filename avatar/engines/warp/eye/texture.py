"""Separation of a portrait's eye into the white behind the iris, the whole iris, and highlights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.eye.disc import HOLE, whole_disc
from avatar.engines.warp.eye.iris import Iris
from avatar.engines.warp.eye.lids import Lids
from avatar.engines.warp.eye.white import lid_shade, pixels, white_behind
from avatar.frames import FloatArray, RgbImage
from avatar.motion.smoothstep import smoothstep


@dataclass(frozen=True, eq=False)
class EyeTexture:
    """The parts of one eye, all in the pixels of one crop of the portrait.

    portrait = white (1 - cover) + iris shade cover + glint + rest

    White, shade and rest move with the lids (they hold lashes and shadows); iris and cover move with the eyeball.
    """

    white: FloatArray  # (h, w, 4): RGB 0 to 255 of the eye without its iris, lids included; then shade in (0, 1]
    iris: FloatArray  # (h, w, 4): RGB of the whole, unshaded iris, 0 to 255 or more; then cover in [0, 1]
    glint: FloatArray | None  # (h, w, 3): highlights to add, 0 to 255; None: no highlight was found
    rest: FloatArray  # (h, w, 3): residual that the parts do not explain, -255 to 255


def take_apart(rgb: RgbImage, lids: Lids, iris: Iris) -> EyeTexture:
    """Separate an eye's crop (h, w, 3) uint8 into its parts; `lids` and `iris` are in pixels of the crop."""
    image = rgb.astype(np.float32)
    x, y = pixels(image)
    places = lids.places(x, y)
    clear = -places.outside_px() / np.float32(lids.width_px)  # distance inside the opening, in eye widths
    radius = np.hypot(x[None] - iris.x_px, y[:, None] - iris.y_px) / np.float32(iris.radius_px)
    pixel = 1 / iris.radius_px

    behind = white_behind(image, lids, iris, HOLE + 0.05 + pixel)
    beside = (radius > HOLE + 0.08 + pixel) & (radius < 2) & (clear > 0.04)
    behind = behind + _spread((image - behind), beside.astype(np.float32), 0.25 * iris.radius_px)
    shade = lid_shade(behind, places)[..., None]
    between = (clear > -0.1)[..., None]
    hole = smoothstep(radius, HOLE + 0.3 + pixel, HOLE)[..., None] * between
    white = image * (1 - hole) + behind * hole

    seen, free = (np.clip(clear / share - 0.5, 0, 1) for share in (0.03, 0.12))
    disc = whole_disc(image / shade, seen, free, iris)
    cover = disc.cover[..., None]
    glint = None if disc.glint is None else disc.glint * shade
    explained = white * (1 - cover) + disc.colour * shade * cover + (0 if glint is None else glint * cover)
    return EyeTexture(
        np.dstack([white, shade]).astype(np.float32),
        np.dstack([disc.colour, cover]).astype(np.float32),
        None if glint is None else glint.astype(np.float32),
        ((image - explained) * between).astype(np.float32),
    )


def _spread(values: FloatArray, known: FloatArray, reach_px: float) -> FloatArray:
    """Extend values (h, w, C) a little beyond the region `known` (h, w) in [0, 1], fading to 0."""
    total = cv2.GaussianBlur(known, (0, 0), reach_px)[..., None]
    return np.asarray(cv2.GaussianBlur(values * known[..., None], (0, 0), reach_px) / (total + 0.05), np.float32)
