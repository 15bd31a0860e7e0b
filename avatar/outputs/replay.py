"""The last half minute, always at hand: a ring of encoded frames in memory that can be saved at any moment."""

from __future__ import annotations

import collections
import io
import threading
from pathlib import Path
from typing import Any

from avatar.atomic import replacing
from avatar.credentials import sign_or_remember
from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.media import load_av
from avatar.outputs.canvas import CanvasOptions, compose_frame
from avatar.outputs.live_video import LiveVideo
from avatar.outputs.target import write_errors_explained
from avatar.outputs.writer import MADE_BY

_MOST_BYTES = 256_000_000  # noise at 4K; half a minute of an avatar at 720p is a tenth of it


class ReplayRing:
    """An output that forgets all but the last seconds. `save` may be called from any thread."""

    def __init__(self, canvas: CanvasOptions | None = None, *, seconds: int = 30, rate: int = 30) -> None:
        """Get ready to keep `seconds`, which cost about as many megabytes."""
        load_av()
        self.canvas, self._seconds, self._rate = canvas or CanvasOptions(), seconds, rate
        self._video: LiveVideo | None = None
        self._fragments = self._new_fragments()
        self.facts = f"the last {seconds} s"

    def send(self, frame: Frame) -> None:
        """Add an avatar frame."""
        if self._video is None:
            size = (self.canvas.width_px, self.canvas.height_px)
            self._video = LiveVideo(self._fragments, *size, self._rate)
        passage = frame.passage if frame.passed_through else None
        self._video.add(compose_frame(frame, self.canvas), frame.captured_ns, passage=passage)

    def use_canvas(self, canvas: CanvasOptions) -> None:
        """Compose on another canvas; only another size forgets what there is, because a film has one size."""
        before, self.canvas = self.canvas, canvas
        if (canvas.width_px, canvas.height_px) != (before.width_px, before.height_px):
            self.close()
            self._video, self._fragments = None, self._new_fragments()

    def save(self, path: Path) -> float:
        """Write what is remembered to an MP4, whole or not at all; return how many seconds it holds.

        Raises:
            OutputError: nothing was sent yet, or the place cannot be written to.
        """
        video = self._video  # before the fragments: another canvas starts both afresh
        remembered = self._fragments.snapshot()
        camera_until = -1 if video is None else video.camera_until
        if not remembered:
            raise OutputError("There is nothing to save yet.", remedy="Wait for the first avatar frame.")
        with write_errors_explained(path), replacing(path) as part:
            first, length_s = self._copy(remembered, part)
        sign_or_remember(path, composite=camera_until >= first)  # whether the camera is still in it
        return length_s

    def close(self) -> None:
        """Forget everything; safe to call twice."""
        if self._video is not None:
            self._video.abandon()
        self._fragments.clear()

    def _new_fragments(self) -> _Fragments:
        # one second more, because a replay can only begin at a frame that stands by itself, and there is one a second
        return _Fragments((self._seconds + 1) * self._rate)

    def _copy(self, remembered: bytes, part: Path) -> tuple[int, float]:
        """Copy the packets of the last seconds, from one that stands by itself, without encoding them again.

        Returns:
            The place of the first frame in the show, and the length in seconds.
        """
        import av

        with (
            av.open(io.BytesIO(remembered), format="mp4") as ring,
            av.open(str(part), "w", format="mp4", container_options={"movflags": "faststart"}) as file,
        ):
            file.metadata["comment"] = MADE_BY
            source: Any = ring.streams.video[0]
            packets = [packet for packet in ring.demux(source) if packet.dts is not None]
            tick = 1 / (self._rate * source.time_base)
            wanted = packets[-1].dts + tick - self._seconds / source.time_base
            starts = [number for number, packet in enumerate(packets) if packet.is_keyframe]
            first = max((number for number in starts if packets[number].dts <= wanted), default=starts[0])
            stream = file.add_stream_from_template(source)
            origin = packets[first].dts
            for packet in packets[first:]:
                packet.pts, packet.dts, packet.stream = packet.pts - origin, packet.dts - origin, stream
                file.mux(packet)
            return round(origin / tick), float((packets[-1].dts + tick) * source.time_base)


class _Fragments:
    """Takes an MP4 as it is written and keeps its header and its newest fragments (pairs of boxes: moof, mdat)."""

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._unread = bytearray()
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self._header, self._moof, self._bytes = b"", b"", 0
            self._kept: collections.deque[bytes] = collections.deque()

    def write(self, data: bytes) -> int:
        self._unread += data
        while len(self._unread) >= 8:
            size = int.from_bytes(self._unread[:4], "big")
            if len(self._unread) < size:
                break
            self._take(bytes(self._unread[:size]))
            del self._unread[:size]
        return len(data)

    def snapshot(self) -> bytes:
        """A file of what is kept; empty before the first frame."""
        with self._lock:
            kept = list(self._kept)
            header = self._header
        return header + b"".join(kept) if kept else b""

    def _take(self, box: bytes) -> None:
        kind = box[4:8]
        with self._lock:
            if kind == b"moof":
                self._moof = box
            elif kind == b"mdat":
                self._kept.append(self._moof + box)
                self._bytes += len(self._kept[-1])
                while len(self._kept) > self._most or self._bytes > _MOST_BYTES:
                    self._bytes -= len(self._kept.popleft())
            elif not self._kept:
                self._header += box
