"""Fur: tens of thousands of short strokes that follow the surface, each in the colour at its root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray
from tools.gallery.curves import ellipse
from tools.gallery.easel import Easel
from tools.gallery.solid import Seen

_SHIFT = 4  # fractional bits of OpenCV's lines
_CONTRAST = 0.06  # how far hairs differ in brightness
_THICK = 0.0008  # of the image's side


@dataclass(frozen=True)
class Bald:
    """An oval with shorter fur, for eyes, mouth and nose."""

    x: float
    y: float
    rx: float
    ry: float
    keep: float = 0.3  # share of the fur's length


def comb(easel: Easel, seen: Seen, skin: int, bald: Sequence[Bald], *, length: float, count: int) -> None:
    """Comb fur away from the nose over a shaded body, in place.

    Args:
        easel: the shaded body before its background.
        seen: the body.
        skin: the part of it that has no fur.
        bald: ovals on both sides of the face with shorter fur.
        length: of the longest hairs, in units of the camera.
        count: hairs.
    """
    plane = easel.camera.plane()
    flow = np.stack([0.9 * plane[..., 0], plane[..., 1] - 0.15], axis=-1)
    flow /= np.maximum(np.hypot(flow[..., 0], flow[..., 1]), 0.15)[..., None]
    flow[..., 1] += 0.15
    long = np.clip(np.hypot(plane[..., 0], plane[..., 1]) / 0.77 - 0.25, 0.3, 1.0) * (seen.part != skin)
    for spot in bald:
        for side in (1, -1):
            long *= 1 - (1 - spot.keep) * easel.mask(ellipse(side * spot.x, spot.y, spot.rx, spot.ry), soft=0.03)
    _draw(easel.image, seen, long, flow, length * easel.camera.unit_px, count)


def _draw(image: FloatArray, seen: Seen, long: FloatArray, flow: FloatArray, length_px: float, count: int) -> None:
    """Draw hairs of relative length `long` (H, W) along `flow` (H, W, 2), from back to front."""
    random = np.random.default_rng(1)
    rows, columns = np.nonzero((long > 0.02) & seen.hit)
    chosen = random.integers(0, len(rows), count)
    rows, columns = rows[chosen], columns[chosen]
    order = np.argsort(seen.points[rows, columns, 2] + 0.05 * random.standard_normal(count))
    rows, columns = rows[order], columns[order]
    outward = seen.normals[rows, columns, :2]
    way = flow[rows, columns] + 0.9 * outward + 0.22 * random.standard_normal((count, 2))
    way /= np.maximum(np.hypot(way[:, 0], way[:, 1]), 1e-6)[:, None]
    tilt = 0.35 + 0.65 * np.hypot(outward[:, 0], outward[:, 1])  # hairs that point at the viewer look short
    reach = length_px * long[rows, columns] * tilt * random.uniform(0.6, 1.25, count)
    root = np.stack([columns, rows], axis=1).astype(np.float64)
    side = np.stack([-way[:, 1], way[:, 0]], axis=1)
    middle = root + way * (0.55 * reach)[:, None]
    tip = root + (way + side * 0.25 * random.standard_normal((count, 1))) * reach[:, None]
    lines = np.round(np.stack([root - 0.2 * (middle - root), middle, tip], axis=1) * 2**_SHIFT).astype(np.int32)
    levels = np.clip(255 * image[rows, columns] * (1 + _CONTRAST * random.standard_normal((count, 1))), 0, 255)
    canvas = np.ascontiguousarray(np.clip(image, 0, 1) * 255, np.uint8)
    thick = max(1, round(_THICK * len(image)))
    for line, level in zip(lines, levels.tolist(), strict=True):
        cv2.polylines(canvas, [line], False, level, thick, cv2.LINE_AA, _SHIFT)
    image[...] = canvas.astype(np.float32) / 255
