"""What the virtual camera shows before the first avatar frame: colour bars that tell red from blue, and a word why."""

from __future__ import annotations

import functools

import numpy as np

from avatar.frames import RgbImage

BARS = ((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191))
TITLE = "Masque"
LINE = "The avatar will be here in a moment."


@functools.lru_cache(maxsize=4)
def draw_test_card(width_px: int, height_px: int) -> RgbImage:
    """Seven bars at 75 % from left to right as television has them, and two lines; (H, W, 3), read-only."""
    from PIL import Image, ImageDraw, ImageFont

    edges = np.linspace(0, width_px, len(BARS) + 1).round().astype(int)
    picture = np.zeros((height_px, width_px, 3), np.uint8)
    bottom = round(0.68 * height_px)
    for colour, left, right in zip(BARS, edges[:-1], edges[1:], strict=True):
        picture[:bottom, left:right] = colour
    picture[bottom:] = (24, 26, 30)
    card = Image.fromarray(picture)
    draw = ImageDraw.Draw(card)
    for text, share, middle, ink in ((TITLE, 0.075, 0.79, (245, 245, 245)), (LINE, 0.036, 0.89, (190, 194, 200))):
        font = ImageFont.load_default(max(9, round(share * min(height_px, width_px))))
        draw.text((width_px / 2, middle * height_px), text, font=font, fill=ink, anchor="mm")
    drawn = np.array(card)
    drawn.setflags(write=False)
    return drawn
