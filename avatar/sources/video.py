"""Driving clips: any video file that FFmpeg reads, an animated image, or a folder of images."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import VideoError
from avatar.frames import Frame
from avatar.sources.animated_image import READ_HERE, AnimatedImage, animation_format
from avatar.sources.clock import clock_of
from avatar.sources.facts import DrivingFacts, DrivingVideo
from avatar.sources.image_folder import DEFAULT_RATE, ImageFolder
from avatar.sources.pixels import Orientation, RgbConverter
from avatar.sources.probe import FFMPEG_MAX_PIXELS, check_opens, open_input
from avatar.sources.streams import choose_stream, packet_orientation, stream_orientation, stream_rate
from avatar.sources.timeline import on_one_timeline
from avatar.system.limits import MAX_CLIP_PIXELS
from avatar.system.media import load_av
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

__all__ = ["DrivingFacts", "DrivingVideo", "VideoFile", "open_driving"]

_NS = 1_000_000_000
STATES_LENGTH = ("matroska,webm", "flv")  # containers whose header states the duration but not the number of frames
MISSING_S = 0.25  # minimum; the header may include the delay of B-frames and of the last packet
MOST = 0.95  # fraction of the header's frames and duration; a clip trimmed on a phone has only fewer frames


def open_driving(path: Path, *, folder_rate: Fraction = DEFAULT_RATE) -> DrivingVideo:
    """Open a driving clip: a video file, an animated image, or a folder of images at `folder_rate` frames per second.

    Raises:
        VideoError: missing, empty, not a video, damaged from the start, without frames or with only one.
        ImageError: the first image of a folder cannot be read.
    """
    if path.is_dir():
        return ImageFolder(path, folder_rate)
    return AnimatedImage(path) if animation_format(path) in READ_HERE else VideoFile(path)


class VideoFile(DrivingVideo):
    """One video file, decoded frame by frame; memory does not grow with its length."""

    def __init__(self, path: Path) -> None:
        """Open the file and decode two frames, so that an unusable file is refused at once."""
        _check_file(path)
        self._tried = check_opens(path)
        load_av()
        self._path = path
        self._damaged = 0  # number of damaged packets
        self._told_of_losses = False
        self.notes: list[str] = []  # notes for the user, so far
        self._container = _open_container(path)
        try:
            self._stream = choose_stream(self._container, path)
            self._refuse_size(self._stream.width, self._stream.height)  # from the header, before decoding
            self._stream.codec_context.options = {"max_pixels": FFMPEG_MAX_PIXELS}
            self._stream.thread_type = "AUTO"
            self._orientation: Orientation | None = None  # known after the first packet
            self._last_repeat: Fraction | None = None  # s; end of the last repeated frame, in the file's time
            self._clock = clock_of(self._container)
            self._read_to_s = 0.0  # end of the packets read so far, in the file's time
            self._frames = self._decode()
            self._ahead = list(itertools.islice(self._frames, 2))
            self._refuse_stills()
            first = self._ahead[0]
            self._first_pts = first.pts
            self._converter = RgbConverter(first, self._stream.sample_aspect_ratio, self._orientation)
            self.notes += self._converter.notes
            self._refuse_size(self._converter.width_px, self._converter.height_px)  # after conversion to square pixels
            self.facts = self._read_facts(first)
            if self._container.streams.audio and not self._tried.sound:
                self.notes.append(
                    Message(
                        "The sound of {name} was left out: reading it {reason}.",
                        name=path.name,
                        reason=self._tried.reason,
                    )
                )
        except BaseException:
            self._container.close()
            raise
        self.end_s = 0.0

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the start; damage in the middle is skipped, damage at the end ends the clip."""
        last_tick: int | None = None
        first_tick = 0
        step = max(1, round(1 / (self.facts.rate * self.facts.time_base)))
        ahead, self._ahead = self._ahead, []
        origin = round(self.facts.origin_s / self.facts.time_base)
        number = -1  # none yet
        for number, frame in enumerate(itertools.chain(ahead, self._frames)):
            tick = _tick(frame, self.facts.time_base, origin)
            if tick is None:
                tick = 0 if last_tick is None else last_tick + step
            if last_tick is not None and tick <= last_tick:  # broken clock: keep the frame and the order
                tick = last_tick + 1
            first_tick = tick if last_tick is None else first_tick
            last_tick = tick
            typical = min(step, (tick - first_tick) / number) if number else step  # a header's rate may be too low
            self.end_s = float((tick + (frame.duration or round(typical))) * self.facts.time_base)
            yield Frame(self._converter.convert(frame), number, round(tick * self.facts.time_base * _NS))
        if self._last_repeat is not None:
            self.end_s = max(self.end_s, float(self._last_repeat - self.facts.origin_s))
        self._tell_of_losses(number + 1)

    def rewind(self) -> bool:
        """Rewind to the first frame and reset the decoder; False if the clip has to be opened again instead.

        Opening the file again for every loop would keep its buffers until Python's rare garbage collection.
        """
        from av.error import FFmpegError

        self._frames.close()
        if self._clock.joins(self._stream.index):  # seeking is ambiguous: pieces share the same times
            return False
        try:
            self._container.seek(self._first_pts or 0, stream=self._stream)
        except FFmpegError:
            return False
        self._stream.codec_context.flush_buffers()
        self._damaged, self._read_to_s, self._clock = 0, 0.0, clock_of(self._container)
        self._frames = self._decode()
        self._ahead = list(itertools.islice(self._frames, 1))
        return bool(self._ahead) and self._first_pts is not None and self._ahead[0].pts == self._first_pts

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._frames.close()
        self._container.close()

    def _decode(self) -> Generator[VideoFrame, None, None]:
        """Decode all frames, skipping packets that cannot be decoded."""
        from av.error import FFmpegError

        for packet in on_one_timeline(self._packets(), self._container, self._clock):
            if packet.size and packet.pts is not None:
                self._read_to_s = max(self._read_to_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not self._stream:  # flush packets have no index
                continue
            self._tell_of_joins()
            if packet.size == 0 and packet.pts is not None:  # "repeat the last frame", mostly in Theora
                base = packet.time_base or self._stream.time_base or Fraction(0)
                self._last_repeat = (packet.pts + (packet.duration or 0)) * base
                continue
            if self._orientation is None:
                self._orientation = self._read_orientation(packet)
            try:
                yield from packet.decode()
            except FFmpegError as error:
                self._damaged += 1
                logger.debug("%s: a packet cannot be decoded (%s)", self._path.name, error.strerror)

    def _read_orientation(self, first: Packet[VideoStream]) -> Orientation:
        by_exif = packet_orientation(first) if self._stream.codec_context.name == "mjpeg" else Orientation()
        return stream_orientation(self._stream) if by_exif == Orientation() else by_exif

    def _packets(self) -> Iterator[Packet[Any]]:
        """Yield video and audio packets, then the empty ones that flush the decoders, also after a read error.

        Sound is not decoded here; the clock needs its stamps.
        """
        from av import Packet
        from av.error import FFmpegError

        packets = self._container.demux(self._stream, *self._container.streams.audio)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except FFmpegError as error:
                self._damaged += 1
                logger.debug("%s: reading stops early (%s)", self._path.name, error.strerror)
                flush: Packet[VideoStream] = Packet()
                flush.stream = self._stream
                yield flush
                return

    def _tell_of_losses(self, frames: int) -> None:
        """Report missing parts; once, even if the clip is played repeatedly."""
        if self._told_of_losses:
            return
        self._told_of_losses = True
        name, length_s = self._path.name, (self._container.duration or 0) / 1e6
        if self._damaged:
            logger.warning("%s is damaged; parts of it cannot be read and are left out.", name)
        elif frames < MOST * self._stream.frames and self.end_s < MOST * length_s:
            logger.warning("%s is cut short: it holds %d of %d frames.", name, frames, self._stream.frames)
        elif self._ends_early():
            logger.warning("%s is cut short: it ends after %.1f of %.1f s.", name, self._read_to_s, length_s)
        else:
            self._told_of_losses = False

    def _ends_early(self) -> bool:
        """Return whether the file ends before the duration in its header, which covers all its streams."""
        from av.stream import Disposition

        container = self._container
        unread = [
            stream for stream in container.streams
            if stream is not self._stream and stream.type in ("video", "subtitle", "data")
            and not stream.disposition & Disposition.attached_pic
        ]  # fmt: skip
        if unread or container.format.name not in STATES_LENGTH or self._clock.joins(self._stream.index):
            return False
        stated_s = (container.duration or 0) / 1e6
        return self._read_to_s < min(MOST * stated_s, stated_s - MISSING_S)

    def _tell_of_joins(self) -> None:
        if self._clock.joins(self._stream.index):
            note = Message(
                "{name} consists of several joined recordings; their time stamps were made continuous.",
                name=self._path.name,
            )
            if note not in self.notes:
                self.notes.append(note)

    def _refuse_stills(self) -> None:
        if not self._ahead:
            raise VideoError(
                Message("No picture in {name} can be decoded.", name=self._path.name),
                remedy="It is damaged or was cut short while it was copied: copy it again, or convert it to MP4.",
            )
        if len(self._ahead) == 1:
            raise VideoError(
                Message("{name} holds a single picture, so nothing moves in it.", name=self._path.name),
                remedy="Choose a clip of a second or more in which a face is seen.",
            )

    def _refuse_size(self, width: int, height: int) -> None:
        if width * height > MAX_CLIP_PIXELS:
            what = Message(
                "{name} is {width} x {height} pixels; the limit is {limit:.0f} megapixels.",
                name=self._path.name,
                width=width,
                height=height,
                limit=MAX_CLIP_PIXELS / 1e6,
            )
        elif width * height == 0 and self._is_picture_by_name_alone():
            raise _unsupported(self._path)
        elif width * height == 0:  # FFmpeg has the same limit
            what = Message(
                "{name} is of no known size, or larger than {limit:.0f} megapixels.",
                name=self._path.name,
                limit=MAX_CLIP_PIXELS / 1e6,
            )
        else:
            return
        raise VideoError(what, remedy="Scale it down first: 1080 lines are plenty to follow a face.")

    def _is_picture_by_name_alone(self) -> bool:
        """Return whether FFmpeg took the ending of the file for its format, and there is no picture in it."""
        from PIL import Image, UnidentifiedImageError

        if self._container.format.name != "image2":
            return False
        try:
            Image.open(self._path).close()
        except UnidentifiedImageError:
            return True
        except (OSError, Image.DecompressionBombError):
            pass
        return False

    def _read_facts(self, first: VideoFrame) -> DrivingFacts:
        stream = self._stream
        time_base = stream.time_base or first.time_base or Fraction(1, 90_000)
        rate = stream_rate(stream, self._ahead)
        start_s = Fraction(self._container.start_time or 0, 1_000_000)
        # Sound may begin before 0 with data that its decoder needs; frames before 0 are meant to be shown.
        origin_ticks = max(0, start_s // time_base)
        if first.pts is not None:
            origin_ticks = min(origin_ticks, first.pts)
        duration_s = float((stream.duration or 0) * time_base) or (self._container.duration or 0) / 1e6
        return DrivingFacts(
            path=self._path,
            width_px=self._converter.width_px,
            height_px=self._converter.height_px,
            rate=rate,
            time_base=time_base,
            duration_s=duration_s,
            frames_estimate=stream.frames or round(duration_s * rate),
            has_audio=self._tried.sound and bool(self._container.streams.audio),
            origin_s=origin_ticks * time_base,
            stream_index=stream.index,
        )


def _tick(frame: VideoFrame, time_base: Fraction, origin: int) -> int | None:
    stamp = frame.pts if frame.pts is not None else frame.dts
    if stamp is None:
        return None
    own_base = frame.time_base or time_base
    return (int(stamp) if own_base == time_base else round(stamp * own_base / time_base)) - origin


def _check_file(path: Path) -> None:
    """Raise VideoError with a readable reason, before FFmpeg's own errors."""
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        what = (
            Message("There is no video {path}.", path=path)
            if isinstance(error, FileNotFoundError)
            else Message("There is no way to read {path}.", path=path)
        )
        raise VideoError(what, remedy="Check the name and the folder.") from error
    if not path.is_file():
        raise VideoError(
            Message("{path} is not a file.", path=path), remedy="Name a video file or a folder of pictures."
        )
    if size_bytes == 0:
        raise VideoError(Message("{name} is empty (0 bytes).", name=path.name), remedy="Copy or download it again.")


def _open_container(path: Path) -> InputContainer:
    from av.error import FFmpegError

    try:
        return open_input(path)
    except PermissionError as error:
        raise VideoError(
            Message("{path} may not be read.", path=path), remedy="Change its permissions, or copy it."
        ) from error
    except (FFmpegError, ValueError) as error:
        if _starts_like_mp4(path):
            raise VideoError(
                Message(
                    "{name} is cut short or damaged: the index that an MP4 file ends with is missing.", name=path.name
                ),
                remedy="Copy or download it again; if the recording was interrupted, a repair tool may help.",
            ) from error
        raise _unsupported(path) from error


def _unsupported(path: Path) -> VideoError:
    return VideoError(
        Message("{name} is not a video in a supported format.", name=path.name),
        remedy="Convert it to MP4, or name another file.",
    )


def _starts_like_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
