"""Composition of output images: the avatar at its place on a canvas of fixed size, its background, its label."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.errors import AvatarError
from avatar.frames import AlphaImage, Frame, PortraitLayers, RgbImage
from avatar.images.box import Box
from avatar.images.load import load_image
from avatar.outputs.placement import placed
from avatar.outputs.surround import SoftEdges, Surroundings
from avatar.settings import CanvasSettings

CanvasOptions = CanvasSettings  # how avatar frames fill the canvas
LABEL = "AI avatar"
GREEN = (0, 177, 64)  # what chroma keys are set to

_LABEL_SHARE = 0.026  # text height over the canvas's height; 19 px at 720p
_KEPT = 8  # unchanging parts of recent canvases


class CanvasPainter:
    """Composes frames and caches the parts that do not change between frames; not thread-safe."""

    def __init__(self) -> None:
        self._kept: collections.deque[tuple[tuple[Any, ...], Any]] = collections.deque(maxlen=_KEPT)

    def compose(self, frame: Frame, canvas: CanvasOptions) -> Frame:
        """Compose a frame for the outputs, keeping its times and numbers.

        A frame that shows the camera is not an avatar: it gets no label, no placement and no other background, and its
        red border is never cropped.

        Args:
            frame: its image has any size; not modified.
            canvas: the canvas.
        Returns:
            A frame with a new (height_px, width_px, 3) image, and with `alpha` if the background is transparent.
        """
        if frame.passed_through:
            canvas = replace(canvas, label=False, fit="fit", places={}, background="own")
            frame = replace(frame, layers=None, before=None)
        rgb, alpha = self._composed(frame.rgb, frame.layers or PortraitLayers(), canvas)
        before = frame.before
        if before is not None:
            under = self._once("before", before.rgb, (canvas,), lambda: self.compose(before, canvas))
            rgb, alpha = _blended(rgb, alpha, under, frame.share)
        return replace(frame, rgb=rgb, alpha=alpha, before=None)

    def _composed(
        self, rgb: RgbImage, layers: PortraitLayers, canvas: CanvasOptions
    ) -> tuple[RgbImage, AlphaImage | None]:
        """Compose (H, W, 3) uint8 on the canvas.

        Returns (height_px, width_px, 3) uint8, and alpha (height_px, width_px) uint8 if transparent.
        """
        size = rgb.shape[1], rgb.shape[0]
        box = placed(size, canvas, canvas.place(layers.avatar), layers.face)
        alpha: AlphaImage | None = None
        if canvas.background != "own" and layers.matte is not None and layers.background is not None:
            image, alpha = self._on_another_background(rgb, layers.matte, layers.background, box, canvas)
        else:
            image = self._on_its_own(rgb, layers.background, box, canvas)
        if canvas.mirror:  # before the label, which must stay readable
            image = np.asarray(cv2.flip(image, 1))
            alpha = None if alpha is None else np.asarray(cv2.flip(alpha, 1))
        elif np.may_share_memory(image, rgb):
            image = image.copy()
        if canvas.label:
            draw_label(image, alpha)
        return image, alpha

    def _on_its_own(self, rgb: RgbImage, background: RgbImage | None, box: Box, canvas: CanvasOptions) -> RgbImage:
        """Place the image on the canvas with its own background: (height_px, width_px, 3)."""
        width, height = canvas.size
        if _covers(box, canvas):
            return np.ascontiguousarray(_part_on_canvas(rgb, box, (width, height)))
        part = _visible(box, canvas)
        if canvas.fit == "fit":
            image = np.zeros((height, width, 3), np.uint8)
            part.of(image)[:] = _part_on_canvas(rgb, box, (width, height))
            return image
        around: Surroundings = self._once(
            "around", background, (box, canvas.size), lambda: Surroundings(background, box, canvas.size)
        )  # fmt: skip
        return around.lay(rgb, _part_on_canvas(rgb, box, (width, height)), part)

    def _on_another_background(
        self, rgb: RgbImage, matte: AlphaImage, own: RgbImage, box: Box, canvas: CanvasOptions
    ) -> tuple[RgbImage, AlphaImage | None]:
        """Composite the person over the canvas's background.

        Args:
            rgb: (H, W, 3), the frame over its own background.
            matte: (H, W), 255 = person.
            own: (H, W, 3), that background.
            box: the box of the frame in canvas coordinates.
            canvas: the canvas.
        Returns:
            (height_px, width_px, 3), and (height_px, width_px) where the background is transparent.
        """
        width, height = canvas.size
        person = cv2.merge([*cv2.split(_person(rgb, matte, own)), matte])  # (H, W, 4), premultiplied
        layer = np.zeros((height, width, 4), np.uint8)
        part = _visible(box, canvas)
        if part.width > 0 and part.height > 0:
            part.of(layer)[:] = _part_on_canvas(person, box, (width, height))
        if not _covers(box, canvas):  # a shoulder cropped by the image's edge fades out
            edges: SoftEdges = self._once("edges", None, (box, canvas.size), lambda: SoftEdges(box, canvas.size))
            edges.soften(layer, part)
        image, alpha = np.asarray(cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)), np.ascontiguousarray(layer[..., 3])
        if canvas.background == "transparent":
            return image, alpha
        behind = self._behind(own, box, canvas)
        hidden = 255 - alpha
        behind = cv2.multiply(behind, cv2.merge([hidden] * 3), scale=1 / 255)
        return np.asarray(cv2.add(image, behind)), None

    def _behind(self, own: RgbImage, box: Box, canvas: CanvasOptions) -> RgbImage:
        """Return the background, (height_px, width_px, 3), not to be modified."""
        width, height = canvas.size
        match canvas.background:
            case "blur":
                blurred: RgbImage = self._once(
                    "blur", own, (box, canvas.size), lambda: Surroundings(own, box, canvas.size).blurred()
                )
                return blurred
            case "image":
                chosen = Path(canvas.background_image)
                as_it_is = (chosen, _changed_ns(chosen), canvas.size)
                found: RgbImage | None = self._once("image", None, as_it_is, lambda: _filled(chosen, canvas.size))
                if found is not None:
                    return found
        colour = GREEN if canvas.background == "green" else canvas.background_rgb
        key = (colour, canvas.size)
        plain: RgbImage = self._once("colour", None, key, lambda: np.full((height, width, 3), colour, np.uint8))
        return plain

    def _once(self, kind: str, image: RgbImage | None, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return the cached value for an image, compared by identity, (H, W, 3), and a key; created on first use."""
        for (other_kind, other_image, other_key), value in self._kept:
            if other_kind == kind and other_image is image and other_key == key:
                return value
        value = make()
        self._kept.append(((kind, image, key), value))
        return value


def _blended(rgb: RgbImage, alpha: AlphaImage | None, under: Frame, share: float) -> tuple[RgbImage, AlphaImage | None]:
    """Blend (H, W, 3) over another frame of its size; premultiplied colours blend as alpha (H, W) does."""
    mixed = np.asarray(cv2.addWeighted(rgb, share, under.rgb, 1 - share, 0.0))
    if alpha is None and under.alpha is None:
        return mixed, None
    above, below = (np.full(rgb.shape[:2], 255, np.uint8) if each is None else each for each in (alpha, under.alpha))
    return mixed, np.asarray(cv2.addWeighted(above, share, below, 1 - share, 0.0))


def compose(rgb: RgbImage, options: CanvasOptions) -> RgbImage:
    """Compose an avatar frame on the canvas.

    Args:
        rgb: (H, W, 3) uint8 of any size; not modified.
        options: the canvas.
    Returns:
        A new (height_px, width_px, 3) uint8 image.
    """
    return compose_frame(Frame(rgb, 0, 0), options).rgb


def compose_frame(frame: Frame, options: CanvasOptions) -> Frame:
    """Compose a single frame; see `CanvasPainter.compose`."""
    return CanvasPainter().compose(frame, options)


def size_on_canvas(width_px: int, height_px: int, canvas: CanvasOptions) -> int:
    """Return the longer side at which an image is shown on a canvas; more pixels need not be drawn."""
    scales = canvas.width_px / width_px, canvas.height_px / height_px
    return max(round((max if canvas.fit == "fill" else min)(scales) * max(width_px, height_px)), 32)


def draw_label(canvas: RgbImage, alpha: AlphaImage | None = None) -> None:
    """Draw LABEL into the lower right corner of an image, in place, unless that is too small for it.

    Args:
        canvas: (H, W, 3).
        alpha: (H, W), of a premultiplied image; changed as well.
    """
    height, width = canvas.shape[:2]
    light, keep = _label(max(11, round(_LABEL_SHARE * height)))
    margin = round(0.025 * height)
    rows, columns = light.shape[:2]
    if rows + margin > height or columns + margin > width:
        return
    corner = np.s_[height - margin - rows : height - margin, width - margin - columns : width - margin]
    canvas[corner] = (light + canvas[corner].astype(np.uint16) * keep) >> 8
    if alpha is not None:
        kept = keep[..., 0]
        alpha[corner] = np.minimum((255 * (256 - kept) + alpha[corner].astype(np.uint16) * kept) >> 8, 255)


def _person(rgb: RgbImage, matte: AlphaImage, own: RgbImage) -> RgbImage:
    """Remove the background from a frame: (H, W, 3), premultiplied by the matte.

    Solves the compositing equation, C = F + (1 - alpha) B, for F, clipped to the matte to remove noise of B.
    """
    hidden = 255 - matte
    behind = cv2.multiply(own, cv2.merge([hidden] * 3), scale=1 / 255)
    return np.asarray(cv2.min(cv2.subtract(rgb, behind), cv2.merge([matte] * 3)))


def _covers(box: Box, canvas: CanvasOptions) -> bool:
    right, bottom = box.left + box.width, box.top + box.height
    return box.left <= 0 and box.top <= 0 and right >= canvas.width_px and bottom >= canvas.height_px


def _visible(box: Box, canvas: CanvasOptions) -> Box:
    """Return the part of a box that lies on the canvas."""
    left, top = min(max(box.left, 0), canvas.width_px), min(max(box.top, 0), canvas.height_px)
    right = max(left, min(box.left + box.width, canvas.width_px))
    return Box(left, top, right - left, max(top, min(box.top + box.height, canvas.height_px)) - top)


def _part_on_canvas(image: RgbImage, box: Box, size: tuple[int, int]) -> RgbImage:
    """Scale an image to a box and return the part that lies on the canvas.

    Args:
        image: (H, W, C) uint8.
        box: its box, in pixels of the canvas.
        size: (width, height) of the canvas.
    Returns:
        (h, w, C); a view of the image if it is not resized.
    """
    rows, columns = image.shape[:2]
    left, top = max(box.left, 0), max(box.top, 0)
    width, height = min(box.left + box.width, size[0]) - left, min(box.top + box.height, size[1]) - top
    if width <= 0 or height <= 0:
        return image[:0, :0]
    if box.width > columns and (width, height) != (box.width, box.height):  # scales up the visible part only
        across, along = box.width / columns, box.height / rows
        place = np.array(
            [[across, 0, 0.5 * across - 0.5 + box.left - left], [0, along, 0.5 * along - 0.5 + box.top - top]],
            np.float32,
        )
        scaled = cv2.warpAffine(image, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(scaled)
    scaled = _resized(image, box.width, box.height)
    return scaled[top - box.top : top - box.top + height, left - box.left : left - box.left + width]


def _filled(path: Path, size: tuple[int, int]) -> RgbImage | None:
    """Read an image file and cut it to fill (width, height); None if it cannot be read."""
    try:
        rgb = load_image(path)
    except (AvatarError, OSError):
        return None
    rows, columns = rgb.shape[:2]
    aspect = size[0] / size[1]
    width, height = min(columns, max(1, round(rows * aspect))), min(rows, max(1, round(columns / aspect)))
    left, top = (columns - width) // 2, (rows - height) // 2
    return np.ascontiguousarray(_resized(rgb[top : top + height, left : left + width], *size))


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _resized(image: RgbImage, width: int, height: int) -> RgbImage:
    """Resize (H, W, C) to (height, width, C); the same array if it has that size."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    how = cv2.INTER_AREA if width < columns else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how))


@functools.lru_cache(maxsize=8)
def _label(text_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Render the label as uint16 arrays `light` (h, w, 3) and `keep` (h, w, 1): result = (light + keep * image) / 256.

    White text on a dark translucent plate is readable on bright and dark avatars.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(text_px)
    left, top, right, bottom = font.getbbox(LABEL)
    pad_x, pad_y = round(0.55 * text_px), round(0.36 * text_px)
    size = (round(right - left) + 2 * pad_x, round(bottom - top) + 2 * pad_y)
    finer = 4  # supersampling, because Pillow's rounded corners are not antialiased
    plate = Image.new("L", (size[0] * finer, size[1] * finer))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, plate.width - 1, plate.height - 1), finer * 0.35 * text_px, 150)
    text = Image.new("L", size)
    ImageDraw.Draw(text).text((pad_x - left, pad_y - top), LABEL, font=font, fill=255)
    dark = np.asarray(plate.resize(size, Image.Resampling.BOX), np.float32) / 255
    white = np.asarray(text, np.float32) / 255
    light = np.repeat((255 * 255 * white * 0.97)[..., None], 3, axis=2)
    keep = (256 * (1 - dark) * (1 - white))[..., None]
    return light.astype(np.uint16), keep.astype(np.uint16)
