"""The test card that the virtual camera shows before the first avatar frame: colour bars and an explanation."""

from __future__ import annotations

import functools

import numpy as np

from avatar.frames import RgbImage

BARS = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
TITLE = "Masque"
LINE = "The avatar will be here in a moment."


@functools.lru_cache(maxsize=4)
def draw_test_card(width_px: int, height_px: int) -> RgbImage:
    """Draw seven colour bars at 75 %, as in television, and two lines of text; (H, W, 3) uint8, read-only."""
    from PIL import Image, ImageDraw, ImageFont

    edges = np.linspace(0, width_px, len(BARS) + 1).round().astype(int)
    bars = np.zeros((height_px, width_px, 3), np.uint8)
    bottom = round(0.68 * height_px)
    for colour, left, right in zip(BARS, edges[:-1], edges[1:], strict=True):
        bars[:bottom, left:right] = colour
    bars[bottom:] = (24, 26, 30)
    card = Image.fromarray(bars)
    draw = ImageDraw.Draw(card)
    for text, share, middle, ink in ((TITLE, 0.075, 0.79, (245, 245, 245)), (LINE, 0.036, 0.89, (190, 194, 200))):
        font = ImageFont.load_default(max(9, round(share * min(height_px, width_px))))
        draw.text((width_px / 2, middle * height_px), text, font=font, fill=ink, anchor="mm")
    drawn = np.array(card)
    drawn.setflags(write=False)
    return drawn
