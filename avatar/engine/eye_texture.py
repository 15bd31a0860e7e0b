"""Takes a portrait's eye apart: the white behind the iris, the whole iris, the light that glints on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.eye_disc import HOLE, whole_disc
from avatar.engine.eye_iris import Iris
from avatar.engine.eye_lids import Lids
from avatar.engine.eye_white import depth_between, lid_shade, smoothstep, white_behind
from avatar.frames import FloatArray, RgbImage


@dataclass(frozen=True, eq=False)
class EyeTexture:
    """The parts of one eye, all in the pixels of one crop of the portrait.

    portrait = white (1 - cover) + iris shade cover + glint + rest

    White, shade and rest belong to the lids (they carry lashes and the lid's shadow); iris and cover turn with the eyeball.
    """

    white: FloatArray  # (h, w, 4): RGB 0-255 of the eye without its iris, lids included; then shade in (0, 1]
    iris: FloatArray  # (h, w, 4): RGB of the unshaded iris, 0-255 or more, completed below the lids; then cover in [0, 1]
    glint: FloatArray | None  # (h, w, 3): light to add, 0-255; None where the picture shows none that can be told apart
    rest: FloatArray  # (h, w, 3): what the parts do not explain, -255 to 255


def take_apart(rgb: RgbImage, lids: Lids, iris: Iris) -> EyeTexture:
    """Separate an eye's crop (h, w, 3) uint8 into its parts; `lids` and `iris` are in pixels of the crop."""
    picture = rgb.astype(np.float32)
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32)
    points = np.stack([columns, rows], axis=-1)
    along, deep = depth_between(lids, points)
    radius = np.hypot(columns - iris.x_px, rows - iris.y_px) / iris.radius_px
    pixel = 1 / iris.radius_px

    behind = white_behind(picture, lids, iris, HOLE + 0.05 + pixel)
    clear_px = lids.clearance_px(points)
    beside = (radius > HOLE + 0.08 + pixel) & (radius < 2) & (clear_px > 0.04 * lids.width_px)
    behind = behind + _spread((picture - behind), beside.astype(np.float32), 0.25 * iris.radius_px)
    shade = lid_shade(behind, along, deep)[..., None]
    between = (along > 0) & (along < 1) & (deep > -0.3) & (deep < 1.3)
    hole = ((1 - smoothstep(HOLE, HOLE + 0.3 + pixel, radius)) * between)[..., None]
    white = picture * (1 - hole) + behind * hole

    near_px, far_px = 0.03 * lids.width_px, 0.12 * lids.width_px
    disc = whole_disc(picture / shade, np.clip(clear_px / near_px - 0.5, 0, 1), np.clip(clear_px / far_px - 0.5, 0, 1), iris)
    cover = disc.cover[..., None]
    glint = None if disc.glint is None else disc.glint * shade * cover
    explained = white * (1 - cover) + disc.colour * shade * cover + (0 if glint is None else glint * cover)
    return EyeTexture(
        np.dstack([white, shade]).astype(np.float32),
        np.dstack([disc.colour, cover]).astype(np.float32),
        None if glint is None else glint.astype(np.float32),
        ((picture - explained) * between[..., None]).astype(np.float32),
    )


def _spread(values: FloatArray, known: FloatArray, reach_px: float) -> FloatArray:
    """Carry what is `known` (h, w) of values (h, w, C) a little way on; it fades beyond."""
    total = cv2.GaussianBlur(known, (0, 0), reach_px)[..., None]
    return np.asarray(cv2.GaussianBlur(values * known[..., None], (0, 0), reach_px) / (total + 0.05), np.float32)
