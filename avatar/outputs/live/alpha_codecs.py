"""Codecs of recordings with transparency: VP9, which keeps alpha beside each packet, and PNG."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from avatar.frames import Frame
from avatar.outputs.yuv import name_colours, straight_rgba, to_yuva420p

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True, eq=False)
class AlphaCodec:
    """Encoder with options for low delay: each frame gives its packet at once. It takes several times x264's time."""

    name: str  # in FFmpeg
    options: dict[str, str]
    pixels: str  # input pixel format
    container: str  # a format of FFmpeg that holds its packets
    threads: int

    @property
    def facts(self) -> str:
        """Name for the user."""
        return f"{self.name} (processor)"

    def set_up(self, context: Any, size: tuple[int, int], rate: int) -> None:
        """Set the format of a codec context before it is opened; VP9 rounds an odd size up."""
        odd = (size[0] % 2, size[1] % 2) if self.pixels == "yuva420p" else (0, 0)
        context.width, context.height = size[0] + odd[0], size[1] + odd[1]
        context.pix_fmt = self.pixels
        context.time_base, context.framerate = Fraction(1, rate), Fraction(rate)
        context.thread_count = self.threads
        if self.pixels == "yuva420p":
            name_colours(context)

    def with_rate(self, rate: int) -> dict[str, str]:
        """Return the options for a number of frames per second: one key frame a second."""
        return self.options | ({"g": str(rate)} if self is VP9 else {})

    def picture(self, frame: Frame) -> VideoFrame:
        """Convert a composed frame; one without alpha is opaque."""
        from av import VideoFrame

        rgba = straight_rgba(frame.rgb, frame.alpha)
        return to_yuva420p(rgba) if self.pixels == "yuva420p" else VideoFrame.from_ndarray(rgba, format="rgba")

    def frame(self, picture: VideoFrame) -> VideoFrame:
        """Return the frame to encode."""
        return picture


# At the speed of 8 a frame at 720p takes 20 ms of processor time with its alpha; without lookahead, and without the
# hidden frames that libvpx refuses beside alpha, each frame gives its packet at once.
VP9 = AlphaCodec(
    "libvpx-vp9",
    {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1", "tile-columns": "2",
     "lag-in-frames": "0", "auto-alt-ref": "0"},
    "yuva420p", "webm", threads=2,
)  # fmt: skip
# FFmpeg's encoder takes half the time of OpenCV's for files of one size.
PNG = AlphaCodec("png", {"compression_level": "1", "pred": "sub"}, "rgba", "mov", threads=1)
