"""Frames to packets, in segments: each begins with a key frame and a fresh encoder, so it can be made apart.

Rate control and motion search look back, so one encoder's packets depend on everything before them. A fresh one every
`SEGMENT` frames, always with the same number of threads, makes a segment's packets depend on its own frames alone:
segments that were encoded on different machines are put together without encoding again, and are what one
machine would have written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from avatar.frames import RgbImage
from avatar.outputs.files.target import OutputKind
from avatar.outputs.yuv import name_colours, to_yuv420p, to_yuva420p
from avatar.sources.facts import DrivingFacts

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

SEGMENT = 250  # frames; x264 sets a key frame after as many, so hardly a byte is lost
_THREADS = "4"  # x264's packets depend on how many there are, so it is not the machine that chooses
_CODECS: dict[OutputKind, tuple[str, dict[str, str]]] = {
    # Without B-frames the stored order is the shown order; with them MP4's two notes of its length would disagree.
    # x264's macroblock tree reads memory that nobody has written where a row is no multiple of 128 pixels (core 165,
    # AVX2): the same frames become other packets now and then. Without the tree, 19 looks as 16 did with it. Nothing
    # else needs lookahead, each frame of which is kept twice.
    OutputKind.MP4: (
        "libx264",
        {"crf": "19", "preset": "veryfast", "bf": "0", "rc-lookahead": "0", "mbtree": "0"},
    ),
    OutputKind.WEBM: ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
}
_FINEST = Fraction(1, 1_000_000)  # s; MP4 counts ticks per second in 32 bits


class Timing:
    """The times of frames in the ticks of a file."""

    def __init__(self, facts: DrivingFacts) -> None:
        self.time_base = max(facts.time_base, _FINEST)
        self.typical_ticks = max(1, round(1 / (facts.rate * self.time_base)))

    def tick(self, time_s: float, before: int | None) -> int:
        """Return the tick of a frame, which is later than the one before."""
        tick = round(time_s / self.time_base)
        return tick if before is None else max(tick, before + 1)

    def ticks(self, times_ns: Sequence[int]) -> Iterator[int]:
        """Yield the ticks of consecutive frames from the first one of a clip on."""
        before: int | None = None
        for time_ns in times_ns:
            before = self.tick(time_ns * 1e-9, before)
            yield before

    def end(self, end_s: float | None, last: int) -> int:
        """Return the tick at which the last frame stops being shown."""
        return last + self.typical_ticks if end_s is None else max(last + 1, round(end_s / self.time_base))


class PictureEncoder:
    """Video encoder for a whole file or for segments of it."""

    def __init__(
        self, kind: OutputKind, width_px: int, height_px: int, facts: DrivingFacts, *, transparent: bool = False
    ) -> None:
        """Prepare the encoder.

        Args:
            kind: of the file.
            width_px, height_px: of every frame; rounded up to even numbers.
            facts: of the driving clip.
            transparent: frames are (H, W, 4) with straight alpha, which VP9 keeps beside each packet.
        """
        self._codec, self._options = _CODECS[kind]
        self._transparent = transparent
        if transparent:
            self._options = self._options | {"auto-alt-ref": "0"}  # or libvpx refuses alpha
        self._size = width_px + width_px % 2, height_px + height_px % 2
        self._rate, self.timing = facts.rate, Timing(facts)
        self._context: Any = None
        self._in_segment = 0  # frames that the present encoder was given
        self._pending: tuple[VideoFrame, int] | None = None  # waits for the next one, which ends it
        self._durations: dict[int, int] = {}  # by time stamp, of the frames inside the encoder

    @property
    def pending_s(self) -> float | None:
        """The time of the frame that the next call encodes."""
        return None if self._pending is None else float(self._pending[1] * self.timing.time_base)

    def add_stream(self, container: Any) -> VideoStream:
        """Describe the images in the header of a file whose packets this encoder, or one like it, makes."""
        stream: Any = container.add_stream(
            self._codec, rate=self._rate, options=self._options | {"threads": "1"}
        )  # idle
        self._set_up(stream.codec_context)
        stream.time_base = self.timing.time_base
        if self._transparent:
            stream.metadata["alpha_mode"] = "1"  # what browsers look for
        return stream  # type: ignore[no-any-return]

    def write(self, rgb: RgbImage, time_s: float) -> list[Packet[Any]]:
        """Encode the frame before this one, whose length is now known, and keep this one, (H, W, 3 or 4)."""
        return self.write_at(rgb, self.timing.tick(time_s, None if self._pending is None else self._pending[1]))

    def write_at(self, rgb: RgbImage, tick: int) -> list[Packet[Any]]:
        """Do the same for a frame whose tick is known."""
        packets = [] if self._pending is None else self._encode(*self._pending, tick - self._pending[1])
        self._pending = (to_yuva420p(rgb) if self._transparent else to_yuv420p(rgb), tick)
        return packets

    def finish(self, end_s: float | None) -> list[Packet[Any]]:
        """Encode the remaining frame; it is shown until `end_s`."""
        return [] if self._pending is None else self.finish_at(self.timing.end(end_s, self._pending[1]))

    def finish_at(self, end_tick: int) -> list[Packet[Any]]:
        """Do the same where the tick is known at which the last frame stops being shown."""
        if self._pending is None:
            return []
        frame, tick = self._pending
        self._pending = None
        return [*self._encode(frame, tick, end_tick - tick), *self._end_segment()]

    def _encode(self, frame: VideoFrame, tick: int, length: int) -> list[Packet[Any]]:
        packets = self._end_segment() if self._in_segment == SEGMENT else []
        if self._context is None:
            self._context = self._opened()
        frame.pts, frame.time_base, frame.duration = tick, self.timing.time_base, length
        self._durations[tick] = length
        self._in_segment += 1
        return [*packets, *self._timed(self._context.encode(frame))]

    def _end_segment(self) -> list[Packet[Any]]:
        if self._context is None:
            return []
        packets = self._timed(self._context.encode(None))
        self._context, self._in_segment = None, 0
        return packets

    def _timed(self, packets: list[Packet[Any]]) -> list[Packet[Any]]:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, self.timing.typical_ticks)
            packet.time_base = self.timing.time_base
        return packets

    def _opened(self) -> Any:
        import av
        from av.codec.context import Flags

        context: Any = av.CodecContext.create(self._codec, "w")
        context.options = self._options | {"threads": _THREADS}
        context.framerate = self._rate
        context.flags |= Flags.global_header  # the file's header has what every segment would repeat
        self._set_up(context)
        return context

    def _set_up(self, context: Any) -> None:
        context.width, context.height = self._size
        context.pix_fmt = "yuva420p" if self._transparent else "yuv420p"
        context.time_base = self.timing.time_base
        name_colours(context)
