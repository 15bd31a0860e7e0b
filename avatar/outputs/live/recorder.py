"""Recording of the session: an MP4, or a WebM with transparency, that can be played however it ends."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from avatar.errors import AvatarError, OutputError
from avatar.frames import Frame
from avatar.outputs.files.sound_lane import SoundLane
from avatar.outputs.files.target import OutputKind
from avatar.outputs.live.alpha_codecs import VP9
from avatar.outputs.live.encoder import RATE, EncodedFrame, EncoderPool
from avatar.outputs.live.growing_file import GrowingFile, can_be_played
from avatar.outputs.live.live_file import LiveFile
from avatar.outputs.live.png_recorder import PngRecorder
from avatar.outputs.live.recording_target import check_recording, recording_kind, recording_stopped
from avatar.provenance.credentials import get_ready_to_sign, sign_or_remember
from avatar.provenance.unsigned import BegunRecording, remember
from avatar.sources.microphone import SoundSource
from avatar.system.foreign_text import shown, typed
from avatar.system.installation import COMMAND
from avatar.system.media import load_av
from avatar.system.message import Message

logger = logging.getLogger(__name__)

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
            path: ends in .mp4 or .webm.
            size: (width, height) of every frame in pixels, for the whole recording.
            rate: frames per second.
            microphone: opens a microphone to record; None: no sound. If that fails, `problem` says why.
            encoders: shared with a replay; None: a separate encoder.
        Raises:
            UsageError: another ending.
            OutputError: the path cannot be written, or is being recorded to.
        """
        self.transparent = check_recording(path) is OutputKind.WEBM
        load_av()  # loaded now, because the first frames would wait for it,
        if not self.transparent:
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
        codec = VP9 if self.transparent else None
        self._feed = (encoders or EncoderPool()).join(size, rate, keys=_KEYS, codec=codec)
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
        if self._video is None:
            if not self.transparent:  # WebM has no place for a signature
                self._begun = BegunRecording(composite=self._composite)
            self._video = LiveFile(
                self._file.path,
                self._feed.template,
                self._rate,
                sound=self._sound is not None,
                mark="" if self._begun is None else self._begun.mark,
                webm=self.transparent,
            )
        if encoded.shows_camera and self._begun is not None:
            self._begun.add_recorded()
        self._composite |= encoded.shows_camera
        self._video.add(encoded)
        if self._sound is not None and self._video.is_new:  # so that sound and video start together
            self._video.add_sound(self._sound.until(self._feed.time_ns(encoded.place)))

    def _sign(self) -> None:
        """Sign an MP4 at once, or later if it is so long that signing would exceed the two seconds of a stop."""
        if self._begun is None:
            return
        if self._path.stat().st_size <= _SIGNED_AT_ONCE:
            known = sign_or_remember(self._path, composite=self._composite)
        else:
            known = remember(self._path, composite=self._composite)
            command = f"{COMMAND} verify --sign {typed(self._path)}"
            logger.warning("%s is not signed yet: %s", shown(self._path.name), command)
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
            raise recording_stopped(self._file.target, self._kept(), error) from error

    def _kept(self) -> Message | str:
        """Say what there is after an error."""
        name = self._file.target.name
        if self._file.has_name and can_be_played(self._file.target):
            return Message("{name} ends there and can be played.", name=name)
        return Message("{name} is as it was before.", name=name) if self._file.replaces else ""


def open_recording(
    path: Path,
    size: tuple[int, int] = (1280, 720),
    *,
    microphone: Callable[[], SoundSource] | None = None,
    encoders: EncoderPool | None = None,
) -> Recorder | PngRecorder:
    """Open a recording of the kind that its name determines; arguments and errors as those of `Recorder`."""
    if recording_kind(path) is OutputKind.PNG_FOLDER:
        return PngRecorder(path, size, sound=microphone is not None, encoders=encoders)
    return Recorder(path, size, microphone=microphone, encoders=encoders)
