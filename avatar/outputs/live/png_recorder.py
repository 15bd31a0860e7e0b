"""Recording of the session as a folder of numbered PNG pictures with transparency, complete at any moment."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from avatar.errors import AvatarError, OutputError
from avatar.frames import Frame
from avatar.outputs.live.alpha_codecs import PNG
from avatar.outputs.live.encoder import RATE, EncodedFrame, EncoderPool
from avatar.outputs.live.growing_file import claim, release
from avatar.outputs.live.recording_target import check_recording, recording_stopped
from avatar.system.atomic import part_path, remove_stale_parts
from avatar.system.media import load_av
from avatar.system.message import Message

_MOST_REPEATS = 300  # limit of repeated pictures after a gap such as system sleep
_PART = ".part"  # name of the picture being written


class PngRecorder:
    """An output that writes 000000.png, 000001.png, ... at a constant rate into a folder that it makes.

    A picture that is missing is the previous one again, because a folder has no times.
    """

    transparent = True

    def __init__(
        self,
        path: Path,
        size: tuple[int, int] = (1280, 720),
        *,
        rate: int = RATE,
        sound: bool = False,
        encoders: EncoderPool | None = None,
    ) -> None:
        """Check the path and claim it; the folder is created, or an older one replaced, with the first frame.

        Args:
            path: a folder, new or of a recording before.
            size: (width, height) of every frame in pixels.
            rate: pictures per second.
            sound: sound was asked for; `problem` says that there is none.
            encoders: shared with other recordings; None: a separate encoder.
        Raises:
            UsageError: the name has an ending.
            OutputError: the folder cannot be written, holds other things, or is being recorded to.
        """
        check_recording(path)
        load_av()
        self.size = size
        self._target = path.resolve()
        self._name = claim(path)
        remove_stale_parts(self._target)
        self._feed = (encoders or EncoderPool()).join(size, rate, codec=PNG)
        self._next_place = self._count = 0
        self._last = b""  # the newest picture
        self._ended = False
        self.problem: AvatarError | None = None
        if sound:
            self.problem = OutputError(
                "A folder of pictures cannot hold sound.", remedy="Record MP4 or WebM to have the sound too."
            )
        self.facts = Message(
            "{name}, PNG pictures, {width} x {height} at {rate}",
            name=path.name, width=size[0], height=size[1], rate=rate,
        )  # fmt: skip

    def send(self, frame: Frame) -> None:
        """Add a frame of the recording's size at the time it was captured. Raises: OutputError."""
        if self._ended:
            raise OutputError(
                Message("The recording {name} has ended.", name=self._target.name), remedy="Start a new one."
            )
        from av.error import FFmpegError

        try:
            for encoded in self._feed.add(frame):
                self._write(encoded)
        except (OSError, FFmpegError) as error:
            kept: Message | str = ""
            if self._count:
                kept = Message("The pictures up to there are in {name}.", name=self._target.name)
            self.close()
            raise recording_stopped(self._target, kept, error) from error

    def close(self) -> None:
        """End the recording; safe to call twice."""
        if not self._ended:
            self._ended = True
            self._feed.close()
            release(self._name)

    def _write(self, encoded: EncodedFrame) -> None:
        if self._count == 0:
            self._make_folder()
        else:
            for _ in range(min(encoded.place - self._next_place, _MOST_REPEATS)):
                self._add(self._last)
        self._last, self._next_place = encoded.data, encoded.place + 1
        self._add(encoded.data)

    def _add(self, picture: bytes) -> None:
        part = self._target / _PART
        try:
            part.write_bytes(picture)
            part.replace(self._target / f"{self._count:06d}.png")
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        self._count += 1

    def _make_folder(self) -> None:
        """Make the folder; an older one gives way only then. Raises: OSError."""
        new, older = part_path(self._target), part_path(self._target)
        new.mkdir()
        try:
            if self._target.exists():
                self._target.rename(older)
            new.rename(self._target)
        except OSError:
            if older.exists():
                older.rename(self._target)
            new.rmdir()
            raise
        shutil.rmtree(older, ignore_errors=True)
