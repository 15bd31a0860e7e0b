"""MP4 and WebM files with the driving clip's times and sound, and `open_output` for every kind of result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.frames import RgbImage
from avatar.outputs.files.gif import GifWriter
from avatar.outputs.files.picture_encoder import PictureEncoder
from avatar.outputs.files.png_folder import PngFolderWriter
from avatar.outputs.files.sound import Sound, open_sound
from avatar.outputs.files.sound_choice import SoundTrackChoice
from avatar.outputs.files.target import OutputKind, is_of_the_file, kind_of, write_errors_explained
from avatar.outputs.files.writer import MADE_BY, AbortsUnlessCommitted, FrameWriter
from avatar.sources.facts import DrivingFacts
from avatar.system.atomic import flush_to_disk, part_path, remove_stale_parts
from avatar.system.media import load_av
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import Packet


def open_output(
    path: Path,
    width_px: int,
    height_px: int,
    facts: DrivingFacts,
    *,
    audio_from: Path | None = None,
    sound_facts: DrivingFacts | None = None,
    sound_track: SoundTrackChoice = None,
    transparent: bool = False,
) -> FrameWriter:
    """Open a writer for a result of the kind that its name determines.

    Args:
        path: .mp4, .webm, .gif, or a folder for PNG frames.
        width_px, height_px: size of all frames; an odd size is padded by one repeated column or row where the codec
            needs even ones (MP4, WebM).
        facts: facts about the driving clip, for its rate and time base.
        audio_from: a file whose sound is included (MP4, WebM).
        sound_facts: facts about that file if it is another clip; its sound then ends with the frames. None: `facts`.
        sound_track: which of its sound tracks.
        transparent: frames are (H, W, 4) with straight alpha (WebM, PNG).
    Raises:
        UsageError: an unknown ending.
        OutputError: the path cannot be written.
    """
    kind = kind_of(path)
    load_av()
    remove_stale_parts(path.resolve())
    if kind is OutputKind.PNG_FOLDER:
        return PngFolderWriter(path)
    if kind is OutputKind.GIF:
        return GifWriter(path, width_px, height_px)
    return VideoFileWriter(
        path, width_px, height_px, facts, audio_from=audio_from, sound_facts=sound_facts, sound_track=sound_track,
        transparent=transparent,
    )  # fmt: skip


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
        sound_facts: DrivingFacts | None = None,
        sound_track: SoundTrackChoice = None,
        transparent: bool = False,
    ) -> None:
        """Open the hidden file and the encoder. Raises OutputError."""
        from av.error import FFmpegError

        self._sound_facts, self._sound_ends = sound_facts or facts, sound_facts is not None
        self._target = target.resolve()
        self._part = part_path(self._target)
        self._encoder = PictureEncoder(kind_of(self._target), width_px, height_px, facts, transparent=transparent)
        self._sound: Sound | None = None
        self._frames = 0
        self.notes: list[str] = []
        with contextlib.ExitStack() as undo, write_errors_explained(target):
            undo.callback(self.abort)
            try:
                self._begin(facts, audio_from, sound_track)
            except (FFmpegError, ValueError) as error:
                if audio_from is None or is_of_the_file(error):
                    raise
                self.abort()
                self._begin(facts, None, None)
                self.notes.append(Message("The sound was left out: it cannot be encoded ({error}).", error=error))
            undo.pop_all()

    def _begin(self, facts: DrivingFacts, audio_from: Path | None, sound_track: SoundTrackChoice) -> None:
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
        self._stream = self._encoder.add_stream(self._container)
        if audio_from is not None:
            self._sound = open_sound(audio_from, self._container, self._sound_facts, sound_track)
        self._container.start_encoding()
        if self._sound is not None:
            self.notes = self._sound.notes

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Encode the frame before this one, whose length is now known, and keep this one."""
        with write_errors_explained(self._target):
            self._mux_sound()
            self._mux(self._encoder.write(rgb, time_s))

    @property
    def time_base(self) -> Fraction:
        """The length of a tick in seconds."""
        return self._encoder.timing.time_base

    def write_packets(self, packets: Iterable[Packet[Any]]) -> None:
        """Add images that a `PictureEncoder` of the same kind and size has encoded. Raises OutputError."""
        with write_errors_explained(self._target):
            for packet in packets:
                if self._sound is not None:
                    self._sound.mux_until(float((packet.pts or 0) * self._encoder.timing.time_base))
                self._mux([packet])

    def commit(self, end_s: float | None = None) -> None:
        """Encode the last frame, write the index, and rename the file."""
        with write_errors_explained(self._target):
            self._mux_sound()
            self._mux(self._encoder.finish(end_s))
            if self._sound is not None:
                self._sound.finish(end_s if self._sound_ends else None)
                self._sound.close()
            self._close()
            flush_to_disk(self._part)
            self._part.replace(self._target)

    def abort(self) -> None:
        """Close and remove the hidden file."""
        if self._sound is not None:
            self._sound.close()
        if (container := getattr(self, "_container", None)) is not None:
            with contextlib.suppress(Exception):  # a full disk also refuses the index
                container.close()
        self._part.unlink(missing_ok=True)

    def _close(self) -> None:
        """Write the index. Sound queued in the muxer may still fail here, which does not affect the video."""
        from av.error import FFmpegError

        try:
            self._container.close()
        except FFmpegError as error:
            if self._sound is None or not self._sound.take_blame(error) or not _holds(self._part, self._frames):
                raise

    def _mux_sound(self) -> None:
        """Write the sound before the frame that is encoded next."""
        if self._sound is not None and (time_s := self._encoder.pending_s) is not None:
            self._sound.mux_until(time_s)

    def _mux(self, packets: list[Packet[Any]]) -> None:
        from av.error import FFmpegError

        for packet in packets:
            packet.stream = self._stream
            self._frames += 1
            try:
                self._container.mux(packet)
            except FFmpegError as error:  # of this packet, or of a sound packet queued until now
                if self._sound is None or not self._sound.take_blame(error):
                    raise


def _holds(path: Path, frames: int) -> bool:
    """Return whether a finished file opens and contains all its frames, as far as its header states."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as file:
            return file.streams.video[0].frames in (0, frames)
    except (OSError, FFmpegError, IndexError):
        return False
