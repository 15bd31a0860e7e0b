"""Painterly rendering in brush strokes from coarse to fine (after Hertzmann, "Painterly Rendering", 1998)."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray
from tools.gallery.paint import blur

_SHIFT = 4
_STEPS = 5  # points of a stroke's spine


def painted(image: FloatArray, brushes_px: tuple[float, ...], detail: FloatArray, *, seed: int = 3) -> FloatArray:
    """Repaint an image in brush strokes that follow its edges.

    Args:
        image: (H, W, 3) in [0, 1].
        brushes_px: widths of the brushes, widest first.
        detail: (H, W) in [0, 1], 1 where the finest brushes are used unconditionally.
        seed: seed of the stroke positions.
    """
    random = np.random.default_rng(seed)
    canvas = np.ascontiguousarray(np.clip(blur(image, brushes_px[0]), 0, 1) * 255, np.uint8)
    for number, brush in enumerate(brushes_px):
        finest = number / max(len(brushes_px) - 1, 1)
        target = blur(image, 0.45 * brush)
        _layer(canvas, target, brush, detail * finest, finest, random)
    weave = random.standard_normal(canvas.shape[:2]).astype(np.float32)
    weave = blur(weave, 0.0012 * len(canvas)) * 0.012
    return np.asarray(canvas.astype(np.float32) / 255 * (1 + weave[..., None]), np.float32)


def _layer(
    canvas: np.ndarray, target: FloatArray, brush: float, detail: FloatArray, finest: float, random: np.random.Generator
) -> None:
    """Paint a layer of strokes on (H, W, 3) uint8, in place; `target`: (H, W, 3), `detail`: (H, W), `brush`: pixels."""
    height, width = target.shape[:2]
    spacing = max(0.55 * brush, 1.5)
    count = round(height * width / spacing**2)
    rows, columns = random.integers(0, height, count), random.integers(0, width, count)
    error = np.abs(target - canvas.astype(np.float32) / 255).max(axis=2)
    error = blur(error, 0.5 * brush)
    wanted = error[rows, columns] > 0.012 + 0.03 * finest
    wanted |= random.random(count) < detail[rows, columns]
    rows, columns = rows[wanted], columns[wanted]
    along = _tangents(target, max(1.2 * brush, 2.0))
    spine = np.empty((len(rows), _STEPS, 2))
    at = np.stack([columns, rows], axis=1).astype(np.float64)
    reach = brush * random.uniform(1.2, 3.2, len(rows)) / (_STEPS - 1)
    heading = along[rows, columns] * np.where(random.random(len(rows)) < 0.5, 1, -1)[:, None]
    for step in range(_STEPS):
        spine[:, step] = at
        x = np.clip(at[:, 0].astype(int), 0, width - 1)
        y = np.clip(at[:, 1].astype(int), 0, height - 1)
        way = along[y, x]
        way = way * np.where((way * heading).sum(axis=1) < 0, -1, 1)[:, None]
        heading = 0.6 * heading + 0.4 * way + 0.06 * random.standard_normal(way.shape)
        heading /= np.maximum(np.hypot(*heading.T), 1e-6)[:, None]
        at = at + heading * reach[:, None]
    colours = target[rows, columns] * (1 + 0.022 * random.standard_normal((len(rows), 1)))
    colours += 0.007 * random.standard_normal((len(rows), 3))
    levels = np.clip(colours * 255, 0, 255)
    lines = np.round(spine * 2**_SHIFT).astype(np.int32)
    thick = np.maximum(np.round(brush * random.uniform(0.55, 1.0, len(rows))), 1).astype(int)
    for line, level, wide in zip(lines, levels.tolist(), thick.tolist(), strict=True):
        cv2.polylines(canvas, [line], False, level, wide, cv2.LINE_AA, _SHIFT)


def _tangents(image: FloatArray, reach_px: float) -> FloatArray:
    """Compute (H, W, 2) unit vectors along the edges of an (H, W, 3) image, from the smoothed structure tensor."""
    grey = blur(image.mean(axis=2), 1.0)
    dx, dy = cv2.Scharr(grey, cv2.CV_32F, 1, 0), cv2.Scharr(grey, cv2.CV_32F, 0, 1)
    xx, yy, xy = blur(dx * dx, reach_px), blur(dy * dy, reach_px), blur(dx * dy, reach_px)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)
