"""Files played as a camera: a clip or a folder of images in a loop, and a still."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from avatar.errors import AvatarError, CameraError
from avatar.frames import Frame, RgbImage
from avatar.images.letterbox import letterboxed
from avatar.images.load import load_image
from avatar.sources.base import SourceFacts
from avatar.sources.facts import DrivingVideo
from avatar.sources.video import open_driving
from avatar.system.message import Message

_BEHIND_NS = 250_000_000  # maximum lag; a slower decoder plays more slowly instead of catching up
_STILL_RATE = 10


class _Playing:
    """Common base of files: waits for the time at which a camera would deliver the next frame."""

    def __init__(self, path: Path, width_px: int, height_px: int, rate: float) -> None:
        self.name, self.facts = path.name, SourceFacts(width_px, height_px, rate)
        self._stopping = threading.Event()
        self._sequence = 0

    def interrupt(self) -> None:
        """Interrupt a `read` that waits; thread-safe, returns at once."""
        self._stopping.set()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._stopping.set()

    def _sent(self, rgb: RgbImage, due_ns: int) -> Frame:
        """Wait until `due_ns`, then build the frame from (H, W, 3) uint8 RGB."""
        self._stopping.wait(max(0.0, (due_ns - time.monotonic_ns()) * 1e-9))
        if self._stopping.is_set():
            raise CameraError(Message("{name} was closed.", name=self.name), remedy="Choose it again.")
        frame = Frame(rgb, self._sequence, time.monotonic_ns())
        self._sequence += 1
        return frame


class Clip(_Playing):
    """A video file or a folder of images, played at its own rate in a loop."""

    def __init__(self, path: Path) -> None:
        """Open the clip. Raises: VideoError, ImageError."""
        self._path = path
        self._clip: DrivingVideo = open_driving(path)
        facts = self._clip.facts
        super().__init__(path, facts.width_px, facts.height_px, float(facts.rate))
        self._frames: Iterator[Frame] = iter(self._clip)
        self._zero_ns: int | None = None  # monotonic time of the clip's time 0

    @property
    def path(self) -> Path:
        """Path of the file or folder."""
        return self._path

    def read(self) -> Frame:
        """Wait for the next frame. Raises: CameraError: it cannot be read, or not opened again."""
        try:
            frame = self._next()
        except AvatarError as error:
            raise CameraError(error.what, remedy=error.remedy) from error
        if new := [note for note in self._clip.notes if note not in self.facts.notes]:
            self.facts = replace(self.facts, notes=(*self.facts.notes, *new))
        now_ns = time.monotonic_ns()
        if self._zero_ns is None or now_ns - self._zero_ns - frame.captured_ns > _BEHIND_NS:
            self._zero_ns = now_ns - frame.captured_ns
        # Like a camera it has one size, because landmarks of different frames are compared.
        rgb = letterboxed(frame.rgb, self.facts.width_px, self.facts.height_px)
        return self._sent(rgb, self._zero_ns + frame.captured_ns)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        super().close()
        self._clip.close()

    def _next(self) -> Frame:
        frame = next(self._frames, None)
        if frame is not None:
            return frame
        length_ns = round(self._clip.end_s * 1e9)
        if not self._clip.rewind():
            self._clip.close()
            self._clip = open_driving(self._path)
        self._frames = iter(self._clip)
        if self._zero_ns is not None:
            self._zero_ns += length_ns
        return next(self._frames)


class Still(_Playing):
    """One image, delivered repeatedly."""

    def __init__(self, path: Path) -> None:
        """Read the image. Raises: ImageError."""
        self._rgb = load_image(path)
        self._due_ns = time.monotonic_ns()
        super().__init__(path, self._rgb.shape[1], self._rgb.shape[0], _STILL_RATE)

    @property
    def image(self) -> RgbImage:
        """The delivered image, (H, W, 3) uint8."""
        return self._rgb

    def read(self) -> Frame:
        """Wait a tenth of a second, then return the image again. Raises: CameraError: the source was closed."""
        frame = self._sent(self._rgb, self._due_ns)
        self._due_ns = frame.captured_ns + round(1e9 / _STILL_RATE)
        return frame
