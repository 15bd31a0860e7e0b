"""The driving clip's sound, copied or converted into the result packet by packet. Its errors never stop the video."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avatar.outputs.files.sound_choice import SoundTrackChoice, choose_sound
from avatar.outputs.files.sound_copy import Fit, codec_name, fit_of
from avatar.outputs.files.target import is_of_the_file
from avatar.sources.clock import clock_of
from avatar.sources.probe import open_input
from avatar.sources.timeline import on_one_timeline
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import AudioFrame, Packet
    from av.audio.resampler import AudioResampler
    from av.container import OutputContainer

    from avatar.sources.facts import DrivingFacts

logger = logging.getLogger(__name__)

_ENCODER = {"mp4": "aac", "webm": "libopus"}
_RATE_HZ = 48_000
_BIT_RATE = 160_000  # bits per second
_BLOCK = 1024  # samples per block for the encoder
_STEADY = _RATE_HZ // 50  # samples; smaller deviations of time stamps are rounding, not gaps
_LONGEST_S = Fraction(1, 4)  # maximum duration of a packet in any codec
_MAX_BLAMED = 1000  # failed writes that may be due to queued sound packets


class SoundTrack:
    """One sound track of a file, added to an output whose header is not yet written."""

    def __init__(self, path: Path, index: int, output: OutputContainer, facts: DrivingFacts, notes: list[str]) -> None:
        """Choose between copying and converting.

        Args:
            path: the driving file.
            index: index of its sound stream.
            output: the file being written, MP4 or WebM.
            facts: facts about the driving clip: its time origin and its video stream.
            notes: receives notes for the user.
        Raises: OSError, FFmpegError, ValueError: neither is possible.
        """
        self.notes, self.muxed, self._output = notes, 0, output
        self._origin_s = facts.origin_s
        container = "webm" if output.format.name == "webm" else "mp4"
        fit = fit_of(path, index, container)
        self._source = open_input(path)
        try:
            self._stream: Any = self._source.streams[index]
            self._video = [each for each in self._source.streams.video if each.index == facts.stream_index]
            if fit.reason:
                self._packets = self._start_converting(_ENCODER[container], fit)
            else:
                self._target: Any = output.add_stream_from_template(self._stream)
                self._packets = self._copied()
        except BaseException:
            self._source.close()
            raise
        language = self._stream.metadata.get("language", "")
        if len(language) == 3 and language.isascii() and language.isalpha():
            self._target.metadata["language"] = language
        self._next: Packet[Any] | None = None
        self._over = False

    def mux_until(self, time_s: float) -> None:
        """Write the packets before `time_s`, so that sound and video are interleaved in the file.

        Raises: OSError, FFmpegError: the file cannot be written.
        """
        try:
            while (packet := self._peek()) is not None and _start_s(packet) < time_s:
                self._next = None
                self._output.mux(packet)
                self.muxed += 1
        except Exception as error:  # no error of the sound may lose hours of drawing
            if is_of_the_file(error):
                raise
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Drop the rest of the sound, and add a note."""
        if not self._over:
            logger.debug("The sound could not be carried over", exc_info=error)
            note = (
                Message("The sound was left out: it could not be written ({why}).", why=_reason(error))
                if self.muxed < 2
                else Message("The rest of the sound was left out: it could not be written ({why}).", why=_reason(error))
            )
            if note not in self.notes:  # from another track
                self.notes.append(note)
        self._over, self._next = True, None

    def close(self) -> None:
        """Close the driving file; safe to call twice."""
        self._over = True
        self._packets.close()
        self._source.close()

    def _peek(self) -> Packet[Any] | None:
        if self._next is None and not self._over:
            self._next = next(self._packets, None)
            self._over = self._next is None
        return self._next

    def _timed(self) -> Iterator[Packet[Any]]:
        """Yield the track's packets on the clip's timeline, up to the first unreadable one."""
        for packet in on_one_timeline(self._demuxed(), self._source, clock_of(self._source)):
            if packet.stream is self._stream:  # flush packets have no index
                yield packet

    def _demuxed(self) -> Iterator[Packet[Any]]:
        from av.error import FFmpegError

        packets = self._source.demux(*self._video, *self._source.streams.audio)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                logger.warning("The sound stops early: %s", error.strerror)
                return

    def _copied(self) -> Generator[Packet[Any], None, None]:
        before: int | None = None
        before_length = 0
        for packet in self._timed():
            if not packet.size:  # the empty packet that ends a stream
                continue
            shift = round(self._origin_s / packet.time_base)
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None:
                if before is None:
                    continue
                stamp = before + before_length + shift
            dts = stamp - shift
            if before is not None and dts < before + max(1, before_length // 2):  # joined recordings overlap
                continue
            packet.dts = packet.pts = dts
            if not 0 < (packet.duration or 0) <= _LONGEST_S / packet.time_base:  # unknown, or stretched over a gap
                packet.duration = before_length or (dts - before if before is not None else 0)
            # In MP4 a last packet without a duration would not be played.
            before, before_length = dts, packet.duration or 0
            packet.stream = self._target
            yield packet

    def _start_converting(self, encoder: str, fit: Fit) -> Generator[Packet[Any], None, None]:
        """Add the stream of converted sound; the first frame determines the number of channels."""
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            raise ValueError(Message("{codec} sound cannot be decoded here", codec=codec_name(self._stream)))
        mono = first.layout.nb_channels == 1 and not fit.changes
        self._target = self._output.add_stream(encoder, rate=_RATE_HZ, layout="mono" if mono else "stereo")
        self._target.bit_rate = _BIT_RATE
        note = Message(
            "The sound {reason}; it was converted to {codec}.", reason=fit.reason, codec=encoder.removeprefix("lib")
        )
        if note not in self.notes:  # from another track
            self.notes.append(note)
        return self._converted(first, frames, "mono" if mono else "stereo")

    def _converted(
        self, first: AudioFrame, frames: Iterator[AudioFrame], layout: str
    ) -> Generator[Packet[Any], None, None]:
        from av import AudioFrame as Frame

        line = SampleLine(1 if layout == "mono" else 2)
        for start, samples in self._resampled(first, frames, layout):
            for at, block in line.put(start, samples):
                frame = Frame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate, frame.time_base, frame.pts = _RATE_HZ, Fraction(1, _RATE_HZ), at
                yield from self._target.encode(frame)
        yield from self._target.encode(None)

    def _resampled(
        self, first: AudioFrame, frames: Iterator[AudioFrame], layout: str
    ) -> Iterator[tuple[int | None, npt.NDArray[np.float32]]]:
        """Yield (number of the first sample on the result's timeline, samples (channels, N) float32 in [-1, 1]).

        The number is None for samples that follow directly on the previous ones.
        """
        from av.audio.resampler import AudioResampler

        resampler: AudioResampler | None = None
        kind: tuple[Any, ...] = ()
        frame: AudioFrame | None = first
        while frame is not None:
            if (now := (frame.sample_rate, frame.format.name, frame.layout.name)) != kind:
                if resampler is not None:
                    yield from self._placed(resampler.resample(None))
                kind, resampler = now, AudioResampler("fltp", layout, _RATE_HZ)
            assert resampler is not None
            yield from self._placed(resampler.resample(frame))
            frame = next(frames, None)
        if resampler is not None:
            yield from self._placed(resampler.resample(None))

    def _placed(self, frames: list[AudioFrame]) -> Iterator[tuple[int | None, npt.NDArray[np.float32]]]:
        """Yield (number of the first sample or None, samples (channels, N) float32) of resampled frames."""
        for frame in frames:
            start = None
            if frame.pts is not None and frame.time_base is not None:
                start = round((frame.pts * frame.time_base - self._origin_s) * _RATE_HZ)
            yield start, frame.to_ndarray()

    def _decoded(self) -> Iterator[AudioFrame]:
        """Yield every frame that can be decoded."""
        from av.error import FFmpegError

        for packet in self._timed():
            try:
                yield from packet.decode()
            except FFmpegError:
                logger.debug("A packet of sound cannot be decoded and is left out")


class SampleLine:
    """A continuous line of samples: gaps are filled with silence, overlaps are cut."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._at = 0  # number of the next sample

    def put(self, start: int | None, samples: npt.NDArray[np.float32]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Yield (first sample's number, (channels, at most 1024)) for samples that begin at `start`."""
        astray = 0 if start is None else start - self._at
        if astray > _STEADY:
            yield from self._blocks(self._silence(astray))
        elif astray < -_STEADY:
            samples = samples[:, -astray:]
        yield from self._blocks(iter((samples,)))

    def _silence(self, count: int) -> Iterator[npt.NDArray[np.float32]]:
        """Yield `count` samples of silence in blocks (channels, up to _BLOCK)."""
        for start in range(0, count, _BLOCK):
            yield np.zeros((self._channels, min(_BLOCK, count - start)), np.float32)

    def _blocks(self, pieces: Iterator[npt.NDArray[np.float32]]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Split pieces (channels, N) into (number of the first sample, block (channels, up to _BLOCK))."""
        for piece in pieces:
            for start in range(0, piece.shape[1], _BLOCK):
                block = np.ascontiguousarray(piece[:, start : start + _BLOCK])
                yield self._at, block
                self._at += block.shape[1]


class Sound:
    """The sound tracks of a result."""

    def __init__(self, tracks: list[SoundTrack], notes: list[str]) -> None:
        self._tracks, self.notes = tracks, notes
        self._blamed = 0

    def mux_until(self, time_s: float) -> None:
        """Write the sound before `time_s`. Raises: OSError, FFmpegError: the file cannot be written."""
        for track in self._tracks:
            track.mux_until(time_s)

    def finish(self, end_s: float | None = None) -> None:
        """Write the rest, or that before `end_s`. Raises: OSError, FFmpegError: the file cannot be written."""
        self.mux_until(float("inf") if end_s is None else end_s)

    def take_blame(self, error: Exception) -> bool:
        """End the sound if a failed write may be due to its packets in the muxer's queue; returns whether it may."""
        if is_of_the_file(error) or self._blamed >= min(_MAX_BLAMED, sum(track.muxed for track in self._tracks)):
            return False
        self._blamed += 1
        for track in self._tracks:
            track.give_up(error)
        return True

    def close(self) -> None:
        """Close the driving file; safe to call twice."""
        for track in self._tracks:
            track.close()


def open_sound(path: Path, output: OutputContainer, facts: DrivingFacts, wanted: SoundTrackChoice = None) -> Sound:
    """Open the sound of `path`; if none is usable, its notes say why."""
    from av.error import FFmpegError

    notes: list[str] = []
    tracks: list[SoundTrack] = []
    try:
        chosen = choose_sound(path, wanted)
    except (OSError, FFmpegError, ValueError) as error:
        logger.warning("%s: its sound cannot be read (%s)", path.name, error)
        return Sound([], [Message("The sound was left out: it cannot be read ({why}).", why=_reason(error))])
    notes += chosen.notes
    for number, index in enumerate(chosen.indexes, 1):
        try:
            tracks.append(SoundTrack(path, index, output, facts, notes))
        except Exception as error:
            why = _reason(error)
            notes.append(
                Message("Sound track {number} was left out: {why}.", number=number, why=why)
                if len(chosen.indexes) > 1
                else Message("The sound was left out: {why}.", why=why)
            )
    return Sound(tracks, notes)


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def _start_s(packet: Packet[Any]) -> float:
    return float((packet.dts or 0) * packet.time_base)
