"""Drawn frames as H.264 packets, one for each, without delay at either end."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from avatar.frames import RgbImage
from avatar.outputs.live.h264 import X264, choose_encoder, refuse
from avatar.outputs.yuv import to_yuv420p
from avatar.sources.pixels import RgbConverter

RATE = 30
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
