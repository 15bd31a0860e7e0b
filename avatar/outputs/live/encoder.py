"""Live encoding, shared by all users of a stream: H.264 at a constant rate, or a codec with transparency."""

from __future__ import annotations

import collections
import contextlib
import copy
import io
import threading
import time
import weakref
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from avatar.frames import Frame, blank_image
from avatar.outputs.files.alpha_beside import alpha_beside
from avatar.outputs.live.alpha_codecs import AlphaCodec
from avatar.outputs.live.h264 import X264, H264Encoder, choose_encoder, refuse
from avatar.outputs.live.steady import SteadyRate
from avatar.outputs.yuv import to_yuv420p

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.stream import VideoStream

_Key = tuple[int, int, int, AlphaCodec | None]  # width, height, rate, codec

RATE = 30  # frames per second of recordings, unless asked otherwise
_MOST_REPEATS = 300  # limit of repeated frames after a gap such as system sleep; beyond it the last frame is stretched
_MOST_FILLING_S = 0.2  # limit of the time that repeating takes: a slow machine must not fall behind for good
_MOST_WAITING = 90  # limit of a user's pending packets: 3 s at 30 frames per second, some megabytes


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """One packet of the stream."""

    data: bytes
    place: int  # index in a sequence of equally long frames
    is_key: bool  # a key frame
    shows_camera: bool  # it is, or repeats, a camera frame
    published: int  # Frame.published of its frame
    alpha: bytes = b""  # what VP9 keeps beside the packet


@dataclass(frozen=True, eq=False)
class _Placed:
    """The newest frame of the stream."""

    place: int
    image: VideoFrame
    passage: int | None  # number of the pass-through that it shows; None: it shows an avatar


class EncoderPool:
    """Shares one encoder among users with the same codec, size and rate; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Referenced by feeds only, so that an encoder is released with the last of them.
        self._encoders: weakref.WeakValueDictionary[_Key, _Encoder] = weakref.WeakValueDictionary()

    def join(self, size: tuple[int, int], rate: int, *, keys: int = 1, codec: AlphaCodec | None = None) -> VideoFeed:
        """Create a feed, which adds frames and takes packets; it must be closed.

        Args:
            size: (width, height) of every frame; an odd one is padded.
            rate: frames per second.
            keys: number of first packets that must be key frames.
            codec: one that keeps transparency; None: H.264.
        """
        with self._lock:
            key = (*size, rate, codec)
            encoder = self._encoders.get(key)
            if encoder is None:
                encoder = self._encoders[key] = _Encoder(size, rate, threading.Lock(), codec)
            return VideoFeed(encoder, keys)


class VideoFeed:
    """One user's connection to an encoder: adds frames and takes packets, on one thread.

    Its first packet is that of the first frame that it adds, or of the next one if another feed has added that frame
    already; its last one is that of its own newest frame. So it has nothing from before its start or after its end.
    """

    def __init__(self, encoder: _Encoder, keys: int) -> None:
        """Join an encoder."""
        self.encoder = encoder  # may be replaced while its lock is held
        self.keys = keys  # number of further packets that must be key frames
        self.has_brought = self.has_begun = False
        self.waiting: collections.deque[EncodedFrame] = collections.deque()  # encoded packets, not taken yet
        with encoder.lock:
            encoder.join(self)

    def add(self, frame: Frame) -> list[EncodedFrame]:
        """Add a frame, encoded unless another feed has added it; return the new packets up to it, oldest first.

        Frames are dropped to keep the rate, and with H.264 repeated.

        Raises:
            FFmpegError: the encoder failed.
        """
        with self.encoder.lock:
            self.has_brought = True
            self.encoder.add(frame)
            taken = []
            while self.waiting and self.waiting[0].published <= frame.published:
                taken.append(self.waiting.popleft())
            return taken

    @property
    def template(self) -> VideoStream:
        """Stream of the packets, for containers; available after the first packet."""
        return self.encoder.stream

    def time_ns(self, place: int) -> int:
        """Return the start time of a place, on the clock of the frames."""
        return self.encoder.time_ns(place)

    def close(self) -> None:
        """Leave the encoder, which continues for others; safe to call twice."""
        with self.encoder.lock:
            self.encoder.leave(self)
            self.waiting.clear()


class _Encoder:
    """One stream; all methods are called with `lock` held."""

    def __init__(
        self, size: tuple[int, int], rate: int, lock: threading.Lock, with_alpha: AlphaCodec | None = None
    ) -> None:
        self.lock, self._with_alpha = lock, with_alpha
        self._size, self._rate, self._steady = size, rate, SteadyRate(rate)
        self._feeds: list[VideoFeed] = []
        self._codec: H264Encoder | AlphaCodec = with_alpha or X264
        self._container: Any = None
        self._stream: Any = None
        self._newest = 0  # Frame.published
        self._last: _Placed | None = None
        self._avatar: VideoFrame | None = None  # the newest avatar frame

    @property
    def stream(self) -> VideoStream:
        """The open stream."""
        if self._stream is None:
            self._open()
        return self._stream  # type: ignore[no-any-return]

    def time_ns(self, place: int) -> int:
        """Return the start time of a place, on the clock of the frames."""
        return self._steady.time_ns(place)

    def join(self, feed: VideoFeed) -> None:
        """Add a feed."""
        self._feeds = [*self._feeds, feed]

    def leave(self, feed: VideoFeed) -> None:
        """Remove a feed; after the last one, reset."""
        self._feeds = [each for each in self._feeds if each is not feed]
        if not self._feeds:
            self._newest, self._last, self._avatar = 0, None, None
            if self._container is not None:
                with contextlib.suppress(Exception):
                    self._container.close()
            self._container = self._stream = None

    def add(self, frame: Frame) -> None:
        """Add a frame at its capture time, unless it or a newer one was added already.

        Several threads add frames, so an older one may arrive late. It must not follow its replacement, because it may
        be a camera frame that was forbidden meanwhile.
        """
        if 0 < frame.published <= self._newest:
            return
        self._newest = frame.published
        self._part_from_the_slow()
        passage = frame.passage if frame.passed_through else None
        place = self._steady.place(frame.captured_ns)
        if place is None:  # frames arrive faster than the rate
            if passage is None and self._last is not None and self._last.passage is not None:
                self._avatar = self._picture(frame)
            return
        self._fill_gap(place, passage)
        image = self._picture(frame)
        self._last = _Placed(place, image, passage)
        if passage is None:
            self._avatar = image
        for feed in self._feeds:
            feed.has_begun |= feed.has_brought
        self._encode(image, place, shows_camera=passage is not None)

    def _fill_gap(self, place: int, passage: int | None) -> None:
        """Repeat the previous frame up to `place`; with transparency it is stretched, because a repeat takes too long.

        A camera frame is repeated only up to the next one of the same pass-through, because before any other frame it
        may have been forbidden at any time since. Where repeating takes too long, the last repeat is stretched.
        """
        if self._last is None or not any(feed.has_begun for feed in self._feeds):
            return
        before, image, shown = self._last.place, self._last.image, self._last.passage
        places = range(max(before + 1, place - (0 if self._with_alpha else _MOST_REPEATS)), place)
        if shown is not None and shown != passage and place > before + 1:
            shown, image = None, self._avatar or self._picture(Frame(blank_image(*self._size), 0, 0))
            self._avatar = image
            if before + 1 not in places:  # otherwise the camera frame would be stretched up to the first repeat
                self._encode(image, before + 1, shows_camera=False)
        ends_s = time.monotonic() + _MOST_FILLING_S
        for empty in places:
            self._encode(image, empty, shows_camera=shown is not None)
            if time.monotonic() > ends_s:
                break

    def _picture(self, frame: Frame) -> VideoFrame:
        return to_yuv420p(frame.rgb) if self._with_alpha is None else self._with_alpha.picture(frame)

    def _encode(self, image: VideoFrame, place: int, *, shows_camera: bool) -> None:
        from av.video.frame import PictureType

        feeds = [feed for feed in self._feeds if feed.has_begun]
        stream = self.stream
        image = self._codec.frame(image)
        image.pts, image.time_base = place, Fraction(1, self._rate)
        image.pict_type = PictureType.I if any(feed.keys for feed in feeds) else PictureType.NONE
        try:
            packets = stream.encode(image)  # exactly one, because nothing is delayed
        except Exception as error:
            if isinstance(self._codec, H264Encoder) and self._codec is not X264:
                refuse(self._codec, error)
            raise
        for packet in packets:
            encoded = EncodedFrame(
                bytes(packet), place, packet.is_keyframe, shows_camera, self._newest, alpha_beside(packet)
            )
            for feed in feeds:
                feed.keys = max(0, feed.keys - 1)
                feed.waiting.append(encoded)

    def _part_from_the_slow(self) -> None:
        """Separate feeds that do not take their packets, as with a disk that hangs.

        Each continues with its own codec from the same frame on, and drops frames as its disk requires.
        """
        for feed in self._feeds:
            if len(feed.waiting) > _MOST_WAITING and len(self._feeds) > 1:
                self._feeds = [each for each in self._feeds if each is not feed]
                # the same lock, because they share images
                feed.encoder = _Encoder(self._size, self._rate, self.lock, self._with_alpha)
                feed.encoder._continue(self, feed)

    def _continue(self, other: _Encoder, feed: VideoFeed) -> None:
        self._feeds, self._steady = [feed], copy.copy(other._steady)
        self._newest, self._last, self._avatar = other._newest, other._last, other._avatar

    def _open(self) -> None:
        """Open the codec in a null container, because MP4 needs its headers separate from the packets."""
        if self._with_alpha is not None:
            self._open_stream(self._with_alpha)
            return
        self._codec = codec = choose_encoder(self._size, self._rate)
        try:
            self._open_stream(codec)
        except Exception as error:
            if codec is X264:
                raise
            refuse(codec, error)
            self._codec = X264
            self._open_stream(X264)

    def _open_stream(self, codec: H264Encoder | AlphaCodec) -> None:
        """Open a codec. Raises: FFmpegError: it cannot be opened."""
        import av

        kind = codec.container
        options = {} if kind == "webm" else {"movflags": "empty_moov"}
        self._container = av.open(io.BytesIO(), "w", format=kind, container_options=options)
        stream: Any = self._container.add_stream(codec.name, rate=self._rate, options=codec.with_rate(self._rate))
        codec.set_up(stream.codec_context, self._size, self._rate)
        self._container.start_encoding()
        self._stream = stream
