"""Records the show: an MP4 that is there while it grows and can be played however it ends."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from avatar.credentials import get_ready_to_sign, sign_or_remember
from avatar.errors import OutputError, UsageError
from avatar.foreign_text import shown, typed
from avatar.frames import Frame
from avatar.media import load_av
from avatar.outputs.canvas import CanvasOptions, compose_frame
from avatar.outputs.growing_file import GrowingFile, can_be_played, check_not_recorded
from avatar.outputs.live_video import LiveVideo
from avatar.outputs.microphone import SoundSource
from avatar.outputs.sound_lane import SoundLane
from avatar.outputs.target import check_folder, refuse_special
from avatar.unsigned import BegunRecording, remember

logger = logging.getLogger(__name__)

_SIGNED_AT_ONCE = 150_000_000  # bytes, less than a second's work; about a quarter of an hour of an avatar


class Recorder:
    """An output that writes a file, which takes its name, in place of an older one, as soon as it can be played."""

    def __init__(
        self,
        path: Path,
        canvas: CanvasOptions | None = None,
        *,
        rate: int = 30,
        microphone: Callable[[], SoundSource] | None = None,
    ) -> None:
        """Look whether it can be written and claim its name; the file is made with the first frame.

        Args:
            path: ends in .mp4.
            canvas: size and fit of the recording.
            rate: frames per second.
            microphone: opens one, whose sound is recorded too.
        Raises:
            UsageError: another ending.
            OutputError: the place cannot be written to, or somebody is recording to it.
        """
        check_recording(path)
        load_av()  # now: the first frames would wait for it,
        get_ready_to_sign()  # and the stop for this
        self._canvas, self._rate = canvas or CanvasOptions(), rate
        self._video: LiveVideo | None = None
        self._file = GrowingFile(path)
        self._path = self._file.target
        try:
            self._sound = SoundLane(microphone()) if microphone is not None else None
        except BaseException:
            self._file.close()
            raise
        self._ended = False
        self._composite = microphone is not None  # real sound or pictures are part of it
        self._begun: BegunRecording | None = None
        size = f"{self._canvas.width_px} x {self._canvas.height_px}"
        self.facts = f"{path.name}, {size} at {rate}{' with sound' if self._sound else ''}"

    def send(self, frame: Frame) -> None:
        """Add an avatar frame at the time it was captured. Raises: OutputError."""
        if self._ended:
            raise OutputError(f"The recording {self._path.name} has ended.", remedy="Start a new one.")
        with self._errors_explained():
            if self._video is None:
                size = (self._canvas.width_px, self._canvas.height_px)
                self._begun = BegunRecording(composite=self._composite)
                sound, mark = self._sound is not None, self._begun.mark
                self._video = LiveVideo(self._file.path, *size, self._rate, sound=sound, mark=mark)
            if frame.passed_through and self._begun is not None:
                self._begun.add_recorded()
            passage = frame.passage if frame.passed_through else None
            added = self._video.add(compose_frame(frame, self._canvas), frame.captured_ns, passage=passage)
            self._composite |= added and frame.passed_through
            if self._sound is not None:
                self._video.add_sound(self._sound.until(frame.captured_ns))
            self._file.take_name()

    def close(self) -> None:
        """Finish the file; safe to call twice. Raises: OutputError, and what was written can be played still."""
        if self._ended:
            return
        with self._errors_explained():
            if self._video is not None:
                if self._sound is not None:
                    self._video.add_sound(self._sound.finish(self._video.length_s))
                self._video.finish()
                self._file.take_name(finished=True)
                self._sign()
        self._end()

    def _sign(self) -> None:
        """Say in the file what made it; a stop may take two seconds, and a long file takes longer."""
        if self._path.stat().st_size <= _SIGNED_AT_ONCE:
            known = sign_or_remember(self._path, composite=self._composite)
        else:
            known = remember(self._path, composite=self._composite)
            command = f"python run.py verify --sign {typed(self._path)}"
            logger.warning("%s is not signed yet: %s", shown(self._path.name), command)
        if self._begun is not None:
            self._begun.end(known_otherwise=known)

    def _end(self) -> None:
        self._ended = True
        self._file.close()
        if self._begun is not None:
            self._begun.end(known_otherwise=not self._file.has_name)
        if self._sound is not None:
            self._sound.close()

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """End the recording on an error, and say how it ended."""
        from av.error import FFmpegError

        try:
            yield
        except (OSError, FFmpegError) as error:
            if self._video is not None:
                self._video.abandon()
                with contextlib.suppress(OSError):
                    self._file.take_name(finished=can_be_played(self._file.path))
            self._end()
            raise _explained(self._file, error.errno, error.strerror or str(error)) from error


def check_recording(path: Path) -> None:
    """Refuse a place where no recording can be made, before anything is opened.

    Raises:
        UsageError: another ending than .mp4, also of what a link points to.
        OutputError: no such folder, not writable, or the name is that of a folder, a device or a protected
            file, or somebody is recording to it.
    """
    if path.suffix.lower() != ".mp4":
        raise UsageError(f"{path.name} does not end in .mp4.", remedy="Recordings are MP4: give a name like show.mp4.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder, not a file.", remedy=f"Name a file in it: {path / 'show.mp4'}.")
    if path.resolve().suffix.lower() != ".mp4":  # signing goes by the ending, and other programs do
        remedy = "Remove the link, or choose another name for the recording."
        raise UsageError(f"{path} is a link to {path.resolve().name}, which does not end in .mp4.", remedy=remedy)
    refuse_special(path)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} is write-protected.", remedy="Choose another name for the recording.")
    check_folder(path.resolve().parent)
    check_not_recorded(path)


def _explained(file: GrowingFile, number: int | None, reason: str) -> OutputError:
    kept = f"{file.target.name} is as it was before. " if file.replaces else ""
    if file.has_name and can_be_played(file.target):
        kept = f"{file.target.name} ends there and can be played. "
    if number in (errno.ENOSPC, errno.EDQUOT):
        what, remedy = "The disk is full, so the recording stopped.", "Make room and start a new one."
    elif number == errno.EFBIG:
        what = "The recording grew as large as its file system or your limits allow, so it stopped."
        remedy = "Start a new one."
    else:
        what = f"The recording stopped: {file.target.name} cannot be written ({reason})."
        remedy = "Choose another folder and start a new one."
    return OutputError(what, remedy=kept + remedy)
