"""The picture that leaves the program: the avatar on a canvas of fixed size, with its label."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from avatar.cv import cv2
from avatar.frames import Frame, RgbImage
from avatar.letterbox import inner_box, letterboxed
from avatar.settings import CanvasSettings

CanvasOptions = CanvasSettings  # how avatar frames fill what other programs see
LABEL = "AI avatar"

_SHRINK = 24  # the backdrop is blurred at this fraction of its size: cheap, and nothing finer is left to see
_DIM = 0.62  # so that the avatar stands out against its own backdrop
_LABEL_SHARE = 0.026  # of the canvas's height; 19 px at 720p


def compose(rgb: RgbImage, options: CanvasOptions) -> RgbImage:
    """Lay an avatar frame on the canvas.

    Args:
        rgb: (H, W, 3) uint8 of any size; stays as it is.
    Returns:
        A new (height_px, width_px, 3) uint8 picture.
    """
    width, height = options.width_px, options.height_px
    if options.fit == "fill":
        canvas = np.ascontiguousarray(_resized(_cut_to(rgb, width / height), width, height))
    elif options.fit == "blur":
        canvas = _on_backdrop(rgb, width, height)
    else:
        canvas = letterboxed(rgb, width, height)
    if options.mirror:
        canvas = np.asarray(cv2.flip(canvas, 1))  # before the label, which is to be read
    elif np.may_share_memory(canvas, rgb):
        canvas = canvas.copy()
    if options.label:
        draw_label(canvas)
    return canvas


def compose_frame(frame: Frame, options: CanvasOptions) -> RgbImage:
    """`compose`; a frame that shows the camera itself is no avatar, and no label says that it is one."""
    return compose(frame.rgb, replace(options, label=options.label and not frame.passed_through))


def size_on_canvas(width_px: int, height_px: int, canvas: CanvasOptions) -> int:
    """Longer side at which a picture is shown on a canvas: drawing more pixels would be lost work."""
    scales = canvas.width_px / width_px, canvas.height_px / height_px
    return max(round((max if canvas.fit == "fill" else min)(scales) * max(width_px, height_px)), 32)


def draw_label(canvas: RgbImage) -> None:
    """Write LABEL into the lower right corner of a picture, in place; small canvases get less than they can hold."""
    height, width = canvas.shape[:2]
    light, keep = _label(max(11, round(_LABEL_SHARE * height)))
    margin = round(0.025 * height)
    rows, columns = light.shape[:2]
    if rows + margin > height or columns + margin > width:
        return
    spot = canvas[height - margin - rows : height - margin, width - margin - columns : width - margin]
    spot[:] = (light + spot.astype(np.uint16) * keep) >> 8


def _on_backdrop(rgb: RgbImage, width: int, height: int) -> RgbImage:
    """The whole picture in the middle, a blurred one beside it."""
    rows, columns = rgb.shape[:2]
    box = inner_box((columns, rows), (width, height))
    inner = _resized(rgb, box.width, box.height)
    if (box.width, box.height) == (width, height):
        return inner
    canvas = _backdrop(rgb, width, height)
    box.of(canvas)[:] = inner
    return canvas


def _backdrop(rgb: RgbImage, width: int, height: int) -> RgbImage:
    """The picture itself, filling the canvas, out of focus and dimmed."""
    small = _resized(_cut_to(rgb, width / height), max(4, width // _SHRINK), max(4, height // _SHRINK))
    blurred = cv2.GaussianBlur(cv2.convertScaleAbs(small, alpha=_DIM), (0, 0), 2.0)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR))


def _cut_to(rgb: RgbImage, aspect: float) -> RgbImage:
    """The largest middle part with this width over height."""
    rows, columns = rgb.shape[:2]
    width, height = min(columns, max(1, round(rows * aspect))), min(rows, max(1, round(columns / aspect)))
    left, top = (columns - width) // 2, (rows - height) // 2
    return rgb[top : top + height, left : left + width]


def _resized(rgb: RgbImage, width: int, height: int) -> RgbImage:
    rows, columns = rgb.shape[:2]
    if (columns, rows) == (width, height):
        return rgb
    how = cv2.INTER_AREA if width < columns else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=how))


@functools.lru_cache(maxsize=8)
def _label(text_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The label as (light, keep): a spot of the canvas becomes (light + keep * spot) / 256.

    White on a dark plate that lets a little through: readable on a bright and on a dark avatar.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(text_px)
    left, top, right, bottom = font.getbbox(LABEL)
    pad_x, pad_y = round(0.55 * text_px), round(0.36 * text_px)
    size = (round(right - left) + 2 * pad_x, round(bottom - top) + 2 * pad_y)
    finer = 4  # Pillow's plates have jagged corners
    plate = Image.new("L", (size[0] * finer, size[1] * finer))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, plate.width - 1, plate.height - 1), finer * 0.35 * text_px, 150)
    text = Image.new("L", size)
    ImageDraw.Draw(text).text((pad_x - left, pad_y - top), LABEL, font=font, fill=255)
    dark = np.asarray(plate.resize(size, Image.Resampling.BOX), np.float32) / 255
    white = np.asarray(text, np.float32) / 255
    light = np.repeat((255 * 255 * white * 0.97)[..., None], 3, axis=2)
    keep = (256 * (1 - dark) * (1 - white))[..., None]
    return light.astype(np.uint16), keep.astype(np.uint16)
