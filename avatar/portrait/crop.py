"""Choice of the part of an image that is animated."""

from __future__ import annotations

import re

from avatar.errors import UsageError
from avatar.images.box import Box
from avatar.system.message import Message
from avatar.tracking.face import Face

SMALL_FACE = 1 / 6  # size of a face over the image's shorter side below which the image is not a portrait
ABOVE, BELOW, BESIDE = 1.6, 3.2, 2.4  # room around the middle of the face, in face heights: hair, chest, shoulders
MIN_SIDE_PX = 32
TURNS_DEG = (0, 90, 180, 270)  # clockwise
Crop = Box | str  # "auto", "none", or a part of the image


def parse_crop(text: str) -> Crop:
    """Parse the value of --crop. Raises: UsageError."""
    if text in ("auto", "none"):
        return text
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){3}", text):
        raise UsageError(
            Message("--crop {text} is not understood.", text=text),
            remedy="Give auto, none, or X,Y,W,H in pixels: --crop 100,40,512,512",
        )
    box = Box(*(int(part) for part in text.split(",")))
    if min(box.width, box.height) < MIN_SIDE_PX:
        raise UsageError(
            Message(
                "--crop {text} is {width} x {height} pixels; no face fits in that.",
                text=text,
                width=box.width,
                height=box.height,
            ),
            remedy=Message(
                "Make both sides at least {least} pixels long, preferably with neck and shoulders.",
                least=MIN_SIDE_PX,
            ),
        )
    return box


def parse_turn(text: str) -> int | None:
    """Parse the value of --turn; None: automatic. Raises: UsageError."""
    if text == "auto":
        return None
    if text not in {str(turn) for turn in TURNS_DEG}:
        raise UsageError(Message("--turn {text} is not understood.", text=text), remedy="Give auto, 0, 90, 180 or 270.")
    return int(text)


def turn_remark(turn_deg: int) -> str:
    """Return the note for an image that was rotated automatically."""
    if turn_deg == 180:
        return "The face was upside down, so the picture was turned by 180 degrees."
    if turn_deg == 90:
        return "The face lay on its side, so the picture was turned clockwise by 90 degrees."
    return "The face lay on its side, so the picture was turned counter-clockwise by 90 degrees."


def crop_box(crop: Crop, width_px: int, height_px: int, face: Face | None) -> Box:
    """Return the part of an image that is animated.

    Args:
        crop: a part, "none" for all, or "auto": all, unless the face is small in it; then head and shoulders.
        width_px, height_px: size of the image.
        face: the face found in it; without one "auto" takes the whole image.
    Raises:
        UsageError: the part reaches outside the image.
    """
    whole = Box(0, 0, width_px, height_px)
    if isinstance(crop, Box):
        if crop.left + crop.width > width_px or crop.top + crop.height > height_px:
            raise UsageError(
                Message(
                    "--crop {left},{top},{width},{height} reaches outside the picture, which is {width_px} x "
                    "{height_px}.",
                    left=crop.left,
                    top=crop.top,
                    width=crop.width,
                    height=crop.height,
                    width_px=width_px,
                    height_px=height_px,
                ),
                remedy="X,Y is the upper left corner and W,H the size, all in pixels.",
            )
        return crop
    if crop == "none" or face is None:
        return whole
    low, high = face.landmarks[:, :2].min(axis=0), face.landmarks[:, :2].max(axis=0)
    tall = float((high - low).max())
    if tall >= SMALL_FACE * min(width_px, height_px):
        return whole
    x, y = ((low + high) / 2).tolist()
    left, right = _clipped(x - BESIDE * tall, x + BESIDE * tall, width_px)
    top, bottom = _clipped(y - ABOVE * tall, y + BELOW * tall, height_px)
    return Box(left, top, right - left, bottom - top)


def _clipped(low: float, high: float, length: int) -> tuple[int, int]:
    """Shift an interval into 0..length, keeping its length where possible."""
    shift = max(0.0, -low) - max(0.0, high - length)
    return max(0, round(low + shift)), min(length, round(high + shift))
