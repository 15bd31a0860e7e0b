"""The teeth that a portrait shows: found between its lips, separated into rows, and blended into the painted rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar.cv import cv2
from avatar.engines.warp.fields import smooth_fill
from avatar.engines.warp.mouth.arch import ArchView
from avatar.engines.warp.mouth.bite import find_bite
from avatar.engines.warp.mouth.frame import SHOWN_SHADOW, MouthFrame, Opening, Raster, lip_shadow, smooth
from avatar.engines.warp.mouth.light import LUMA, MouthLight
from avatar.engines.warp.mouth.texture import PaintedRow, row_grid
from avatar.frames import FloatArray, RgbImage

Mask = npt.NDArray[np.bool_]

SEPARATION_MM = 1.3  # width up to which dark lines and gaps count as teeth
LIP_MM, LIP_PX = 0.7, 1.2  # margin along the lips whose pixels are mixed with the lips' colour
LEAST_MM, LEAST_PX = 2.5, 1.5  # minimum height of teeth to keep: in total, and away from the lips
HOLLOW = 0.3  # fraction of the teeth's brightness below which a pixel is a hollow, not a tooth or gum
SURE = 0.5  # confidence from which the pixels count as teeth
FINEST_PX, FINER = 240, 3.0  # width of the search raster in pixels, and its maximum resolution
STRAIGHT_MM = 3.0  # distance above and below visible teeth over which the gaps between them continue straight
BESIDE_MM = 1.2  # distance beyond the outermost visible tooth over which painted teeth fade in


@dataclass(frozen=True, eq=False)
class OwnRow:
    """The visible part of one row of a portrait's teeth, over a raster of its mouth, without the lips' shadow."""

    rgb: FloatArray  # (H, W, 3), extrapolated smoothly beyond the visible part
    seen: FloatArray  # (H, W) in [0, 1], 1 where visible
    side: FloatArray  # (H, W) in [0, 1], 1 on the row's side of the line along its edges
    hollow: FloatArray  # (H, W) in [0, 1], 1 where it is as dark as behind the teeth


@dataclass(frozen=True, eq=False)
class OwnTeeth:
    """A portrait's visible teeth."""

    raster: Raster
    upper: OwnRow
    lower: OwnRow | None  # None: covered by the lip, or not distinguishable
    tooth: FloatArray  # (3,), their colour
    edge_down: float  # height of the upper incisors' edge, pixels down in the mouth's frame


def find_own_teeth(rgb: RgbImage, frame: MouthFrame, opening: Opening, light: MouthLight) -> OwnTeeth | None:
    """Find teeth between the lips of a portrait, (H, W, 3) uint8: bright, and paler than the lips.

    Returns:
        The teeth; None where the mouth is closed, dark or shows none.
    """
    open_mm = 1.5 * opening.area / max(opening.width, 1e-3) / frame.px_per_mm
    if open_mm < 1.5:
        return None
    raster = Raster.over(opening, per_px=float(np.clip(FINEST_PX / opening.width, 1.0, FINER)))
    seen = raster.sample(rgb, frame)
    inside = raster.coverage(opening, 1.0)
    luma = seen @ LUMA
    bright = float(np.percentile(luma[inside > 0.9], 85)) if np.any(inside > 0.9) else 0.0

    pale = _paleness(seen, light)
    level = max(bright, 1.1 * float(light.lip @ LUMA) * (1 - light.colour))
    tooth = np.clip((luma / max(level, 1.0) - 0.42) / 0.25, 0, 1) * pale * inside
    share_seen = float(tooth.sum() / max(float(inside.sum()), 1e-3))
    sure = smooth((bright / max(light.skin_luma, 1.0) - 0.55) / 0.2) * smooth((share_seen - 0.15) / 0.2)
    sure *= smooth((open_mm * frame.px_per_mm - 1.5) / 5)
    if sure < SURE:
        return None

    mm = frame.px_per_mm * raster.per_px  # raster pixels per millimetre
    size = max(int(SEPARATION_MM * mm) | 1, 3)
    closed = _closed(tooth, size)
    bite = find_bite(luma, closed > 0.5, inside > 0.5, mm)
    if bite is None:
        return None
    shade = lip_shadow(raster, opening, frame.px_per_mm, SHOWN_SHADOW)
    full = np.minimum(seen / shade[..., None], 255)
    plain = full[(tooth > 0.8) & (inside > 0.9)]
    if len(plain) == 0:
        return None
    colour = np.median(plain, axis=0).astype(np.float32)
    full *= _untinted(colour, light)
    colour *= _untinted(colour, light)

    clear = _within(inside > 0.5, max(LIP_MM * mm, LIP_PX * raster.per_px)) & (pale > 0.7)
    whole, kept = (np.median(mask.sum(axis=0)[_middle(bite.line)]) for mask in (closed > 0.5, clear))
    if whole < LEAST_MM * mm or kept < LEAST_PX * raster.per_px:
        return None  # a narrow strip, tinted by the lips
    rows = np.arange(len(raster.down), dtype=np.float32)[:, None]
    hollow = (inside > 0.5) & (_closed(luma > HOLLOW * level, size) < 0.5)  # as dark beside the teeth as behind them
    above = np.clip(bite.line - rows + 0.5, 0, 1)
    upper = _row(full, clear & (rows < bite.line - 0.5), above, hollow, mm)
    lower = None
    if bite.lower:
        lower = _row(full, clear & (closed > 0.5) & (rows > bite.line + 0.5), 1 - above, hollow & False, mm)
    edge = raster.down[0] + float(np.median(bite.line[_middle(bite.line)])) / raster.per_px
    return OwnTeeth(raster, upper, lower, colour, edge)


def _middle(line: FloatArray) -> slice:
    """Return the middle third of the columns of a (W,) line."""
    return slice(len(line) // 3, len(line) - len(line) // 3)


def _redness(rgb: FloatArray) -> FloatArray:
    """Compute the redness (...) of RGB (..., 3): the excess of red over green, relative to red."""
    return np.asarray((rgb[..., 0] - rgb[..., 1]) / np.maximum(rgb[..., 0], 1), np.float32)


def _paleness(seen: FloatArray, light: MouthLight) -> FloatArray:
    """Compute (H, W) weights in [0, 1]: 1 for colours (H, W, 3) unlike the lips', and in an image without colour."""
    lip_red = float(_redness(light.lip))
    if light.colour <= 0.2 or lip_red <= 0.05:
        return np.ones(seen.shape[:2], np.float32)
    return np.asarray(np.clip((0.85 * lip_red - _redness(seen)) / (0.25 * lip_red) + 0.5, 0, 1), np.float32)


def _untinted(colour: FloatArray, light: MouthLight) -> FloatArray:
    """Return the (3,) gain that corrects the colour (3,) of teeth.

    A few blurred pixels between red lips are red themselves: they keep their shading, not their tint.
    """
    tint, painted = colour / (colour @ LUMA), light.tooth / (light.tooth @ LUMA)
    astray = smooth((float(np.abs(np.log(tint / painted)).max()) - 0.15) / 0.15)
    return np.asarray((painted / tint) ** astray, np.float32)


def _closed(values: FloatArray | Mask, size: int) -> FloatArray:
    """Close dark lines narrower than `size` pixels in (H, W) values; (H, W) float32."""
    kernel = np.ones((size, size), np.uint8)
    return np.asarray(cv2.morphologyEx(values.astype(np.float32), cv2.MORPH_CLOSE, kernel))


def _within(mask: Mask, margin_px: float) -> Mask:
    """Erode an (H, W) mask by `margin_px` pixels, at least one."""
    away = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(away > max(margin_px, 1.0))


def _row(rgb: FloatArray, known: Mask, side: FloatArray, hollow: Mask, mm: float) -> OwnRow:
    """Create a row from the pixels known to show it, extrapolated smoothly.

    Args:
        rgb: (H, W, 3), 0 to 255.
        known: (H, W), the pixels of the row.
        side, hollow: (H, W), as in `OwnRow`.
        mm: raster pixels per millimetre.
    """
    seen = cv2.GaussianBlur(known.astype(np.float32), (0, 0), max(0.25 * mm, 0.5))
    filled = smooth_fill(rgb.astype(np.float32), known.astype(np.float32))
    return OwnRow(filled, seen * known, side.astype(np.float32), cv2.blur(hollow.astype(np.float32), (3, 3)))


def lay_in(
    painted: PaintedRow, own: OwnRow, raster: Raster, view: ArchView, half_span_mm: float, px_per_mm: float, sign: float
) -> FloatArray:
    """Replace painted teeth by the portrait's own where those are visible, and extend these in their own colours.

    Args:
        painted: the row over `row_grid(half_span_mm, px_per_mm)`.
        own: the visible row, in the frame of `view`.
        raster: the raster of `own`.
        view: projection of the row in the portrait.
        half_span_mm, px_per_mm: as in `row_grid`.
        sign: -1 where the crowns are above the edge line, 1 below it.
    Returns:
        (H, W, 4) RGBA in [0, 255].
    """
    along, inward = row_grid(half_span_mm, px_per_mm)
    across = np.interp(along, view.along, view.across, left=-1e6, right=1e6)
    down = np.interp(along, view.along, view.down) + sign * inward * view.px_per_mm
    columns, rows = raster.pixels(np.broadcast_to(across, down.shape), down)

    def placed(values: FloatArray, border: int) -> FloatArray:
        """Resample raster values (H, W) or (H, W, C) to the painted row."""
        return np.asarray(cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=border))

    rgb, seen = placed(own.rgb, cv2.BORDER_REPLICATE), placed(own.seen, cv2.BORDER_CONSTANT)
    reach, beside = _columns(seen > 0.5, BESIDE_MM * px_per_mm)
    crowns = painted.rgba[..., :3] * _matching(painted, rgb, seen)
    straight, away_px = _continued(rgb, reach)
    weight = beside * np.exp(-((away_px / (STRAIGHT_MM * px_per_mm)) ** 2))
    crowns += weight[..., None] * (straight - crowns)
    gums = painted.rgba[..., :3]
    mixed = gums + painted.crown[..., None] * (crowns - gums)
    mixed += seen[..., None] * (rgb - mixed)
    # Teeth beside the visible ones also end at the line; only far from it does each end as painted.
    side, hollow = placed(own.side, cv2.BORDER_REPLICATE), placed(own.hollow, cv2.BORDER_CONSTANT)
    enough = np.minimum(painted.rgba[..., 3].max(axis=0), 255 * np.clip(np.abs(across) < 1e5, 0, 1))
    alpha = enough * side * (1 - hollow)
    return np.concatenate([mixed, alpha[..., None]], axis=2).astype(np.float32)


def _columns(seen: Mask, fade_px: float) -> tuple[Mask, FloatArray]:
    """Return (H, W) visible pixels of columns with some, and (1, W) weights: 1 in such columns, 0 far from them."""
    has = seen.sum(axis=0) >= 2
    away = cv2.distanceTransform((~has).astype(np.uint8)[None], cv2.DIST_L2, 5) if has.any() else np.ones((1, 1))
    return seen & has, np.asarray(np.clip(1 - away / max(fade_px, 1.0), 0, 1) * has.any(), np.float32)


def _continued(rgb: FloatArray, seen: Mask) -> tuple[FloatArray, FloatArray]:
    """Repeat the outermost visible pixels (H, W) of each column of (H, W, 3) beyond them; other columns are unchanged.

    Returns:
        (H, W, 3) float32 colours, and the (H, W) distance to the repeated pixel in rows.
    """
    height = len(seen)
    rows = np.arange(height)[:, None]
    first = np.where(seen.any(axis=0), np.argmax(seen, axis=0), 0)
    last = np.where(seen.any(axis=0), height - 1 - np.argmax(seen[::-1], axis=0), height - 1)
    nearest = np.clip(rows, first, last)
    repeated = np.take_along_axis(rgb, nearest[..., None], axis=0)
    return np.asarray(repeated, np.float32), np.abs(rows - nearest).astype(np.float32)


def _matching(painted: PaintedRow, rgb: FloatArray, seen: FloatArray) -> FloatArray:
    """Compute the gain that matches painted teeth to the portrait's own, extrapolated to the columns beside them.

    Args:
        painted: the row, (H, W, 4) and (H, W).
        rgb: (H, W, 3), the portrait's own teeth.
        seen: (H, W) in [0, 1], 1 where visible.
    Returns:
        (1, W, 3) float32.
    """
    weight = (seen * painted.crown * painted.rgba[..., 3] / 255)[..., None]
    own, drawn = ((weight * colours).sum(axis=0) for colours in (rgb, painted.rgba[..., :3]))
    mass = weight.sum(axis=0)
    trusted = mass[:, 0] > 0.3 * max(float(mass.max()), 1e-3)
    ratio = np.clip((own + 1e-3) / (drawn + 1e-3), 0.3, 2.2).astype(np.float32)
    smoothed = smooth_fill(np.repeat(ratio[None], 4, axis=0), np.repeat(trusted[None], 4, axis=0).astype(np.float32))
    return np.asarray(smoothed[1:2])
