"""A segment of a result: packets of a film, or PNG files, as one worker leaves them for whoever joins the segments."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from avatar.errors import OutputError
from avatar.frames import RgbImage
from avatar.images.load import encode_png
from avatar.offline.batch.motion_file import facts_from_json, facts_to_json
from avatar.offline.driving_motion import DrivingClip
from avatar.outputs.files.alpha_beside import alpha_beside, put_beside
from avatar.outputs.files.picture_encoder import PictureEncoder, Timing
from avatar.outputs.files.png_folder import PngFolderWriter
from avatar.outputs.files.sound_choice import SoundTrackChoice
from avatar.outputs.files.target import OutputKind, check_target, write_errors_explained
from avatar.outputs.files.video_file import VideoFileWriter
from avatar.outputs.files.writer import AbortsUnlessCommitted
from avatar.sources.facts import DrivingFacts
from avatar.system.atomic import flush_to_disk, part_path
from avatar.system.media import load_av
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import Packet

_HEADER = struct.Struct("<8sI")
_RECORD = struct.Struct("<qqBII")  # time stamp, duration, key frame, bytes of the picture, bytes of its alpha
_MAGIC = b"mq-seg2\n"
_MOST_HEADER, _MOST_PACKET = 1 << 20, 1 << 30


class _Record(NamedTuple):
    """A frame as a segment keeps it."""

    pts: int  # ticks, as is its duration
    duration: int
    is_key: bool
    data: bytes  # a packet, or a PNG file
    alpha: bytes  # of a transparent WebM; else empty


class SegmentWriter(AbortsUnlessCommitted):
    """Writes the frames of one segment; `FrameWriter` for an `EncodingThread`."""

    def __init__(
        self, target: Path, kind: OutputKind, first: RgbImage, clip: DrivingClip, span: tuple[int, int]
    ) -> None:
        """Begin the file.

        Args:
            target: where the segment is to lie.
            kind: of the result: a film or PNG frames.
            first: its first frame, (H, W, 3), or (H, W, 4) where the background is transparent, for the size.
            clip: the driving clip, for the times.
            span: the first frame of the segment, and the first one after it.
        Raises:
            OutputError: it cannot be written.
        """
        load_av()
        self.notes: list[str] = []
        self._target, self._part = target, part_path(target)
        height, width, channels = first.shape
        self._encoder = None
        if kind is not OutputKind.PNG_FOLDER:
            self._encoder = PictureEncoder(kind, width, height, clip.facts, transparent=channels == 4)
        self._ticks, self._end_tick = _ticks_of(clip, span)
        told = {"kind": kind.value, "width_px": width, "height_px": height, "transparent": channels == 4}
        header = json.dumps({
            **told, "start": span[0], "end": span[1], "facts": facts_to_json(clip.facts),
        }).encode()  # fmt: skip
        with write_errors_explained(target):
            self._file: BinaryIO = self._part.open("wb")
            self._file.write(_HEADER.pack(_MAGIC, len(header)) + header)

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Encode one (H, W, 3 or 4) frame; its time is known already."""
        tick = next(self._ticks)
        with write_errors_explained(self._target):
            if self._encoder is not None:
                self._add(self._encoder.write_at(rgb, tick))
            else:
                self._record(tick, 0, True, encode_png(rgb))

    def commit(self, end_s: float | None = None) -> None:
        """Give the file its name."""
        with write_errors_explained(self._target):
            if self._encoder is not None:
                self._add(self._encoder.finish_at(self._end_tick))
            self._file.close()
            flush_to_disk(self._part)
            self._part.replace(self._target)

    def abort(self) -> None:
        """Remove what was written."""
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _add(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            self._record(packet.pts or 0, packet.duration or 0, packet.is_keyframe, bytes(packet), alpha_beside(packet))

    def _record(self, pts: int, duration: int, key: bool, data: bytes, alpha: bytes = b"") -> None:
        self._file.write(_RECORD.pack(pts, duration, key, len(data), len(alpha)) + data + alpha)


def join_segments(
    parts: Sequence[Path],
    output: Path,
    clip: Path,
    *,
    audio: bool,
    sound_track: SoundTrackChoice,
) -> tuple[int, list[str]]:
    """Make a result of its segments.

    Args:
        parts: what `SegmentWriter` wrote, in order.
        output: the result; takes its name when it is whole.
        clip: the driving clip, whose sound is carried over where `audio` asks for it.
        audio, sound_track: as in `AnimateOptions`.
    Returns:
        The number of frames, and sentences about the sound.
    Raises:
        OutputError: it cannot be written, or a segment is missing or damaged.
    """
    load_av()
    check_target(output, [clip])
    told, facts = _read_header(parts[0], clip)
    if OutputKind(told["kind"]) is OutputKind.PNG_FOLDER:
        with PngFolderWriter(output) as folder:
            frames = 0
            for record in _records(parts, clip):
                folder.write_coded(record.data)
                frames += 1
            folder.commit()
        return frames, folder.notes
    sounds = clip if audio and facts.has_audio else None
    size = int(told["width_px"]), int(told["height_px"])
    transparent = bool(told["transparent"])
    with VideoFileWriter(
        output, *size, facts, audio_from=sounds, sound_track=sound_track, transparent=transparent
    ) as writer:
        writer.write_packets(_packets(parts, clip, writer))
        writer.commit()
    return int(_read_header(parts[-1], clip)[0]["end"]), writer.notes


def _packets(parts: Sequence[Path], clip: Path, writer: VideoFileWriter) -> Iterator[Packet[Any]]:
    import av

    for record in _records(parts, clip):
        packet: Any = av.Packet(record.data)
        packet.pts = packet.dts = record.pts
        packet.duration, packet.is_keyframe, packet.time_base = record.duration, record.is_key, writer.time_base
        put_beside(packet, record.alpha)
        yield packet


def _records(parts: Sequence[Path], clip: Path) -> Iterator[_Record]:
    """Yield the frames of all segments. Raises: OutputError."""
    frame = 0
    for path in parts:
        told, _ = _read_header(path, clip)
        if told["start"] != frame:
            raise _damaged(path)
        with path.open("rb") as file:
            file.seek(_HEADER.size + _HEADER.unpack(file.read(_HEADER.size))[1])
            while head := file.read(_RECORD.size):
                if len(head) < _RECORD.size:
                    raise _damaged(path)
                pts, duration, key, *sizes = _RECORD.unpack(head)
                if max(sizes) > _MOST_PACKET:
                    raise _damaged(path)
                data, alpha = map(file.read, sizes)
                if [len(data), len(alpha)] != sizes:
                    raise _damaged(path)
                yield _Record(pts, duration, bool(key), data, alpha)
                frame += 1
        if frame != told["end"]:
            raise _damaged(path)


def _read_header(path: Path, clip: Path) -> tuple[dict[str, Any], DrivingFacts]:
    try:
        with path.open("rb") as file:
            magic, size = _HEADER.unpack(file.read(_HEADER.size))
            if magic != _MAGIC or size > _MOST_HEADER:
                raise ValueError("no segment")
            told = json.loads(file.read(size))
        return told, facts_from_json(told["facts"], clip)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> OutputError:
    return OutputError(
        Message("A segment of a result is missing or damaged: {path}.", path=path),
        remedy="Start the batch again; it is drawn anew.",
    )


def _ticks_of(clip: DrivingClip, span: tuple[int, int]) -> tuple[Iterator[int], int]:
    """Return the ticks of a segment's frames, and the tick at which its last frame stops being shown."""
    timing = Timing(clip.facts)
    ticks = [*timing.ticks(clip.times_ns[: span[1] + 1])]
    end = ticks[span[1]] if span[1] < len(ticks) else timing.end(clip.end_s, ticks[-1])
    return iter(ticks[span[0] : span[1]]), end
