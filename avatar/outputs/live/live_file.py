"""The file of a recording while it grows: an MP4 or WebM that can be played up to the point of an interruption.

Fragmented MP4 has a small index before every second of video instead of one at the end, and WebM has clusters of a
second. So a killed program, a full disk or a removed drive loses the last second and not the recording.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avatar.outputs.files.alpha_beside import put_beside
from avatar.outputs.files.writer import MADE_BY
from avatar.outputs.live.encoder import EncodedFrame
from avatar.sources.microphone import RATE_HZ

if TYPE_CHECKING:
    from av import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True)
class _Format:
    """A container with its sound."""

    name: str  # in FFmpeg, as is that of the sound's encoder
    options: dict[str, str]
    sound: str
    samples: int  # block size of that encoder
    has_silence: bool  # it starts with a block of silence that MP4 does not leave out


_MP4 = _Format("mp4", {"movflags": "frag_keyframe+hybrid_fragmented", "flush_packets": "1"}, "aac", 1024, True)
_WEBM = _Format("webm", {"cluster_time_limit": "1000", "flush_packets": "1"}, "libopus", 960, False)


class LiveFile:
    """Writer of encoded frames and sound; used on one thread."""

    def __init__(
        self, path: Path, template: VideoStream, rate: int, *, sound: bool = False, mark: str = "", webm: bool = False
    ) -> None:
        """Open the file; the header is written with the first packet.

        Args:
            path: the file, which `finish` converts to an ordinary one.
            template: stream of the frames.
            rate: frames per second.
            sound: add a sound track, mono at RATE_HZ.
            mark: text after our name in the file's comment.
            webm: VP9 with alpha in WebM; otherwise H.264 in MP4.
        Raises:
            OSError, FFmpegError: it cannot be written.
        """
        import av

        self._rate = rate
        self._first: int | None = None  # place of the first frame; `_last`: of the last one
        self._last = 0
        self._samples, self._waiting = 0, np.zeros(0, np.float32)  # number of encoded samples, and pending samples (N,)
        self._format = _WEBM if webm else _MP4
        self._container = av.open(str(path), "w", format=self._format.name, container_options=self._format.options)
        try:
            self._container.metadata["comment"] = f"{MADE_BY} {mark}".rstrip()
            self._video: Any = self._container.add_stream_from_template(template)
            if webm:
                self._video.metadata["alpha_mode"] = "1"  # what browsers look for
            self._audio: Any = (
                self._container.add_stream(self._format.sound, rate=RATE_HZ, layout="mono") if sound else None
            )
        except BaseException:
            self.abandon()
            raise

    def add(self, frame: EncodedFrame) -> None:
        """Add the next frame; the first one must be a key frame.

        Raises:
            OSError, FFmpegError: the disk is full or gone.
        """
        if self._first is None:
            self._first = frame.place
        self._last = frame.place
        self._container.mux(packet_of(frame, self._first, self._rate, self._video))

    @property
    def is_new(self) -> bool:
        """True if the file contains only one frame."""
        return self._first == self._last

    @property
    def length_s(self) -> float:
        """Duration of the video in seconds."""
        return 0.0 if self._first is None else (self._last - self._first + 1) / self._rate

    def add_sound(self, samples: npt.NDArray[np.float32]) -> None:
        """Append sound, (N,) in [-1, 1]; the first sample coincides with the first frame."""
        from av import AudioFrame

        block = self._format.samples
        self._waiting = np.concatenate([self._waiting, samples.astype(np.float32, copy=False)])
        while len(self._waiting) >= block:
            chunk, self._waiting = self._waiting[:block], self._waiting[block:]
            self._samples += block
            if self._samples == block and self._format.has_silence:
                continue  # replaced by the encoder's silence: a time before 0 would shift the video
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(chunk[None]), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = self._samples - block
            self._container.mux(self._audio.encode(frame))

    def finish(self) -> None:
        """Flush the sound encoder and write the index. Raises: OSError, FFmpegError."""
        if self._audio is not None:
            self.add_sound(np.zeros(-len(self._waiting) % self._format.samples, np.float32))
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close after an error, keeping the part already written."""
        with contextlib.suppress(Exception):
            self._container.close()


def packet_of(frame: EncodedFrame, origin: int, rate: int, stream: Any) -> Packet:
    """Create a packet for a container's stream; `origin` is the place that gets time 0."""
    from av import Packet

    packet = Packet(frame.data)
    packet.stream, packet.time_base = stream, Fraction(1, rate)
    packet.pts, packet.dts, packet.duration = frame.place - origin, frame.place - origin, 1
    packet.is_keyframe = frame.is_key
    put_beside(packet, frame.alpha)
    return packet
