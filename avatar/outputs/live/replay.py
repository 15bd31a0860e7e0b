"""The last half minute: a ring buffer of encoded frames in memory that can be saved at any moment."""

from __future__ import annotations

import collections
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs.files.target import write_errors_explained
from avatar.outputs.files.writer import MADE_BY
from avatar.outputs.live.encoder import EncodedFrame, EncoderPool
from avatar.outputs.live.live_file import packet_of
from avatar.provenance.credentials import sign_or_remember
from avatar.system.atomic import replacing
from avatar.system.media import load_av
from avatar.system.message import Message

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_MOST_BYTES = 256_000_000  # memory limit, reached by noise at 4K; half a minute of an avatar at 720p takes a tenth


class ReplayRing:
    """An output that keeps the last seconds only; `save` is thread-safe."""

    def __init__(
        self,
        size: tuple[int, int] = (1280, 720),
        *,
        seconds: int = 30,
        rate: int = 30,
        encoders: EncoderPool | None = None,
    ) -> None:
        """Create a ring buffer; it takes about a megabyte per second.

        Args:
            size: (width, height) of every frame in pixels.
            seconds: duration to keep.
            rate: frames per second.
            encoders: shared with a recording; None: a separate encoder.
        """
        load_av()
        self.size, self._seconds, self._rate = size, seconds, rate
        self._encoders = encoders or EncoderPool()
        self._feed = self._encoders.join(size, rate)
        self._lock = threading.Lock()
        self._kept: collections.deque[EncodedFrame] = collections.deque()
        self._bytes = 0
        self._template: VideoStream | None = None  # stream of the kept frames
        self.facts = Message("the last {seconds} s", seconds=seconds)

    def send(self, frame: Frame) -> None:
        """Add a frame of the ring's size."""
        for encoded in self._feed.add(frame):
            self._keep(encoded)

    def resize(self, size: tuple[int, int]) -> None:
        """Expect frames of another size, and drop the kept ones, because a video has one size."""
        self.close()
        self.size, self._feed = size, self._encoders.join(size, self._rate)

    def save(self, path: Path) -> float:
        """Write the kept frames to an MP4, atomically; returns its duration in seconds.

        Raises:
            OutputError: nothing was sent yet, or the path cannot be written.
        """
        with self._lock:
            kept, template = list(self._kept)[:-1], self._template  # the duration of the newest frame is not known yet
        if not kept or template is None:
            raise OutputError("There is nothing to save yet.", remedy="Wait for the first avatar frame.")
        wanted = kept[_start(kept, kept[-1].place + 1 - self._seconds * self._rate) :]
        with write_errors_explained(path), replacing(path) as part:
            self._write(wanted, template, part)
        sign_or_remember(path, composite=any(frame.shows_camera for frame in wanted))
        return (wanted[-1].place + 1 - wanted[0].place) / self._rate

    def close(self) -> None:
        """Drop all frames; safe to call twice."""
        self._feed.close()
        with self._lock:
            self._kept.clear()
            self._bytes, self._template = 0, None

    def _keep(self, encoded: EncodedFrame) -> None:
        # one second more, because a replay can only begin at a key frame, and there is one a second
        most = (self._seconds + 1) * self._rate
        with self._lock:
            self._template = self._template or self._feed.template
            self._kept.append(encoded)
            self._bytes += len(encoded.data)
            while len(self._kept) > most + 1 or self._bytes > _MOST_BYTES:
                self._bytes -= len(self._kept.popleft().data)

    def _write(self, frames: Sequence[EncodedFrame], template: VideoStream, part: Path) -> None:
        """Write the packets to a file without encoding them again."""
        import av

        with av.open(str(part), "w", format="mp4", container_options={"movflags": "faststart"}) as file:
            file.metadata["comment"] = MADE_BY
            stream = file.add_stream_from_template(template)
            for frame in frames:
                file.mux(packet_of(frame, frames[0].place, self._rate, stream))


def _start(frames: Sequence[EncodedFrame], place: int) -> int:
    """Return the first frame of a replay: the last key frame up to a place, otherwise the first frame."""
    keys = [number for number, frame in enumerate(frames) if frame.is_key]
    return max((number for number in keys if frames[number].place <= place), default=keys[0])
