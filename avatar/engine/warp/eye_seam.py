"""Where a shutting eye's lids meet: their own skin and lashes up to the seam, and the line of lashes along it.

A warp squeezes the eye between the lids into nothing; what is left of it at the seam would show as bright specks.
"""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.engine.warp.eye_iris import LUMINANCE
from avatar.engine.warp.eye_lids import EDGE, TABLE, Lids, Places
from avatar.frames import FloatArray
from avatar.smoothstep import smoothstep

REACH = 0.09  # how far beyond a lid its skin is drawn, in eye widths
_LASHES = 0.022  # half the thickness of the line of lashes, in eye widths
_DARKNESS = 0.85  # how far that line hides what is behind it
_SEARCH = np.linspace(-0.1, 0.02, 13, dtype=np.float32)  # where to look for lashes, in eye widths below the upper lid


class Seam:
    """The lids of one eye, ready to be shut."""

    def __init__(self, picture: FloatArray, lids: Lids) -> None:
        """Take the lids' skin from the eye's crop (h, w, 3) float32; `lids` are in its pixels."""
        self._picture = picture
        self._lashes = _lash_colours(picture, lids)[None]  # (1, TABLE, 3)
        self._own_opening_px = max(float(lids.opening_px().mean()), 0.02 * lids.width_px)

    def closing(self, opening_px: FloatArray) -> float:
        """0 for an eye about as open as in the portrait, 1 for a shut one; opening (TABLE,) in the portrait's scale."""
        shut = 1 - opening_px.mean(keepdims=True) / self._own_opening_px
        return float(smoothstep(shut, 0.35, 0.9)[0])

    def draw(self, drawn: FloatArray, at: FloatArray, places: Places, closing: float) -> None:
        """Draw the lids over `drawn` (h, w, 3), in place.

        Args:
            drawn: the frame's pixels around the eye, 0-255.
            at: (h, w, 2) where they look in the crop if they go with the lids.
            places: where they lie between the lids.
            closing: 0 to 1.
        """
        outside_px = places.outside_px()
        reach_px, edge_px = REACH * places.width_px, max(1.0, EDGE * places.width_px)
        skin = cv2.remap(self._picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight = closing * smoothstep(outside_px, reach_px, 0.4 * reach_px) * np.clip(outside_px / edge_px + 1, 0, 1)
        drawn += weight[..., None] * (skin - drawn)
        place = np.clip(places.along, 0, 1) * np.float32(TABLE - 1)
        lashes = cv2.remap(self._lashes, place, np.zeros_like(place), cv2.INTER_LINEAR)
        thickness_px = max(_LASHES * places.width_px, 0.7)
        tapered = smoothstep(places.along, -0.03, 0.12) * smoothstep(places.along, 1.03, 0.88)
        line = _DARKNESS * closing * tapered * np.exp(-((places.below_px / thickness_px) ** 2))
        drawn += line[..., None] * (np.minimum(lashes, drawn) - drawn)


def _lash_colours(picture: FloatArray, lids: Lids) -> FloatArray:
    """(TABLE, 3): the darkest colour across the upper lid's edge, smooth along the eye."""
    along = np.broadcast_to(np.linspace(0, 1, TABLE, dtype=np.float32), (len(_SEARCH), TABLE))
    points = lids.points(along, lids.upper[None] + _SEARCH[:, None] * np.float32(lids.width_px))
    band = cv2.remap(picture, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    darkest = np.argmin(band @ LUMINANCE, axis=0)
    colours = band[darkest, np.arange(TABLE)]
    return np.asarray(cv2.GaussianBlur(colours[None], (0, 0), sigmaX=3, sigmaY=0.1)[0], np.float32)
