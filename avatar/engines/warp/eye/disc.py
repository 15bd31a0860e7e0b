"""The iris of a portrait's eye, completed where the lids hide it, without highlights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.eye.iris import LUMINANCE, Iris, whiteness
from avatar.frames import FloatArray
from avatar.motion.smoothstep import smoothstep

HOLE = 1.22  # radius, in radii of the iris, beyond which nothing of the iris is visible
_RINGS, _SPOKES = 48, 96  # polar image of the iris: radius by angle
_REACH = 1.45  # radius of the outermost ring, in radii of the iris
_RADII = np.linspace(0, _REACH, _RINGS, dtype=np.float32)
_WRAP = 16  # spokes repeated at either side, so that filters wrap around


@dataclass(frozen=True, eq=False)
class Disc:
    """A whole iris in the pixels of an eye's crop."""

    colour: FloatArray  # (h, w, 3), 0 to 255 or more, as lit in the middle of the eye
    cover: FloatArray  # (h, w) in [0, 1], opacity over the white
    glint: FloatArray | None  # (h, w, 3): highlights to add, 0 to 255; None: no highlight was found


def whole_disc(light: FloatArray, seen: FloatArray, free: FloatArray, iris: Iris) -> Disc:
    """Complete the iris from its visible parts at the same distance from its centre.

    Args:
        light: (h, w, 3) float32, the eye's crop without the lids' shadow, 0 to 255 or more.
        seen: (h, w) in [0, 1], 1 where the eye is open.
        free: (h, w) in [0, 1], 1 well away from the lids, where there is no lash either.
        iris: in pixels of the crop.
    """
    polar = _Polar(light.shape[0], light.shape[1], iris)
    unrolled = polar.unroll(light)
    visible = polar.unroll(seen)
    profile = _ring_colours(unrolled, visible)
    trust = visible * _likely(unrolled, profile, polar.unroll(free))
    profile = _ring_colours(unrolled, trust)
    spot = _glints(unrolled, visible, profile)
    cover, last = _cover(profile)
    complete = _fill_rings(unrolled, trust * (1 - spot), profile)
    complete[last:] = complete[last]
    own = polar.roll(trust * (1 - spot) * (np.arange(_RINGS) < last)[:, None])[..., None]
    colour = light * own + polar.roll(complete) * (1 - own)
    glint = np.maximum(light - colour, 0) * polar.roll(spot)[..., None]
    return Disc(colour, np.interp(polar.radius, _RADII, cover).astype(np.float32), glint if spot.max() > 0.5 else None)


class _Polar:
    """Conversion of an eye's crop to polar coordinates around the iris, and back."""

    def __init__(self, height: int, width: int, iris: Iris) -> None:
        angle, radius = np.meshgrid(
            np.linspace(0, 2 * np.pi, _SPOKES, endpoint=False, dtype=np.float32), _RADII * iris.radius_px
        )
        self._x, self._y = iris.x_px + radius * np.cos(angle), iris.y_px + radius * np.sin(angle)
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        dx, dy = columns - iris.x_px, rows - iris.y_px
        self._spoke = np.mod(np.arctan2(dy, dx) / (2 * np.pi), 1).astype(np.float32) * _SPOKES
        self.radius = np.hypot(dx, dy) / iris.radius_px  # (h, w)
        self._ring = self.radius / _REACH * (_RINGS - 1)

    def unroll(self, image: FloatArray) -> FloatArray:
        """Convert (h, w) or (h, w, C) to polar coordinates, (rings, spokes) or (rings, spokes, C)."""
        return np.asarray(cv2.remap(image, self._x, self._y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def roll(self, rings: FloatArray) -> FloatArray:
        """Convert (rings, spokes) or (rings, spokes, C) back to (h, w) or (h, w, C), replicating the last ring."""
        wrapped = np.concatenate([rings, rings[:, :1]], axis=1).astype(np.float32)
        place = self._spoke, self._ring
        return np.asarray(cv2.remap(wrapped, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _ring_colours(unrolled: FloatArray, trust: FloatArray) -> FloatArray:
    """Compute the median colour of each visible ring, interpolated for the others.

    Args:
        unrolled: (rings, spokes, 3), 0 to 255 or more.
        trust: (rings, spokes) in [0, 1].
    Returns:
        (rings, 3) float32.
    """
    visible = trust > 0.4
    count = visible.sum(axis=1)
    good = count >= 5
    if not good.any():
        return np.broadcast_to(np.median(unrolled.reshape(-1, 3), axis=0), (_RINGS, 3)).astype(np.float32)
    ordered = np.sort(np.where(visible[..., None], unrolled, np.float32(np.inf)), axis=1)  # the visible spokes first
    at, middle = np.arange(_RINGS), np.maximum(count, 1)
    profile = (ordered[at, (middle - 1) // 2] + ordered[at, middle // 2]) / 2
    return np.stack([np.interp(at, at[good], profile[good, c]) for c in range(3)], axis=-1).astype(np.float32)


def _likely(unrolled: FloatArray, profile: FloatArray, free: FloatArray) -> FloatArray:
    """Estimate how likely pixels are to be iris: near a lid, a colour unlike its ring's is probably a lash.

    Args:
        unrolled: (rings, spokes, 3), 0 to 255 or more.
        profile: (rings, 3), colour of each ring.
        free: (rings, spokes) in [0, 1], 1 away from the lids.
    Returns:
        (rings, spokes) float32 in [0, 1].
    """
    away = np.abs(unrolled - profile[:, None]).max(axis=-1)
    alike = np.exp(-((away / (12 + 0.2 * (profile @ LUMINANCE)[:, None])) ** 2))
    return np.asarray(free + (1 - free) * alike, np.float32)


def _glints(unrolled: FloatArray, visible: FloatArray, profile: FloatArray) -> FloatArray:
    """Find highlights: small spots about as bright as the white of the eye, unlike the rest of their ring.

    Args:
        unrolled: (rings, spokes, 3), 0 to 255 or more.
        visible: (rings, spokes) in [0, 1].
        profile: (rings, 3), colour of each ring.
    Returns:
        (rings, spokes) float32 in [0, 1].
    """
    level = whiteness(profile[:, None])  # (rings, 1)
    inside = _RADII < 0.9
    white = whiteness(unrolled)
    open_iris = inside[:, None] & (visible > 0.3)
    if not open_iris.any():
        return np.zeros_like(visible)
    usual = 1.2 * float(np.percentile(white[open_iris], 92)) + 15  # brightness of the iris's bright side
    bright = open_iris & (white > np.maximum(level + 45, max(usual, 0.85 * float(level[_RADII > HOLE].max()))))
    share = (bright * _RADII[:, None]).sum() / (_SPOKES * _RADII[inside].sum())
    if not 0.0005 < share < 0.12:
        return np.zeros_like(visible)
    wide = cv2.dilate(_wrap(bright.astype(np.float32)), np.ones((9, 11), np.uint8))
    return np.asarray(cv2.GaussianBlur(wide, (7, 9), 0)[:, _WRAP:-_WRAP])


def _cover(profile: FloatArray) -> tuple[FloatArray, int]:
    """Derive the opacity of each ring from its colour, (rings, 3), between that of the rim and that of the white.

    Returns:
        (rings,) float32 in [0, 1], and the index of the last opaque ring.
    """
    rim = profile[(_RADII > 0.8) & (_RADII < 0.92)].mean(axis=0)
    step = profile[_RADII > HOLE].mean(axis=0) - rim
    usual = 1 - smoothstep(_RADII, 0.96, 1.12)
    contrast = float(step @ LUMINANCE)
    read = np.clip(1 - (profile - rim) @ step / max(float(step @ step), 1), 0, 1)
    read = np.minimum.accumulate(np.where(_RADII < 0.9, 1, read)) * (1 - smoothstep(_RADII, 1.1, HOLE))
    sure = float(np.clip((contrast - 10) / 20, 0, 1))
    cover = np.asarray(sure * read + (1 - sure) * usual, np.float32)
    return cover, int(np.argmax(cover < 0.93)) - 1


def _fill_rings(unrolled: FloatArray, trust: FloatArray, profile: FloatArray) -> FloatArray:
    """Extend each ring from its visible parts; further away from them it fades to the ring's colour.

    Args:
        unrolled: (rings, spokes, 3), 0 to 255 or more.
        trust: (rings, spokes) in [0, 1].
        profile: (rings, 3), colour of each ring.
    Returns:
        (rings, spokes, 3) float32.
    """
    colour = cv2.GaussianBlur(_wrap(unrolled * trust[..., None]), (0, 0), sigmaX=3, sigmaY=0.6)[:, _WRAP:-_WRAP]
    weight = cv2.GaussianBlur(_wrap(trust), (0, 0), sigmaX=3, sigmaY=0.6)[:, _WRAP:-_WRAP, None]
    return np.asarray((colour + 0.12 * profile[:, None]) / (weight + 0.12), np.float32)


def _wrap(rings: FloatArray) -> FloatArray:
    """Pad (rings, spokes) or (rings, spokes, C) by _WRAP spokes on either side."""
    return np.concatenate([rings[:, -_WRAP:], rings, rings[:, :_WRAP]], axis=1)
