"""Where a shutting eye's lids meet: their own skin and lashes up to the seam, and the line of lashes along it.

A warp squeezes the eye between the lids into nothing; what is left of it at the seam shows as bright specks.
"""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.engine.eye_lids import TABLE, Lids
from avatar.engine.eye_iris import LUMINANCE
from avatar.engine.eye_white import smoothstep
from avatar.frames import FloatArray

_REACH = 0.09  # how far beyond a lid its skin is drawn, in eye widths
_LASHES = 0.022  # half the thickness of the line of lashes, in eye widths
_SEARCH = np.linspace(-0.1, 0.02, 13)  # where the lashes' roots are looked for, in eye widths below the upper lid


class Seam:
    """The lids of one eye, ready to be shut."""

    def __init__(self, picture: FloatArray, lids: Lids) -> None:
        """Take the lids' skin from the eye's crop (h, w, 3) float32; `lids` are in its pixels."""
        self._picture = picture
        self._lashes = _lash_colours(picture, lids)[None]  # (1, TABLE, 3)
        self._own_opening_px = max(float(lids.opening_px().mean()), 0.02 * lids.width_px)

    def closing(self, opening_px: FloatArray) -> float:
        """0 for an eye as open as in the portrait, 1 for a shut one; `opening_px` (TABLE,) is in the portrait's scale."""
        return float(smoothstep(0.35, 0.9, np.float32(1 - float(opening_px.mean()) / self._own_opening_px)))

    @staticmethod
    def reach_px(lids: Lids) -> float:
        """How far beyond the opening it draws."""
        return _REACH * lids.width_px

    def draw(self, drawn: FloatArray, at: FloatArray, along: FloatArray, below: FloatArray, above: FloatArray, width_px: float, closing: float) -> None:
        """Draw the lids over `drawn` (h, w, 3), in place.

        Args:
            drawn: the frame's pixels around the eye.
            at: (h, w, 2) where the lids' places lie in the crop.
            along: (h, w) place along the eye.
            below, above: (h, w) pixels below the upper lid and above the lower one.
            width_px: of the eye in the frame.
            closing: 0 to 1.
        """
        outside = np.maximum(-below, -above)
        corner = np.maximum(-along, along - 1) * width_px
        outside = np.maximum(outside, corner)
        skin = cv2.remap(self._picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        reach = _REACH * width_px
        weight = closing * (1 - smoothstep(0.4 * reach, reach, outside)) * np.clip(outside / max(1.0, 0.012 * width_px) + 1, 0, 1)
        drawn += weight[..., None] * (skin - drawn)
        place = np.clip(along, 0, 1) * (TABLE - 1)
        lashes = cv2.remap(self._lashes, place.astype(np.float32), np.zeros_like(place), cv2.INTER_LINEAR)
        thickness = max(_LASHES * width_px, 0.7)
        tapered = smoothstep(-0.03, 0.12, along) * smoothstep(-0.03, 0.12, 1 - along)
        line = 0.85 * closing * tapered * np.exp(-((below / thickness) ** 2))
        drawn += line[..., None] * (np.minimum(lashes, drawn) - drawn)


def _lash_colours(picture: FloatArray, lids: Lids) -> FloatArray:
    """(TABLE, 3): the darkest colour across the upper lid's edge, smooth along the eye."""
    along = np.broadcast_to(np.linspace(0, 1, TABLE, dtype=np.float32), (len(_SEARCH), TABLE))
    across = lids.upper[None] + (_SEARCH[:, None] * lids.width_px).astype(np.float32)
    points = lids.points(along, across)
    band = cv2.remap(picture, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    darkest = np.argmin(band @ LUMINANCE, axis=0)
    colours = band[darkest, np.arange(TABLE)]
    return np.asarray(cv2.GaussianBlur(colours[None], (0, 0), sigmaX=3, sigmaY=0.1), np.float32)[0]
