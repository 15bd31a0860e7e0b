"""Recording of the session: an MP4 that is available while it grows and can be played however it ends."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from avatar.errors import AvatarError, OutputError, UsageError
from avatar.frames import Frame
from avatar.outputs.files.sound_lane import SoundLane
from avatar.outputs.files.target import check_folder, refuse_special
from avatar.outputs.live.encoder import EncodedFrame, EncoderPool
from avatar.outputs.live.growing_file import GrowingFile, can_be_played, check_not_recorded
from avatar.outputs.live.live_file import LiveFile
from avatar.provenance.credentials import get_ready_to_sign, sign_or_remember
from avatar.provenance.unsigned import BegunRecording, remember
from avatar.sources.microphone import SoundSource
from avatar.system.foreign_text import shown, typed
from avatar.system.installation import COMMAND
from avatar.system.media import load_av
from avatar.system.message import Message, together

logger = logging.getLogger(__name__)

RATE = 30  # frames per second, unless asked otherwise
_KEYS = 2  # number of initial key frames: the second one completes the first fragment, so that the file can be played
_SIGNED_AT_ONCE = 150_000_000  # bytes, signed in less than a second; about 15 minutes of an avatar


class Recorder:
    """An output that writes a file, renamed and replacing an older one as soon as it can be played."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] = (1280, 720),
        *,
        rate: int = RATE,
        microphone: Callable[[], SoundSource] | None = None,
        encoders: EncoderPool | None = None,
    ) -> None:
        """Check the path and claim it; the file is created with the first frame.

        Args:
            path: ends in .mp4.
            size: (width, height) of every frame in pixels, for the whole recording.
            rate: frames per second.
            microphone: opens a microphone to record; None: no sound. If that fails, `problem` says why.
            encoders: shared with a replay; None: a separate encoder.
        Raises:
            UsageError: another ending.
            OutputError: the path cannot be written, or is being recorded to.
        """
        check_recording(path)
        load_av()  # loaded now, because the first frames would wait for it,
        get_ready_to_sign()  # and stopping would wait for this
        self.size, self._rate = size, rate
        self._video: LiveFile | None = None
        self._file = GrowingFile(path)
        self._path = self._file.target
        self.problem: AvatarError | None = None  # why the sound is missing that was asked for
        try:
            self._sound = SoundLane(microphone()) if microphone is not None else None
        except OutputError as error:  # the pictures are recorded all the same
            self._sound, self.problem = None, error
        except BaseException:
            self._file.close()
            raise
        self._feed = (encoders or EncoderPool()).join(size, rate, keys=_KEYS)
        self._ended = False
        self._composite = self._sound is not None  # contains real sound or camera images
        self._begun: BegunRecording | None = None
        self.facts = Message(
            "{name}, {width} x {height} at {rate} with sound"
            if self._sound
            else "{name}, {width} x {height} at {rate}",
            name=path.name,
            width=size[0],
            height=size[1],
            rate=rate,
        )

    def send(self, frame: Frame) -> None:
        """Add a frame of the recording's size at the time it was captured. Raises: OutputError."""
        if self._ended:
            raise OutputError(
                Message("The recording {name} has ended.", name=self._path.name), remedy="Start a new one."
            )
        with self._errors_explained():
            for encoded in self._feed.add(frame):
                self._write(encoded)
            if self._video is not None:
                if self._sound is not None:
                    self._video.add_sound(self._sound.until(frame.captured_ns))
                self._file.take_name()

    def close(self) -> None:
        """Finish the file; safe to call twice. Raises: OutputError; the part already written can still be played."""
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

    def _write(self, encoded: EncodedFrame) -> None:
        if self._video is None or self._begun is None:
            self._begun = BegunRecording(composite=self._composite)
            sound, mark = self._sound is not None, self._begun.mark
            self._video = LiveFile(self._file.path, self._feed.template, self._rate, sound=sound, mark=mark)
        if encoded.shows_camera:
            self._begun.add_recorded()
        self._composite |= encoded.shows_camera
        self._video.add(encoded)
        if self._sound is not None and self._video.is_new:  # so that sound and video start together
            self._video.add_sound(self._sound.until(self._feed.time_ns(encoded.place)))

    def _sign(self) -> None:
        """Sign the file at once, or later if it is so long that signing would exceed the two seconds of a stop."""
        if self._path.stat().st_size <= _SIGNED_AT_ONCE:
            known = sign_or_remember(self._path, composite=self._composite)
        else:
            known = remember(self._path, composite=self._composite)
            command = f"{COMMAND} verify --sign {typed(self._path)}"
            logger.warning("%s is not signed yet: %s", shown(self._path.name), command)
        if self._begun is not None:
            self._begun.end(known_otherwise=known)

    def _end(self) -> None:
        self._ended = True
        self._feed.close()
        self._file.close()
        if self._begun is not None:
            self._begun.end(known_otherwise=not self._file.has_name)
        if self._sound is not None:
            self._sound.close()

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Convert errors to an OutputError that says how the recording ended."""
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
    """Refuse a path that cannot be recorded to, before anything is opened.

    Raises:
        UsageError: another ending than .mp4, also of what a link points to.
        OutputError: no such folder, not writable, or the name is that of a folder, a device or a protected
            file, or is being recorded to.
    """
    if path.suffix.lower() != ".mp4":
        raise UsageError(
            Message("{name} does not end in .mp4.", name=path.name),
            remedy="Recordings are MP4: give a name like show.mp4.",
        )
    if path.is_dir():
        raise OutputError(
            Message("{path} is a folder, not a file.", path=path),
            remedy=Message("Name a file in it: {path}.", path=path / "show.mp4"),
        )
    if path.resolve().suffix.lower() != ".mp4":  # signing and other programs rely on the ending
        remedy = "Remove the link, or choose another name for the recording."
        raise UsageError(
            Message("{path} is a link to {name}, which does not end in .mp4.", path=path, name=path.resolve().name),
            remedy=remedy,
        )
    refuse_special(path)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(
            Message("{path} is write-protected.", path=path), remedy="Choose another name for the recording."
        )
    check_folder(path.resolve().parent)
    check_not_recorded(path)


def _explained(file: GrowingFile, number: int | None, reason: str) -> OutputError:
    kept = Message("{name} is as it was before.", name=file.target.name) if file.replaces else ""
    if file.has_name and can_be_played(file.target):
        kept = Message("{name} ends there and can be played.", name=file.target.name)
    if number in (errno.ENOSPC, errno.EDQUOT):
        what, remedy = "The disk is full, so the recording stopped.", "Make room and start a new one."
    elif number == errno.EFBIG:
        what = "The recording grew as large as its file system or your limits allow, so it stopped."
        remedy = "Start a new one."
    else:
        what = Message(
            "The recording stopped: {name} cannot be written ({reason}).", name=file.target.name, reason=reason
        )
        remedy = "Choose another folder and start a new one."
    return OutputError(what, remedy=together(kept, remedy))
