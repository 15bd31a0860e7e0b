"""Choice of a file's main video stream, its orientation and its frame rate."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import VideoError
from avatar.sources.image_folder import DEFAULT_RATE
from avatar.sources.pixels import Orientation, orientation_of
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL import Image

_SHARE = (
    0.5  # minimum number of frames over that of the longest stream; streams with fewer are previews, covers or stills
)
_PLAUSIBLE = 120  # frames per second; a higher guess of one frame per tick is not a rate
_EXIF_ORIENTATION = 0x0112
_BY_EXIF = {
    2: Orientation(flip_x=True), 3: Orientation(flip_x=True, flip_y=True), 4: Orientation(flip_y=True),
    5: Orientation(swap=True), 6: Orientation(swap=True, flip_x=True),
    7: Orientation(swap=True, flip_x=True, flip_y=True), 8: Orientation(swap=True, flip_y=True),
}  # fmt: skip


def choose_stream(container: InputContainer, path: Path) -> VideoStream:
    """Choose the stream that a player would show, ignoring covers, thumbnails and short previews.

    Raises:
        VideoError: there is none, or none that can be decoded here.
    """
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image | Disposition.dependent
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        what = (
            Message("{name} holds sound but no moving pictures.", name=path.name)
            if container.streams.audio
            else Message("{name} holds no pictures.", name=path.name)
        )
        raise VideoError(what, remedy="Name a video in which a face is seen.")
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise VideoError(
            Message("{name} holds no video in a supported format.", name=path.name),
            remedy="Convert it to MP4 with H.264 and use that.",
        )
    counts = [_frame_count(stream, container) for stream in known]
    full = [
        stream for stream, count in zip(known, counts, strict=True) if count is None or count >= _SHARE * _most(counts)
    ]
    best: Any = container.streams.best("video")
    if any(stream is best for stream in full):
        return best  # type: ignore[no-any-return]
    return max(full, key=lambda stream: (bool(stream.disposition & Disposition.default), stream.width * stream.height))


def stream_orientation(stream: VideoStream) -> Orientation:
    """Read a stream's orientation from its container.

    PyAV exposes the rotation of a frame but not its mirroring, and reading a frame's side data can crash the process
    (PyAV 18.1.0). A stream copied into a QuickTime header keeps its matrix, which is read from there.
    """
    import av
    from av.error import FFmpegError

    header = io.BytesIO()
    with contextlib.suppress(FFmpegError, ValueError):  # a codec that QuickTime does not support
        with av.open(header, "w", format="mov", options={"movflags": "empty_moov"}) as output:
            output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
        track = header.getvalue().partition(b"tkhd")[2]
        return orientation_of(struct.unpack_from(">9i", track, 40))
    return Orientation()


def packet_orientation(packet: Packet[Any]) -> Orientation:
    """Read the orientation of a motion-JPEG packet from its EXIF."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(bytes(packet)), formats=["JPEG"]) as image:
            return orientation_by_exif(image)
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        return Orientation()


def orientation_by_exif(image: Image.Image) -> Orientation:
    """Read the orientation of an image of any size from its EXIF."""
    return _BY_EXIF.get(image.getexif().get(_EXIF_ORIENTATION, 1), Orientation())


def stream_rate(stream: VideoStream, frames: Sequence[VideoFrame]) -> Fraction:
    """Estimate a stream's frames per second before it has been read.

    Without a rate in the header FFmpeg guesses one frame per tick, 1000 per second in WebM; the first frames give a
    better estimate.
    """
    if stream.average_rate:
        return stream.average_rate
    guess = stream.guessed_rate
    if guess and (guess <= _PLAUSIBLE or not stream.time_base or guess < 1 / stream.time_base):
        return guess
    stamps = [frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base is not None]
    steps = sorted(after - before for before, after in itertools.pairwise(stamps) if after > before)
    return 1 / steps[len(steps) // 2] if steps else DEFAULT_RATE


def _most(counts: Sequence[int | None]) -> int:
    return max((count for count in counts if count is not None), default=0)


def _frame_count(stream: VideoStream, container: InputContainer) -> int | None:
    """Return the frame count of a stream, stated or estimated; None if unknown."""
    if stream.frames:
        return int(stream.frames)
    if not stream.average_rate:
        return None
    own_s = (stream.duration or 0) * (stream.time_base or 0)
    length_s = own_s or Fraction(container.duration or 0, 1_000_000)
    return math.ceil(stream.average_rate * length_s) or None
