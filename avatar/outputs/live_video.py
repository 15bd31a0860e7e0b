"""Encodes what happens now: H.264 at a constant rate, in MP4 that can be played up to wherever it was cut off.

Fragmented MP4 puts a small index before every second of pictures instead of one at the end. So a killed program, a full
disk or a pulled drive cost the last second and not the recording.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from avatar.frames import RgbImage, blank_image
from avatar.outputs.microphone import RATE_HZ
from avatar.outputs.steady import SteadyRate
from avatar.outputs.writer import MADE_BY
from avatar.outputs.yuv import name_colours, to_yuv420p

if TYPE_CHECKING:
    from av import VideoFrame

_MOST_REPEATS = 300  # after a longer gap the last frame is stretched: nobody waits while an hour's sleep is encoded
_AAC_SAMPLES = 1024  # the encoder takes no other number, and begins with as many of silence
# One thread and no lookahead: the other core belongs to the engine, and a packet leaves as soon as its frame is in.
_CODEC = {"preset": "superfast", "tune": "zerolatency", "crf": "20", "bf": "0", "sc_threshold": "0"}


class Sink(Protocol):
    """What takes the bytes of a file as they are written."""

    def write(self, data: bytes) -> int:
        """Take them; all at once."""
        ...


class LiveVideo:
    """One encoder and the file it writes; used on one thread."""

    def __init__(
        self, file: Path | Sink, width_px: int, height_px: int, rate: int = 30, *, sound: bool = False, mark: str = ""
    ) -> None:
        """Get ready; the file is opened with the first frame.

        Args:
            file: where to; a path becomes an ordinary MP4 at `finish`, a stream receives a header and then a fragment
                for each frame.
            width_px, height_px: of every frame; an odd size is padded.
            rate: frames per second.
            sound: there will be sound, mono at RATE_HZ.
            mark: stands behind our name in the file's comment.
        Raises:
            OSError, FFmpegError: it cannot be written.
        """
        import av

        self._rate, self._steady = rate, SteadyRate(rate)
        self._encoded = 0
        self._early_key = isinstance(file, Path)
        self._last: tuple[int, VideoFrame, int | None] | None = None  # the newest frame, its place and its passage
        self._avatar: VideoFrame | None = None  # the newest frame that shows no camera
        self._size = width_px, height_px
        self.camera_until = -1  # the last place at which the camera's own picture is shown
        self._samples, self._waiting = 0, np.zeros(0, np.float32)  # sound handed to the encoder, and not yet
        self.skipped = 0  # frames that came faster than the rate
        to_disk = "frag_keyframe+hybrid_fragmented"
        flags = to_disk if isinstance(file, Path) else "frag_every_frame+empty_moov+default_base_moof"
        self._container = av.open(
            str(file) if isinstance(file, Path) else file, "w", format="mp4",
            container_options={"movflags": flags, "flush_packets": "1"},
        )  # fmt: skip
        try:
            self._container.metadata["comment"] = f"{MADE_BY} {mark}".rstrip()
            video: Any = self._container.add_stream("libx264", rate=rate, options=_CODEC | {"g": str(rate)})
            video.width, video.height, video.pix_fmt = width_px + width_px % 2, height_px + height_px % 2, "yuv420p"
            video.codec_context.thread_count = 1
            name_colours(video.codec_context)
            self._video = video
            self._audio: Any = self._container.add_stream("aac", rate=RATE_HZ, layout="mono") if sound else None
            # The header is written with the first packet: a recording that fails before it has nothing to close.
        except BaseException:
            self.abandon()
            raise

    def add(self, rgb: RgbImage, captured_ns: int, *, passage: int | None = None) -> bool:
        """Add a frame at the time it was taken; frames are repeated or left out to keep the rate.

        Args:
            passage: which pass-through the frame shows the camera in; None: it shows an avatar.
        Returns:
            Whether it is in the file.
        Raises:
            OSError, FFmpegError: the disk is full or gone.
        """
        place = self._steady.place(captured_ns)
        if place is None:
            self.skipped += 1
            if passage is None and self._last is not None and self._last[2] is not None:
                self._avatar = to_yuv420p(rgb)
            return False
        self._fill_gap(place, passage)
        frame = to_yuv420p(rgb)
        self._last = (place, frame, passage)
        if passage is None:
            self._avatar = frame
        else:
            self.camera_until = place
        self._encode(frame, place)
        return True

    @property
    def length_s(self) -> float:
        """How long the pictures last."""
        return 0.0 if self._last is None else (self._last[0] + 1) / self._rate

    def add_sound(self, samples: npt.NDArray[np.float32]) -> None:
        """Add sound right after the sound before; (N,) in [-1, 1], the first sample belonging to the first frame."""
        from av import AudioFrame

        self._waiting = np.concatenate([self._waiting, samples.astype(np.float32, copy=False)])
        while len(self._waiting) >= _AAC_SAMPLES:
            chunk, self._waiting = self._waiting[:_AAC_SAMPLES], self._waiting[_AAC_SAMPLES:]
            self._samples += _AAC_SAMPLES
            if self._samples == _AAC_SAMPLES:
                continue  # gives its place to the encoder's silence: a time before 0 would shift the pictures
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(chunk[None]), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
            frame.pts = self._samples - _AAC_SAMPLES
            self._container.mux(self._audio.encode(frame))

    def finish(self) -> None:
        """Write what the encoders still hold and the index. Raises: OSError, FFmpegError."""
        if self._audio is not None:
            self.add_sound(np.zeros(-len(self._waiting) % _AAC_SAMPLES, np.float32))
            self._container.mux(self._audio.encode(None))
        self._container.mux(self._video.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close after an error: what was written stays as it is."""
        with contextlib.suppress(Exception):
            self._container.close()

    def _fill_gap(self, place: int, passage: int | None) -> None:
        """Repeat the frame before up to `place`.

        A camera frame is repeated only up to the next one of the same pass-through: before any other frame, it may
        have been forbidden at any time since.
        """
        if self._last is None:
            return
        before, frame, shown = self._last
        places = range(max(before + 1, place - _MOST_REPEATS), place)
        if shown is not None and shown != passage and places:
            frame = self._avatar = self._avatar or to_yuv420p(blank_image(*self._size))
            if places[0] > before + 1:
                self._encode(frame, before + 1)  # else the camera frame would be stretched up to the first repeat
        for empty in places:
            self._encode(frame, empty)

    def _encode(self, frame: VideoFrame, place: int) -> None:
        from av.video.frame import PictureType

        frame.pts, frame.time_base = place, Fraction(1, self._rate)
        self._encoded += 1
        key = self._early_key and self._encoded == 2  # ends the first fragment: from now on the file can be played
        frame.pict_type = PictureType.I if key else PictureType.NONE
        self._container.mux(self._video.encode(frame))
