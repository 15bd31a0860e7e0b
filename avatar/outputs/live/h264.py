"""H.264 encoders for live video, tried in turn: a hardware encoder if one works, otherwise x264.

An encoder may be listed and open, and yet fail on its first frame: a driver is missing or too old, all sessions are in
use, or the size is not supported. So each is tested with three frames, which a decoder reads back.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from avatar.outputs.yuv import name_colours, to_yuv420p
from avatar.system.foreign_text import first_line

if TYPE_CHECKING:
    from av import VideoFrame

logger = logging.getLogger(__name__)

_OFF_BY = 16.0  # mean error of the luma, 0-255, above which a decoded frame is another image


@dataclass(frozen=True, eq=False)
class H264Encoder:
    """Encoder with options for low delay: each frame gives its packet at once."""

    name: str  # in FFmpeg
    chip: str  # hardware it runs on, as shown to users
    options: dict[str, str]
    pixels: str = "yuv420p"  # input pixel format
    container: ClassVar[str] = "mp4"  # a format of FFmpeg that holds its packets

    @property
    def facts(self) -> str:
        """Name for the user."""
        return f"{self.name} ({self.chip})"

    def set_up(self, context: Any, size: tuple[int, int], rate: int) -> None:
        """Set the format of a codec context before it is opened; an odd size is rounded up."""
        width, height = size
        context.width, context.height = width + width % 2, height + height % 2
        context.pix_fmt = self.pixels
        context.time_base, context.framerate = Fraction(1, rate), Fraction(rate)
        if self is X264:
            context.thread_count = 1  # the engine needs the other cores
        else:
            context.bit_rate = _bit_rate(size, rate)
        name_colours(context)

    def with_rate(self, rate: int) -> dict[str, str]:
        """Return the options for a number of frames per second: one key frame a second."""
        return self.options | {"g": str(rate)}

    def frame(self, yuv420p: VideoFrame) -> VideoFrame:
        """Return a frame in the layout that it takes."""
        return yuv420p if self.pixels == "yuv420p" else yuv420p.reformat(format=self.pixels)


# No lookahead and no B-frames anywhere, so that each frame gives its packet at once.
X264 = H264Encoder(
    "libx264", "processor",
    {"preset": "superfast", "tune": "zerolatency", "crf": "20", "bf": "0", "sc_threshold": "0"},
)  # fmt: skip
# VAAPI is left out: its frames have to be uploaded to the chip, for which PyAV offers no way.
ON_CHIPS = (
    H264Encoder(
        "h264_nvenc", "NVIDIA",
        {"preset": "p4", "tune": "ull", "rc": "vbr", "cq": "21", "delay": "0", "zerolatency": "1", "bf": "0",
         "forced-idr": "1"},
    ),
    H264Encoder(
        "h264_qsv", "Intel Quick Sync",
        {"preset": "veryfast", "async_depth": "1", "bf": "0", "look_ahead": "0", "forced_idr": "1",
         "low_delay_brc": "1"},
        pixels="nv12",
    ),
    H264Encoder(
        "h264_amf", "AMD",
        {"usage": "ultralowlatency", "quality": "speed", "rc": "vbr_latency", "bf": "0", "forced_idr": "1"},
        pixels="nv12",
    ),
    H264Encoder(
        "h264_videotoolbox", "Apple", {"realtime": "1", "allow_sw": "0", "prio_speed": "1", "bf": "0"}, pixels="nv12"
    ),
)  # fmt: skip

_refused: set[str] = set()  # names of encoders that failed in this process after their trial


@functools.lru_cache(maxsize=8)
def choose_encoder(size: tuple[int, int], rate: int) -> H264Encoder:
    """Return the first encoder that passes its trial; takes up to a second, once for each size and rate.

    Args:
        size: (width, height) of every frame.
        rate: frames per second.
    """
    for encoder in ON_CHIPS:
        if encoder.name in _refused:
            continue
        if (why := trial(encoder, size, rate)) is None:
            logger.info("Video is encoded by %s", encoder.facts)
            return encoder
        logger.debug("%s is not used: %s", encoder.name, why)
    logger.info("Video is encoded by %s", X264.facts)
    return X264


def refuse(encoder: H264Encoder, error: Exception) -> None:
    """Use an encoder no more, because it failed after its trial: its sessions are in use, or the driver was reset."""
    logger.warning("Video is encoded by %s from now on: %s failed (%s)", X264.facts, encoder.facts, first_line(error))
    _refused.add(encoder.name)
    choose_encoder.cache_clear()


def trial(encoder: H264Encoder, size: tuple[int, int], rate: int) -> str | None:
    """Encode three frames and decode them again.

    Args:
        encoder: to be tried.
        size: (width, height) of every frame.
        rate: frames per second.

    Returns:
        Why it cannot be used; None if it can.
    """
    import av
    from av.codec.context import Flags
    from av.video.frame import PictureType

    try:
        context: Any = av.CodecContext.create(encoder.name, "w")
        context.options = encoder.with_rate(rate)
        context.flags |= Flags.global_header
        encoder.set_up(context, size, rate)
        images = [_image(size, number) for number in range(3)]
        packets = []
        for number, image in enumerate(images):
            frame = encoder.frame(image)
            frame.pts, frame.time_base = number, Fraction(1, rate)
            frame.pict_type = PictureType.NONE if number == 1 else PictureType.I
            made = context.encode(frame)
            if len(made) != 1:
                return f"frame {number} gave {len(made)} packets"
            if number != 1 and not made[0].is_keyframe:
                return f"frame {number} is no key frame"
            packets += made
        if not context.extradata:
            return "it gives no headers"
        reader: Any = av.CodecContext.create("h264", "r")
        reader.extradata = context.extradata
        decoded = [frame for packet in [*packets, None] for frame in reader.decode(packet)]
        return _difference(images, decoded)
    except Exception as error:  # FFmpegError, or what a driver's library makes of it
        return first_line(error)


def _image(size: tuple[int, int], number: int) -> VideoFrame:
    """Return a yuv420p image of a size: a gradient that shifts from frame to frame."""
    ramp = np.linspace(40, 200, size[0], dtype=np.float32) + 15 * number
    rgb = np.repeat(np.repeat(ramp[None, :, None], size[1], axis=0), 3, axis=2)
    return to_yuv420p(rgb.astype(np.uint8))


def _difference(images: list[VideoFrame], decoded: list[VideoFrame]) -> str | None:
    """Return how decoded frames differ from the encoded ones; None if they do not."""
    if len(decoded) != len(images):
        return f"{len(decoded)} of {len(images)} frames can be decoded"
    for number, (image, found) in enumerate(zip(images, decoded, strict=True)):
        if (found.width, found.height) != (image.width, image.height):
            return f"frame {number} is {found.width} x {found.height}"
        luma, expected = (_luma(frame.reformat(format="yuv420p")) for frame in (found, image))
        if float(np.abs(luma - expected).mean()) > _OFF_BY:
            return f"frame {number} is another image"
    return None


def _luma(frame: VideoFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the (H, W) luma of a yuv420p frame."""
    return np.asarray(frame.to_ndarray()[: frame.height], np.float32)


def _bit_rate(size: tuple[int, int], rate: int) -> int:
    """Return the bits per second at which a chip's encoder is as good as x264 at its quality: 6 M for 720p at 30."""
    return max(1_000_000, round(0.22 * size[0] * size[1] * rate))
