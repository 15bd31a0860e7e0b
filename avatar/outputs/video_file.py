"""MP4 and WebM files that keep the driving clip's times and sound, and `open_output` for every kind of result."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.atomic import flush_to_disk, part_path, remove_stale_parts
from avatar.frames import RgbImage
from avatar.media import load_av
from avatar.outputs.gif import GifWriter
from avatar.outputs.png_folder import PngFolderWriter
from avatar.outputs.sound import Sound, open_sound
from avatar.outputs.sound_choice import SoundTrackChoice
from avatar.outputs.target import OutputKind, is_of_the_file, kind_of, write_errors_explained
from avatar.outputs.writer import MADE_BY, AbortsUnlessCommitted, FrameWriter
from avatar.outputs.yuv import name_colours, to_yuv420p
from avatar.sources.facts import DrivingFacts

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

_CODECS: dict[OutputKind, tuple[str, dict[str, str]]] = {
    # Without B-frames the stored order is the shown order; with them MP4's two notes of its length would disagree.
    # Each frame of lookahead is kept twice: ten of them at 4K are 250 MB.
    OutputKind.MP4: ("libx264", {"crf": "16", "preset": "veryfast", "bf": "0", "rc-lookahead": "3"}),
    OutputKind.WEBM: ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}),
}
_FINEST = Fraction(1, 1_000_000)  # s; MP4 counts ticks per second in 32 bits


def open_output(
    path: Path,
    width_px: int,
    height_px: int,
    facts: DrivingFacts,
    *,
    audio_from: Path | None = None,
    sound_track: SoundTrackChoice = None,
) -> FrameWriter:
    """Start a result of the kind its name asks for.

    Args:
        path: .mp4, .webm, .gif, or a folder for PNG frames.
        width_px, height_px: of every frame that will be written; an odd size is padded by one repeated column or row
            where the codec needs even ones (MP4, WebM).
        facts: of the driving clip, for its rate and the grain of its times.
        audio_from: a file whose sound is carried over (MP4, WebM).
        sound_track: which of its sound tracks.
    Raises:
        UsageError: an unknown ending.
        OutputError: the place cannot be written to.
    """
    kind = kind_of(path)
    load_av()
    remove_stale_parts(path.resolve())
    if kind is OutputKind.PNG_FOLDER:
        return PngFolderWriter(path)
    if kind is OutputKind.GIF:
        return GifWriter(path, width_px, height_px)
    return VideoFileWriter(path, width_px, height_px, facts, audio_from=audio_from, sound_track=sound_track)


class VideoFileWriter(AbortsUnlessCommitted):
    """H.264 in MP4 or VP9 in WebM, with BT.709 colours, under a hidden name until `commit`."""

    def __init__(
        self,
        target: Path,
        width_px: int,
        height_px: int,
        facts: DrivingFacts,
        *,
        audio_from: Path | None = None,
        sound_track: SoundTrackChoice = None,
    ) -> None:
        """Open the hidden file and the encoder. Raises OutputError."""
        from av.error import FFmpegError

        self._target = target.resolve()
        self._part = part_path(self._target)
        self._time_base = max(facts.time_base, _FINEST)
        self._typical_ticks = max(1, round(1 / (facts.rate * self._time_base)))
        self._pending: tuple[VideoFrame, int] | None = None  # waits for the next one, which ends it
        self._durations: dict[int, int] = {}  # by time stamp, of the frames inside the encoder
        self._sound: Sound | None = None
        self._frames = 0
        self.notes: list[str] = []
        size = width_px + width_px % 2, height_px + height_px % 2
        with contextlib.ExitStack() as undo, write_errors_explained(target):
            undo.callback(self.abort)
            try:
                self._begin(size, facts, audio_from, sound_track)
            except (FFmpegError, ValueError) as error:
                if audio_from is None or is_of_the_file(error):
                    raise
                self.abort()
                self._begin(size, facts, None, None)
                self.notes.append(f"The sound was left out: it cannot be encoded ({error}).")
            undo.pop_all()

    def _begin(
        self, size: tuple[int, int], facts: DrivingFacts, audio_from: Path | None, sound_track: SoundTrackChoice
    ) -> None:
        """Open the hidden file and the encoders, and write the header."""
        import av

        kind, self._sound = kind_of(self._target), None
        mp4 = kind is OutputKind.MP4
        self._container = av.open(
            str(self._part),
            "w",
            format="mp4" if mp4 else "webm",
            container_options={"movflags": "faststart"} if mp4 else {},
        )
        self._container.metadata["comment"] = MADE_BY
        self._stream = self._add_pictures(_CODECS[kind], *size, facts)
        if audio_from is not None:
            self._sound = open_sound(audio_from, self._container, facts, sound_track)
        self._container.start_encoding()
        if self._sound is not None:
            self.notes = self._sound.notes

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Encode the frame before this one, whose length is now known, and keep this one."""
        tick = round(time_s / self._time_base)
        with write_errors_explained(self._target):
            if self._pending is not None:
                tick = max(tick, self._pending[1] + 1)
                self._encode(*self._pending, tick - self._pending[1])
            self._pending = (to_yuv420p(rgb), tick)

    def commit(self, end_s: float | None = None) -> None:
        """Encode what is left, write the index, and give the file its name."""
        with write_errors_explained(self._target):
            if self._pending is not None:
                frame, tick = self._pending
                end = tick + self._typical_ticks if end_s is None else max(tick + 1, round(end_s / self._time_base))
                self._pending = None
                self._encode(frame, tick, end - tick)
            self._mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.finish()
                self._sound.close()
            self._close()
            flush_to_disk(self._part)
            self._part.replace(self._target)

    def abort(self) -> None:
        """Close and remove the hidden file."""
        if self._sound is not None:
            self._sound.close()
        if (container := getattr(self, "_container", None)) is not None:
            with contextlib.suppress(Exception):  # a disk that is full refuses the index too
                container.close()
        self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        """Write the index. Sound that waits in the muxer until now may fail once more: that costs no pictures."""
        from av.error import FFmpegError

        try:
            self._container.close()
        except FFmpegError as error:
            if self._sound is None or not self._sound.take_blame(error) or not _holds(self._part, self._frames):
                raise

    def _add_pictures(
        self, codec: tuple[str, dict[str, str]], width_px: int, height_px: int, facts: DrivingFacts
    ) -> VideoStream:
        name, options = codec
        stream: Any = self._container.add_stream(name, rate=facts.rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width_px, height_px, "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = self._time_base
        name_colours(context)
        return stream  # type: ignore[no-any-return]

    def _encode(self, frame: VideoFrame, tick: int, length: int) -> None:
        frame.pts, frame.time_base, frame.duration = tick, self._time_base, length
        self._durations[tick] = length
        if self._sound is not None:
            self._sound.mux_until(float(tick * self._time_base))
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        from av.error import FFmpegError

        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, self._typical_ticks)
            self._frames += 1
            try:
                self._container.mux(packet)
            except FFmpegError as error:  # of this packet, or of one of sound that had to wait for it
                if self._sound is None or not self._sound.take_blame(error):
                    raise


def _holds(path: Path, frames: int) -> bool:
    """Whether a finished file can be opened and holds all its pictures, as far as it says."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as file:
            return file.streams.video[0].frames in (0, frames)
    except (OSError, FFmpegError, IndexError):
        return False
