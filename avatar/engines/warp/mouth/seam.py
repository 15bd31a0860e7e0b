"""The seam of lips that are open in the portrait and meet in the frame: pixels that a warp compresses there are hidden.

Next to the line where the lips meet, a warp passes from one lip to the other through the portrait's teeth, within a
pixel or so, which leaves bright specks. Each lip is therefore continued up to the line by mirroring.
"""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.engines.warp.mouth.frame import MouthFrame, Opening, Raster, smooth_steps
from avatar.frames import FloatArray, RgbImage

HIDDEN_PX = 2.0  # width of the hidden strip on either side of the line
SHUT_PX = 1.5  # gap up to which lips count as closed
OPEN_MM = (0.4, 1.5)  # gap in the portrait over which hiding fades in
LINE_MM, LINE_DEPTH = 0.5, 0.75  # width and strength of the shadow between closed lips
CORNER_MM, CORNER_SHARE = 1.6, 0.22  # half the height of the dark corners of a smile, hidden there; over which width
BESIDE_MM = 2.0  # beyond half of this outside the corners, hiding fades out, over this


def close_lips(
    canvas: RgbImage, frame: MouthFrame, opening: Opening, own_gap_mm: FloatArray, line_rgb: FloatArray
) -> None:
    """Draw the lips up to the line where they meet, in place.

    Args:
        canvas: (H, W, 3) uint8, the frame.
        frame: the mouth's frame.
        opening: the current opening between the lips.
        own_gap_mm: (N,) heights of the portrait's opening, from corner to corner.
        line_rgb: (3,) colour of the line, 0 to 255.
    """
    share = (opening.across - opening.across[0]) / max(opening.width, 1e-3)
    wide = cv2.dilate(own_gap_mm.reshape(1, -1), np.ones((1, 5), np.uint8))[0]  # the corners of a smile are dark
    own = np.interp(share, np.linspace(0, 1, len(wide)), wide)
    meet = smooth_steps((own - OPEN_MM[0]) / (OPEN_MM[1] - OPEN_MM[0]))
    meet *= np.clip(2 - (opening.lower - opening.upper) / SHUT_PX, 0, 1)
    if meet.max() < 1 / 255:
        return
    beside = BESIDE_MM * frame.px_per_mm
    corner_px = max(CORNER_MM * frame.px_per_mm, HIDDEN_PX)
    middle = 0.5 * (opening.upper + opening.lower)
    line = Opening(opening.across, middle, middle)
    raster = Raster.over(line, 1.0, margin_px=max(2 * corner_px + 2, 1.5 * beside))
    at = np.interp(raster.across, line.across, middle)
    inward = np.minimum(raster.across - opening.across[0], opening.across[-1] - raster.across) / opening.width
    hidden = HIDDEN_PX + (corner_px - HIDDEN_PX) * (1 - smooth_steps(inward / CORNER_SHARE))
    off = raster.down[:, None] - at.astype(np.float32)
    away, hidden = np.abs(off), hidden.astype(np.float32)
    seen = raster.sample(canvas, frame)
    mirrored = off + np.copysign(np.maximum(2 * hidden - away, away) - away, off)
    columns = np.tile(np.arange(len(raster.across), dtype=np.float32), (len(off), 1))
    rows = mirrored + np.asarray(at - raster.down[0], np.float32)
    rgb = np.stack(cv2.split(cv2.remap(seen, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)))
    thickness = max(LINE_MM * frame.px_per_mm, 0.7)
    shade = LINE_DEPTH * np.exp(-((away / np.float32(thickness)) ** 2))
    rgb += shade * (np.minimum(line_rgb[:, None, None], rgb) - rgb)
    outside = np.clip(1.5 + inward * (opening.width / beside), 0, 1)
    meeting = np.asarray(outside * np.interp(raster.across, opening.across, meet), np.float32)
    raster.blend(canvas, rgb, meeting * np.clip(hidden + np.float32(0.5) - away, 0, 1), frame)
