"""Textures of teeth and tongue, painted once per portrait in its own light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.mouth.arch import ArchShape, arch_points
from avatar.engines.warp.mouth.light import MouthLight
from avatar.frames import FloatArray

RgbaImage = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.floating]

EDGE_MARGIN_MM = 3.0  # empty margin before the teeth's edges
ROOT_MM = 17.0  # distance from the edge line to the end of the gums
DEPTH_SHADE_MM = 20.0  # distance behind the incisors at which the cheeks' shadow reduces light to 1/e
TOOTH_DEPTH_MM = 3.0  # depth of the upper incisors behind the lips


@dataclass(frozen=True, eq=False)
class PaintedRow:
    """A row of teeth with its gums, over `row_grid`."""

    rgba: FloatArray  # (H, W, 4) in [0, 255]
    crown: FloatArray  # (H, W) in [0, 1], 1 on teeth, 0 on gums


@dataclass(frozen=True, eq=False)
class RowTexture:
    """Texture of a row of teeth: columns along the row, rows from before its edge to behind its gums."""

    levels: tuple[RgbaImage, ...]  # (H, W, 4) each, half the size of the previous one
    px_per_mm: float  # resolution of the first level
    half_span_mm: float  # the columns reach from -half_span_mm to +half_span_mm

    def level(self, px_per_mm: float) -> tuple[RgbaImage, float]:
        """Return the level (H, W, 4) to sample for a canvas of `px_per_mm`, and its own pixels per millimetre."""
        step = int(np.floor(np.log2(max(self.px_per_mm / max(px_per_mm, 1e-6), 1.0)) + 0.4))
        step = min(step, len(self.levels) - 1)
        return self.levels[step], self.px_per_mm / 2**step

    def maps(self, along: FloatArray, inward: FloatArray, density: float) -> tuple[FloatArray, FloatArray]:
        """Convert positions along the row and inward from its edge line, (H, W) mm, to texture pixels; (H, W) each."""
        return (along + self.half_span_mm) * density - 0.5, (inward + EDGE_MARGIN_MM) * density - 0.5


def row_grid(half_span_mm: float, px_per_mm: float) -> tuple[FloatArray, FloatArray]:
    """Return the positions of a texture's pixels in mm: (1, W) along the row and (H, 1) inward from its edge line."""
    along = (np.arange(round(2 * half_span_mm * px_per_mm)) + 0.5) / px_per_mm - half_span_mm
    inward = (np.arange(round((EDGE_MARGIN_MM + ROOT_MM) * px_per_mm)) + 0.5) / px_per_mm - EDGE_MARGIN_MM
    return along[None].astype(np.float32), inward[:, None].astype(np.float32)


def pyramid(rgba: FloatArray) -> tuple[RgbaImage, ...]:
    """Build the mipmap levels of an (H, W, 4) image in [0, 255]; colours are averaged weighted by alpha."""
    levels = [np.clip(np.rint(rgba), 0, 255).astype(np.uint8)]
    current = rgba
    while min(current.shape[:2]) >= 16 and len(levels) < 5:
        weight = current[..., 3:] / 255 + 1e-3
        size = (current.shape[1] // 2, current.shape[0] // 2)
        weighted = np.concatenate([current[..., :3] * weight, weight], axis=2)
        blended = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA)
        current = np.concatenate([blended[..., :3] / blended[..., 3:], (blended[..., 3:] - 1e-3) * 255], axis=2)
        levels.append(np.clip(np.rint(current), 0, 255).astype(np.uint8))
    return tuple(levels)


def _step(value: Numbers, softness: float) -> FloatArray:
    """Return weights rising from 0 to 1 over `softness` around value 0; elementwise, any shape."""
    return np.asarray(np.clip(value / softness + 0.5, 0, 1), np.float32)


def _bump(value: Numbers, width: float) -> FloatArray:
    """Evaluate a Gaussian of this width, with peak 1; elementwise, any shape."""
    return np.asarray(np.exp(-((value / width) ** 2)), np.float32)


def paint_row(shape: ArchShape, light: MouthLight, px_per_mm: float, plain: float = 0.0) -> PaintedRow:
    """Paint a row of plausible teeth with their gums.

    Args:
        plain: 1 = a cartoon's teeth, one smooth band; 0 = a person's.
    """
    along, inward = row_grid(shape.half_span, px_per_mm)
    outer = np.cumsum(shape.widths)
    tooth = np.minimum(np.searchsorted(outer, np.abs(along)), len(outer) - 1)
    half = np.asarray(shape.widths, np.float32)[tooth] / 2
    across = (np.abs(along) - (outer[tooth] - half)) / half  # [-1, 1] within a tooth, 1 away from the middle
    each = (1 - plain) * np.sin(7.0 * tooth + 3.0 * (along > 0))  # variation between teeth; (1, W) in [-1, 1]
    edge = (1 - plain) * np.asarray(shape.edges, np.float32)[tooth] + 0.22 * each
    crown = np.asarray(shape.heights, np.float32)[tooth] + 0.3 * each + plain * ROOT_MM  # a cartoon has no gums

    softness = max(0.35, 1.2 / px_per_mm)
    rounding = 0.8 * np.clip(-across, 0, 1) ** 5 + 1.3 * np.clip(across, 0, 1) ** 4  # the distal corner is rounder
    pointed = np.where(tooth == 2, 0.9 * np.abs(across + 0.1), 0.0)
    below = inward - edge - (1 - plain) * (rounding + pointed)  # distance from the edge
    gum = edge + crown - 1.9 * np.abs(across) ** 2.2 - inward  # > 0 on the tooth; gums extend down between teeth
    enamel = _step(below, softness)
    on_tooth = _step(gum, 2 * softness)

    side = (1 - np.abs(across)) * half  # distance from the next tooth, mm
    contact = (1 - plain) * _bump(side, max(0.22, 0.5 / px_per_mm))
    up = np.clip(below / np.maximum(crown, 1), 0, 1.2)
    form = (1 + 0.03 * each) * (1 - 0.10 * np.abs(across - 0.1) ** 2.5 - 0.04 * up)
    form = form * (1 - 0.10 * _bump(below, 1.0)) * (1 - 0.10 * _step(1.5 - gum, 3.0))
    form = form + 0.09 * _bump(across + 0.15, 0.4) * _bump(up - 0.45, 0.28)  # the front of a tooth is convex
    form = np.minimum(form / 1.03, 1.0)
    form = form + plain * (1 - 0.08 * _bump(below, 1.5) - form)
    yellow = (1 - plain) * (np.where(tooth == 2, 0.05, 0.015) + 0.05 * _step(2.5 - gum, 4.0) + 0.06 * contact)
    warm = np.stack([1 - 0.2 * yellow, 1 - 0.5 * yellow, 1 - 1.2 * yellow], axis=2) ** np.float32(light.colour)
    crown_rgb = light.tooth * (form * (1 - 0.12 * contact))[..., None] * warm
    gum_rgb = light.flesh * (0.72 - 0.30 * _step(-gum - 2.5, 5.0))[..., None]
    rgb = gum_rgb + (crown_rgb - gum_rgb) * on_tooth[..., None]

    row, points = arch_points(shape)
    behind = np.interp(along, row, points[:, 2] - shape.setback).astype(np.float32)
    lit = np.exp(-((behind / DEPTH_SHADE_MM) ** 1.5))[..., None]
    rgb = light.dark + (rgb - light.dark) * lit
    alpha = enamel * (1 - _step(np.abs(along) - outer[-1] + 1.5, 3.0))
    rgba = np.concatenate([rgb, 255 * alpha[..., None]], axis=2).astype(np.float32)
    return PaintedRow(rgba, np.broadcast_to(on_tooth, alpha.shape).astype(np.float32))


def row_texture(rgba: FloatArray, shape: ArchShape, px_per_mm: float) -> RowTexture:
    """Create the texture to sample from a painted row (H, W, 4)."""
    return RowTexture(pyramid(rgba), px_per_mm, shape.half_span)


TONGUE_SIZE = 96


def paint_tongue(light: MouthLight) -> RgbaImage:
    """Paint a tongue seen from the front: columns over its width, rows from its back (0) to its tip at the lower teeth.

    Returns:
        (TONGUE_SIZE, TONGUE_SIZE, 4) uint8 RGBA.
    """
    y, x = (np.indices((TONGUE_SIZE, TONGUE_SIZE), dtype=np.float32) + 0.5) / TONGUE_SIZE
    x = 2 * x - 1
    top = 0.06 + 0.60 * np.abs(x) ** 2.4  # dome-shaped outline
    body = np.clip((y - top) / 0.30, 0, 1)
    body = body * body * (3 - 2 * body) * np.clip((1 - np.abs(x)) / 0.10, 0, 1)
    shade = 0.55 + 0.45 * np.clip((y - 0.05) / 0.5, 0, 1)  # the back is deeper in the mouth
    shade = shade * (1 - 0.25 * np.abs(x) ** 2.5) * (1 - 0.06 * _bump(x, 0.12) * np.clip(1.3 - 1.4 * y, 0, 1))
    tip = np.clip((y - 0.84 + 0.12 * x**2) / 0.16, 0, 1)  # the tip turns down behind the lower teeth
    shade = shade * (1 - 0.65 * tip**2)
    sheen = 0.05 * _bump(y - 0.60, 0.16) * _bump(x, 0.45)
    rgb = light.flesh * shade[..., None] + sheen[..., None] * light.skin_luma
    rgba = np.clip(np.concatenate([rgb, 255 * body[..., None]], axis=2), 0, 255)
    return np.asarray(rgba, np.uint8)
