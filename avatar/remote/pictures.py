"""Drawn frames as H.264 packets, one for each, without delay at either end.

H.264 has no alpha channel: a matte travels below its frame, as grey.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from avatar.cv import cv2
from avatar.frames import AlphaImage, RgbImage
from avatar.outputs.live.h264 import X264, choose_encoder, refuse
from avatar.outputs.yuv import to_yuv420p
from avatar.sources.pixels import RgbConverter

RATE = 30
_BLOCK_PX = 16  # of H.264: what lies in different ones does not mix
_CLEAR = 6  # levels from 0 and 255 that count as these: what coding leaves there would be a veil over everything
_KEYS_APART = "100000"  # frames: nothing is lost on the way, so key frames come when they are asked for


class PictureEncoder:
    """Encoder of frames of one size; used on one thread."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Open the encoder for frames of (width, height): a chip's if one works, otherwise x264."""
        self._size, self._codec = size, choose_encoder(size, RATE)
        self._context: Any = self._open()
        self._count = 0

    def encode(self, rgb: RgbImage, *, key: bool) -> bytes:
        """Return the packet of a frame (H, W, 3), as a key frame if asked for. Raises: FFmpegError."""
        try:
            return self._encode(rgb, key=key)
        except Exception as error:
            if self._codec is X264:
                raise
            refuse(self._codec, error)
            self._codec = X264
            self._context = self._open()
            return self._encode(rgb, key=True)

    def _open(self) -> Any:
        import av

        context: Any = av.CodecContext.create(self._codec.name, "w")
        context.options = self._codec.options | {"g": _KEYS_APART}
        self._codec.set_up(context, self._size, RATE)
        return context

    def _encode(self, rgb: RgbImage, *, key: bool) -> bytes:
        """Encode (H, W, 3)."""
        from av.video.frame import PictureType

        image = self._codec.frame(to_yuv420p(rgb))
        image.pts, image.time_base = self._count, Fraction(1, RATE)
        image.pict_type = PictureType.I if key else PictureType.NONE
        self._count += 1
        return b"".join(bytes(packet) for packet in self._context.encode(image))


class PictureDecoder:
    """Decoder of one host's stream; used on one thread."""

    def __init__(self) -> None:
        import av
        from av.codec.context import Flags

        self._context: Any = av.CodecContext.create("h264", "r")
        self._context.thread_count = 1  # threads would each hold a frame back
        self._context.flags |= Flags.low_delay
        self._converter: RgbConverter | None = None
        self._converted_size = (0, 0)

    def decode(self, data: bytes, size: tuple[int, int]) -> RgbImage | None:
        """Decode a packet.

        Args:
            data: one frame.
            size: (width, height) that it must have, without the padding of odd sizes.
        Returns:
            (height, width, 3) uint8; None: it has another size, or needs a frame that is missing.
        Raises:
            FFmpegError: it is no H.264.
        """
        import av

        width, height = size
        padded = (width + width % 2, height + height % 2)
        frames = self._context.decode(av.Packet(data))
        if not frames or (frames[-1].width, frames[-1].height) != padded:
            return None
        if self._converter is None or self._converted_size != padded:
            self._converter, self._converted_size = RgbConverter(frames[-1]), padded
        rgb = self._converter.convert(frames[-1])
        return np.ascontiguousarray(rgb[:height, :width])


def stacked(rgb: RgbImage, matte: AlphaImage) -> RgbImage:
    """Return a frame (H, W, 3) with its matte (H, W) below it: (2 P, W, 3), P being H padded to whole blocks."""
    padding = stacked_height(rgb.shape[0]) // 2 - rgb.shape[0]
    parts = rgb, cv2.merge([matte] * 3)
    return np.vstack([cv2.copyMakeBorder(each, 0, padding, 0, 0, cv2.BORDER_REPLICATE) for each in parts])


def stacked_height(height: int) -> int:
    """Return the height of a frame with its matte below it."""
    return 2 * (height + -height % _BLOCK_PX)


def unstacked(image: RgbImage, height: int) -> tuple[RgbImage, AlphaImage]:
    """Return frame and matte, (height, W, 3) and (height, W), of what `stacked` made, after it was coded."""
    half = image.shape[0] // 2
    matte = cv2.LUT(image[half : half + height, :, 1], _CLEARED)
    return np.ascontiguousarray(image[:height]), np.asarray(matte, np.uint8)


def _cleared() -> AlphaImage:
    """Return (256,) levels, stretched so that _CLEAR and 255 - _CLEAR become 0 and 255."""
    levels = (np.arange(256, dtype=np.float32) - _CLEAR) * (255 / (255 - 2 * _CLEAR))
    return np.asarray(np.clip(np.rint(levels), 0, 255), np.uint8)


_CLEARED = _cleared()
