"""The teeth that a portrait shows: found between its lips and laid into the painted row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.mouth_arch import ArchView
from avatar.engine.warp.mouth_frame import MouthFrame, Opening, Raster, lip_shadow, reach, smooth
from avatar.engine.warp.mouth_light import LUMA, MouthLight
from avatar.engine.warp.mouth_texture import TOOTH_DEPTH_MM, row_grid
from avatar.frames import FloatArray, RgbImage

SEPARATION_MM = 1.3  # dark lines and small gaps up to this wide belong to the teeth around them


@dataclass(frozen=True, eq=False)
class OwnTeeth:
    """A portrait's visible teeth over a raster of its mouth, with the mouth's shade taken off them."""

    raster: Raster
    rgb: FloatArray  # (H, W, 3), as they would be in full light
    share: FloatArray  # (H, W) in [0, 1], where they are
    tooth: FloatArray  # (3,) their colour in full light
    edge_down: float  # where the incisors end, pixels down in the mouth's frame


def _redness(rgb: FloatArray) -> FloatArray:
    return np.asarray((rgb[..., 0] - rgb[..., 1]) / np.maximum(rgb[..., 0], 1), np.float32)


def find_own_teeth(rgb: RgbImage, frame: MouthFrame, opening: Opening, light: MouthLight) -> OwnTeeth | None:
    """Look for teeth between the lips of a portrait: bright, and paler than the lips.

    Returns:
        None where the mouth is shut, dark or shows no teeth.
    """
    open_mm = 1.5 * opening.area / max(opening.width, 1e-3) / frame.px_per_mm
    if open_mm < 1.5:
        return None
    raster = Raster.over(opening, per_px=float(np.clip(160 / opening.width, 1.0, 3.0)))
    seen = raster.sample(rgb, frame)
    inside = raster.coverage(opening, 1.0)
    luma = seen @ LUMA
    bright = float(np.percentile(luma[inside > 0.9], 85)) if np.any(inside > 0.9) else 0.0

    pale = np.ones_like(luma)
    lip_red = float(_redness(light.lip))
    if light.colour > 0.2 and lip_red > 0.05:
        pale = np.clip((0.85 * lip_red - _redness(seen)) / (0.25 * lip_red) + 0.5, 0, 1)
    level = max(bright, 1.1 * float(light.lip @ LUMA) * (1 - light.colour))
    tooth = np.clip((luma / max(level, 1.0) - 0.42) / 0.25, 0, 1) * pale * inside

    share_seen = float(tooth.sum() / max(float(inside.sum()), 1e-3))
    sure = smooth((bright / max(light.skin_luma, 1.0) - 0.55) / 0.2) * smooth((share_seen - 0.15) / 0.2)
    sure *= smooth((open_mm * frame.px_per_mm - 1.5) / 5)
    edges = _lowest(tooth, raster)
    if sure < 0.05 or edges is None:
        return None

    size = max(int(SEPARATION_MM * frame.px_per_mm * raster.per_px) | 1, 3)
    closed = cv2.morphologyEx(tooth.astype(np.float32), cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    share = cv2.GaussianBlur(closed, (0, 0), 0.3 * size) * np.clip(2 * inside - 1, 0, 1) * sure
    shade = reach(TOOTH_DEPTH_MM, open_mm) * (0.55 + 0.45 * lip_shadow(raster, opening, frame.px_per_mm))
    unshaded = seen / shade[..., None]
    plain = unshaded[(tooth > 0.8) & (inside > 0.9)]
    if len(plain) == 0:
        return None
    colour = np.median(plain, axis=0)
    tint, painted = colour / (colour @ LUMA), light.tooth / (light.tooth @ LUMA)
    # A few blurred pixels between red lips are red themselves: keep their form, not their colour.
    astray = smooth((float(np.abs(np.log(tint / painted)).max()) - 0.1) / 0.1)
    gain = (painted / tint) ** astray * min(1.15 * float(light.tooth @ LUMA) / float(colour @ LUMA), 1.0)
    rgb_full = np.minimum(unshaded * gain, 255).astype(np.float32)
    return OwnTeeth(raster, rgb_full, share, (colour * gain).astype(np.float32), edges)


def _lowest(tooth: FloatArray, raster: Raster) -> float | None:
    """The height, pixels down, at which the teeth of the mouth's middle end; None where there are none."""
    columns = tooth.shape[1]
    middle = tooth[:, columns // 3 : columns - columns // 3] > 0.5
    has = middle.any(axis=0)
    if not np.any(has):
        return None
    last = middle.shape[0] - 1 - np.argmax(middle[::-1], axis=0)[has]
    return float(raster.down[int(np.median(last))])


def lay_in(row: FloatArray, own: OwnTeeth, view: ArchView, half_span_mm: float, px_per_mm: float) -> FloatArray:
    """Replace the painted teeth by a portrait's own wherever those are visible.

    Args:
        row: (H, W, 4) RGBA of the upper row, over `row_grid(half_span_mm, px_per_mm)`.
        own: of the same mouth's frame as `view`.
        view: the upper row as the portrait shows it.
    """
    along, inward = row_grid(half_span_mm, px_per_mm)
    across = np.interp(along, view.along, view.across, left=-1e6, right=1e6)
    down = np.interp(along, view.along, view.down) - inward * view.px_per_mm
    columns, rows = own.raster.pixels(np.broadcast_to(across, down.shape), down)
    rgb = cv2.remap(own.rgb, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.remap(own.share, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
    mixed = row.copy()
    mixed[..., :3] *= _matching(row, rgb, share, 6.0 * px_per_mm)[..., None]
    mixed[..., :3] += share * (rgb - mixed[..., :3])
    mixed[..., 3:] += share * (255 - row[..., 3:])
    return mixed


def _matching(row: FloatArray, rgb: FloatArray, share: FloatArray, spread_px: float) -> FloatArray:
    """(1, W) how much brighter the portrait's own teeth are than painted ones, spread over the columns beside them."""
    weight = (share[..., 0] * row[..., 3] / 255).astype(np.float32)
    own, painted = ((weight * (colours[..., :3] @ LUMA)).sum(axis=0) for colours in (rgb, row))
    own, painted = (cv2.GaussianBlur(line[None], (0, 0), spread_px) for line in (own, painted))
    floor = 0.01 * float(painted.max()) + 1e-3  # far from any own tooth the painted ones stay as they are
    return np.asarray(np.clip((own + floor) / (painted + floor), 0.5, 2.2), np.float32)
