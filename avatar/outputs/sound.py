"""The driving clip's sound, carried into the result packet by packet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.sources.video import open_input

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer, OutputContainer

logger = logging.getLogger(__name__)

# What each container holds by its standard and common players play; the rest is converted.
_KEEPS = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
    "webm": frozenset({"opus", "vorbis"}),
}
_ENCODER = {"mp4": "aac", "webm": "libopus"}
_RATE_HZ = 48_000
_BIT_RATE = 160_000  # bits per second


class SoundTrack:
    """The first sound track of a file, added to an output whose header is not yet written."""

    def __init__(self, source: InputContainer, output: OutputContainer, origin_s: Fraction) -> None:
        """Choose between copying and converting; `source` must have a sound stream.

        Args:
            source: the opened driving file; closed by `close`.
            output: the file being written, MP4 or WebM.
            origin_s: the source's own time that is 0 in the output.
        """
        self._source, self._output, self._origin_s = source, output, origin_s
        self._stream = source.streams.audio[0]
        self._target: Any
        self.notes: list[str] = []
        container = "webm" if output.format.name == "webm" else "mp4"
        codec = _codec_name(self._stream)
        if codec in _KEEPS[container]:
            self._target = output.add_stream_from_template(self._stream)
            self._packets = self._copied()
        else:
            encoder = _ENCODER[container]
            layout = "mono" if self._stream.codec_context.layout.nb_channels == 1 else "stereo"
            self._target = output.add_stream(encoder, rate=_RATE_HZ, layout=layout)
            self._target.bit_rate = _BIT_RATE
            self._packets = self._converted()
            plain = encoder.removeprefix("lib")
            self.notes.append(f"The sound was {codec}, which {container} does not hold; it was converted to {plain}.")
        self._next = None

    def mux_until(self, time_s: float) -> None:
        """Write the packets before `time_s`, so that sound and pictures lie side by side in the file."""
        while (packet := self._peek()) is not None and _start_s(packet) < time_s:
            self._next = None
            self._output.mux(packet)

    def finish(self) -> None:
        """Write the rest."""
        self.mux_until(float("inf"))

    def close(self) -> None:
        """Close the driving file; safe to call twice."""
        self._source.close()

    def _peek(self) -> Packet[Any] | None:
        if self._next is None:
            self._next = next(self._packets, None)
        return self._next

    def _demuxed(self) -> Iterator[Packet[Any]]:
        from av.error import FFmpegError

        packets = self._source.demux(self._stream)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                logger.warning("The sound stops early: %s", error.strerror)
                return

    def _copied(self) -> Iterator[Packet[Any]]:
        before, typical = None, 0
        for packet in self._demuxed():
            if packet.dts is None:  # the empty packet that ends a stream
                continue
            shift = round(self._origin_s / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            typical = packet.dts - before if before is not None else typical
            before = packet.dts
            packet.duration = packet.duration or typical  # MP4 would play a last packet without one for no time at all
            packet.stream = self._target
            yield packet

    def _converted(self) -> Iterator[Packet[Any]]:
        from av.error import FFmpegError

        for packet in self._demuxed():
            try:
                frames = packet.decode()
            except FFmpegError:
                logger.debug("A packet of sound cannot be decoded and is left out")
                continue
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(self._origin_s / frame.time_base)
                yield from self._target.encode(frame)
        yield from self._target.encode(None)


def open_sound(path: Path, output: OutputContainer, origin_s: Fraction) -> SoundTrack | None:
    """The sound of `path`, or None where it has none that can be read."""
    from av.error import FFmpegError

    try:
        source = open_input(path)
    except (OSError, FFmpegError) as error:
        logger.warning("%s: its sound cannot be read (%s)", path.name, error)
        return None
    if not source.streams.audio or source.streams.audio[0].codec_context is None:
        source.close()
        return None
    return SoundTrack(source, output, origin_s)


def _codec_name(stream: Any) -> str:
    return str(stream.codec_context.codec.canonical_name)


def _start_s(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * packet.time_base)
