"""Files that hold sound and no moving pictures, read as blocks of samples."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from avatar.errors import VideoError
from avatar.frames import FloatArray
from avatar.sources.probe import check_opens, open_input
from avatar.system.message import Message

SUFFIXES = (".wav", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".flac", ".aif", ".aiff", ".wma", ".amr", ".ac3")


def is_sound(path: Path) -> bool:
    """Return whether a file holds sound and at most a cover beside it; False for what cannot be opened at all."""
    if not path.is_file():
        return False
    try:
        with open_input(path) as container:
            from av.stream import Disposition

            moving = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
            return bool(container.streams.audio) and not moving
    except (OSError, ValueError):
        return path.suffix.lower() in SUFFIXES  # damaged: whoever reads it says so in terms of sound


class SoundFile:
    """One sound file; every reading starts from its beginning."""

    def __init__(self, path: Path) -> None:
        """Look at the header. Raises VideoError: missing, empty, damaged, or without sound that can be decoded."""
        self.path = path
        try:
            if path.stat().st_size == 0:
                raise VideoError(Message("{name} is empty.", name=path.name), remedy="Choose another recording.")
            verdict = check_opens(path)
            with open_input(path) as container:
                stream = container.streams.audio[0]
                playable = verdict.sound and stream.codec_context is not None
                start = Fraction(stream.start_time or 0) * (stream.time_base or 0)
                length_s = container.duration / 1e6 if container.duration else 0.0
        except (OSError, ValueError, IndexError) as error:
            raise self._unreadable() from error
        if not playable:
            raise self._unreadable()
        self.starts_s, self.length_s = start, float(length_s)  # by the header; 0 = it says nothing

    def blocks(self, rate_hz: int) -> Iterator[FloatArray]:
        """Decode the first track as blocks of (N,) mono samples in [-1, 1]; damaged packets are passed over.

        Raises:
            VideoError: nothing of it can be decoded.
        """
        from av import AudioResampler
        from av.error import FFmpegError

        resampler = AudioResampler(format="flt", layout="mono", rate=rate_hz)
        heard = False
        with open_input(self.path) as container:
            for packet in container.demux(container.streams.audio[0]):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    continue
                for frame in frames:
                    for part in resampler.resample(frame):
                        heard = True
                        yield np.clip(np.nan_to_num(part.to_ndarray()[0]), -1.0, 1.0).astype(np.float32)
        for part in resampler.resample(None):
            yield np.clip(np.nan_to_num(part.to_ndarray()[0]), -1.0, 1.0).astype(np.float32)
        if not heard:
            raise self._unreadable()

    def _unreadable(self) -> VideoError:
        return VideoError(
            Message("{name} cannot be read as sound.", name=self.path.name),
            remedy="Choose a recording that plays, such as a WAV or MP3 file.",
        )
