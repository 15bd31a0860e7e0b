"""The seam of a closing eye: the lids' own skin and lashes up to the line where they meet, and the lashes along it.

A warp compresses the eye between the lids to nothing, whose remains at the seam would be visible as bright specks.
"""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.eye.iris import LUMINANCE
from avatar.engines.warp.eye.lids import EDGE, TABLE, Lids, Places
from avatar.frames import FloatArray
from avatar.motion.smoothstep import smoothstep

REACH = 0.3  # width of the skin drawn beyond the middle of a lid, in eye widths: more than any lash line is thick
_REACH_AT_CORNERS = 0.09  # there, skin that moved with a lid would fold up
_LASHES = 0.022  # half the thickness of the lash line, in eye widths
_DARKNESS = 0.85  # opacity of that line
_SEARCH = np.linspace(-0.1, 0.02, 13, dtype=np.float32)  # search range for lashes, in eye widths below the upper lid


class Seam:
    """The lids of one eye, prepared for closing."""

    def __init__(self, image: FloatArray, lids: Lids) -> None:
        """Keep the eye's crop (h, w, 3) float32, 0 to 255, and sample its lashes; `lids` are in its pixels."""
        self._image = image
        self._lashes = _lash_colours(image, lids)[None]  # (1, TABLE, 3)
        self._own_opening_px = max(float(lids.opening_px().mean()), 0.02 * lids.width_px)

    def closing(self, opening_px: FloatArray) -> float:
        """Return the degree of closing: 0 for an opening about as in the portrait, 1 for a closed eye.

        Args:
            opening_px: (TABLE,) height of the opening, at the portrait's scale.
        """
        shut = 1 - opening_px.mean(keepdims=True) / self._own_opening_px
        return float(smoothstep(shut, 0.35, 0.9)[0])

    def draw(self, drawn: FloatArray, at: FloatArray, places: Places, closing: float) -> None:
        """Draw the lids, in place.

        Args:
            drawn: (h, w, 3) float32, the frame's pixels around the eye, 0 to 255.
            at: (h, w, 2) positions in the crop for pixels that move with the lids.
            places: coordinates of the pixels between the lids.
            closing: 0 to 1.
        """
        outside_px = places.outside_px()
        middle = smoothstep(places.along, 0.0, 0.35) * smoothstep(places.along, 1.0, 0.65)
        reach_px = (_REACH_AT_CORNERS + middle * (REACH - _REACH_AT_CORNERS)) * places.width_px
        edge_px = max(1.0, EDGE * places.width_px)
        skin = cv2.remap(self._image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        weight = closing * smoothstep(outside_px / reach_px, 1.0, 0.65) * np.clip(outside_px / edge_px + 1, 0, 1)
        drawn += weight[..., None] * (skin - drawn)
        place = np.clip(places.along, 0, 1) * np.float32(TABLE - 1)
        lashes = cv2.remap(self._lashes, place, np.zeros_like(place), cv2.INTER_LINEAR)
        thickness_px = max(_LASHES * places.width_px, 0.7)
        tapered = smoothstep(places.along, -0.03, 0.12) * smoothstep(places.along, 1.03, 0.88)
        line = _DARKNESS * closing * tapered * np.exp(-((places.below_px / thickness_px) ** 2))
        drawn += line[..., None] * (np.minimum(lashes, drawn) - drawn)


def _lash_colours(image: FloatArray, lids: Lids) -> FloatArray:
    """Find the (TABLE, 3) darkest colour across the upper lid's edge in a crop (h, w, 3), smoothed along the eye."""
    along = np.broadcast_to(np.linspace(0, 1, TABLE, dtype=np.float32), (len(_SEARCH), TABLE))
    points = lids.points(along, lids.upper[None] + _SEARCH[:, None] * np.float32(lids.width_px))
    band = cv2.remap(image, points[..., 0], points[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    darkest = np.argmin(band @ LUMINANCE, axis=0)
    colours = band[darkest, np.arange(TABLE)]
    return np.asarray(cv2.GaussianBlur(colours[None], (0, 0), sigmaX=3, sigmaY=0.1)[0], np.float32)
