"""Surroundings of an image that does not cover the canvas: its own background, extended and blurred without an edge."""

from __future__ import annotations

import numpy as np

from avatar.cv import cv2
from avatar.frames import FloatArray, RgbImage
from avatar.images.box import Box

COARSE_PX = 90  # shorter side of the canvas on which the surroundings are computed: finer detail is not needed
_BLUR = 2.2  # standard deviation of the blur in coarse pixels
_BLUR_OF_FRAME = 5.0  # if the person is not separated from the background: no face may be recognisable
_BLUR_OF_CHOICE = 3.0  # if a blurred background was chosen
_FADE = 9.0  # coarse pixels over which a person cropped by the image's edge fades out
_BAND = 0.09  # width of the blurred band inside the image, over the canvas's shorter side
_BAND_OF_IMAGE = 0.12  # its maximum, over the image's side


class Surroundings:
    """The surroundings of one image at one place, frame by frame; not thread-safe."""

    def __init__(self, background: RgbImage | None, box: Box, size: tuple[int, int]) -> None:
        """Prepare what does not change.

        Args:
            background: (H, W, 3), the image without the person, of any size; None: unknown, frames are used instead.
            box: the box of the image in canvas coordinates.
            size: (width, height) of the canvas.
        """
        self._box, self._size = box, size
        scale = COARSE_PX / min(size)
        self._coarse = max(2, round(size[0] * scale)), max(2, round(size[1] * scale))
        self._edges = SoftEdges(box, size)
        self._still: FloatArray | None = None  # (h, w, 3), the background continued
        self._meeting: FloatArray | None = None  # (h, w, 3), the background continued as the frame is, to compare
        self._background = background
        if background is not None:
            self._still = _blurred(self._spread(background, cv2.BORDER_REFLECT), _BLUR)
            self._meeting = _blurred(self._spread(background, cv2.BORDER_REPLICATE), _BLUR)
        self._fading = self._fade()

    def lay(self, rgb: RgbImage, visible: RgbImage, part: Box) -> RgbImage:
        """Compose a frame: (height, width, 3) uint8.

        Args:
            rgb: (H, W, 3), the frame.
            visible: (part.height, part.width, 3), its visible part.
            part: the box of that part on the canvas.
        """
        canvas = self._upscaled(self._around(rgb))
        if part.width > 0 and part.height > 0:
            around = part.of(canvas).copy()
            part.of(canvas)[:] = visible
            for strip in self._edges.strips(part):
                place = Box(strip.left - part.left, strip.top - part.top, strip.width, strip.height)
                strip.of(canvas)[:] = self._edges.blend(place.of(visible), place.of(around), strip)
        return canvas

    def blurred(self) -> RgbImage:
        """Return the background, continued over the whole canvas and blurred: (height, width, 3) uint8."""
        assert self._background is not None
        return self._upscaled(_blurred(self._spread(self._background, cv2.BORDER_REFLECT), _BLUR_OF_CHOICE))

    def _around(self, rgb: RgbImage) -> FloatArray:
        """Continue a frame (H, W, 3): (h, w, 3) on the coarse canvas."""
        if self._still is None or self._meeting is None:
            return _blurred(self._spread(rgb, cv2.BORDER_REFLECT), _BLUR_OF_FRAME)
        # Further out the still background; at the edge the content of the frame, a shoulder for instance.
        change = _blurred(self._spread(rgb, cv2.BORDER_REPLICATE), _BLUR) - self._meeting
        return np.asarray(self._still + self._fading * change, np.float32)

    def _spread(self, image: RgbImage, border: int) -> FloatArray:
        """Lay an (H, W, 3) image on the coarse canvas and continue it to all sides: (h, w, 3) float32."""
        across, along = self._coarse[0] / self._size[0], self._coarse[1] / self._size[1]
        width, height = self._box.width * across, self._box.height * along
        small = cv2.resize(image, (max(1, round(width)), max(1, round(height))), interpolation=cv2.INTER_AREA)
        per_column, per_row = width / small.shape[1], height / small.shape[0]
        place = np.array(
            [
                [per_column, 0, 0.5 * per_column - 0.5 + self._box.left * across],
                [0, per_row, 0.5 * per_row - 0.5 + self._box.top * along],
            ],
            np.float32,
        )
        spread = cv2.warpAffine(small, place, self._coarse, flags=cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(spread, np.float32)

    def _fade(self) -> FloatArray:
        """Return (h, w, 1) weights on the coarse canvas: 1 on the image, falling to 0 around it."""
        across, along = self._coarse[0] / self._size[0], self._coarse[1] / self._size[1]
        x = _outside(self._coarse[0], self._box.left * across, (self._box.left + self._box.width) * across)
        y = _outside(self._coarse[1], self._box.top * along, (self._box.top + self._box.height) * along)
        away = np.hypot(x[None], y[:, None])
        return np.asarray(np.exp(-0.5 * np.square(away / (0.5 * _FADE))), np.float32)[..., None]

    def _upscaled(self, coarse: FloatArray) -> RgbImage:
        """Upscale the coarse canvas (h, w, 3) to (height, width, 3) uint8."""
        fine = cv2.resize(np.clip(coarse, 0, 255).astype(np.uint8), self._size, interpolation=cv2.INTER_CUBIC)
        return np.asarray(fine)


class SoftEdges:
    """Those edges of an image that lie within the canvas, softened."""

    def __init__(self, box: Box, size: tuple[int, int]) -> None:
        """Prepare the weights.

        Args:
            box: the box of the image in canvas coordinates.
            size: (width, height) of the canvas.
        """
        band = _BAND * min(size)
        x = _rise(size[0], box.left, box.width, min(band, _BAND_OF_IMAGE * box.width))
        y = _rise(size[1], box.top, box.height, min(band, _BAND_OF_IMAGE * box.height))
        weights = np.round(255 * y[:, None] * x[None]).astype(np.uint8)
        self._weights = np.ascontiguousarray(np.dstack([weights] * 4))  # (height, width, 4)
        self._columns, self._rows = _solid(x), _solid(y)

    def strips(self, part: Box) -> list[Box]:
        """Return where a visible part of the canvas is soft."""
        right, bottom = part.left + part.width, part.top + part.height
        (first, last), (upper, lower) = self._columns, self._rows
        first, last = min(max(first, part.left), right), min(max(last, part.left), right)
        upper, lower = min(max(upper, part.top), bottom), min(max(lower, part.top), bottom)
        found = (
            Box(part.left, part.top, first - part.left, part.height),
            Box(last, part.top, right - last, part.height),
            Box(first, part.top, last - first, upper - part.top),
            Box(first, lower, last - first, bottom - lower),
        )
        return [each for each in found if each.width > 0 and each.height > 0]

    def blend(self, image: RgbImage, around: RgbImage, strip: Box) -> RgbImage:
        """Blend an image with its surroundings, both (strip.height, strip.width, 3)."""
        weights = np.ascontiguousarray(strip.of(self._weights)[..., :3])
        inner = cv2.multiply(np.ascontiguousarray(image), weights, scale=1 / 255)
        return np.asarray(cv2.add(inner, cv2.multiply(np.ascontiguousarray(around), 255 - weights, scale=1 / 255)))

    def soften(self, layer: RgbImage, part: Box) -> None:
        """Fade a premultiplied (height, width, 4) canvas out towards the edges of its visible part, in place."""
        for strip in self.strips(part):
            strip.of(layer)[:] = cv2.multiply(
                np.ascontiguousarray(strip.of(layer)), np.ascontiguousarray(strip.of(self._weights)), scale=1 / 255
            )


def _solid(weights: FloatArray) -> tuple[int, int]:
    """Return the first and the last plus one of an axis's (room,) weights that are 1; both 0 if there are none."""
    solid = np.flatnonzero(weights >= 1)
    return (int(solid[0]), int(solid[-1]) + 1) if len(solid) else (0, 0)


def _rise(room: int, start: int, length: int, band: float) -> FloatArray:
    """Return (room,) weights of one axis."""
    at = np.arange(room, dtype=np.float32) + np.float32(0.5)
    before = at - start if start > 0 else np.full_like(at, np.inf)
    after = start + length - at if start + length < room else np.full_like(at, np.inf)
    share = np.clip(np.minimum(before, after) / max(band, 1.0), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _outside(room: int, start: float, end: float) -> FloatArray:
    """Return the (room,) distances of one axis from an interval; 0 within."""
    at = np.arange(room, dtype=np.float32) + np.float32(0.5)
    return np.asarray(np.maximum(np.maximum(start - at, at - end), 0), np.float32)


def _blurred(image: FloatArray, sigma: float) -> FloatArray:
    """Blur (h, w) or (h, w, C) by a standard deviation in pixels, with border replication."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
