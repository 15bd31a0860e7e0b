"""Check whether a sound track's packets can be copied into a result unchanged."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.sources.probe import open_input
from avatar.system.message import Message

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

# Codecs that each container's standard allows and common players support; others are converted.
_KEEPS = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
    "webm": frozenset({"opus", "vorbis"}),
}
_TRIED = 3  # number of packets tried
_ADTS, _MPEG, _AC3 = 0xFFF0, 0xFFE0, 0x0B77  # sync words of self-describing frames


@dataclass(frozen=True)
class Fit:
    """Compatibility of a sound stream with a container."""

    reason: str  # why its packets cannot be copied; empty if they can
    changes: bool = False  # its sample rate or channels change within the stream


def fit_of(path: Path, index: int, container: str) -> Fit:
    """Inspect the packets of a sound stream, without decoding them.

    Args:
        path: the file.
        index: index of the stream.
        container: "mp4" or "webm".
    Raises: OSError, FFmpegError, ValueError: the file cannot be read.
    """
    with open_input(path) as source:
        stream = source.streams[index]
        codec = codec_name(stream)
        changes = _changes(codec, sound_packets(source, stream))
    if codec not in _KEEPS[container]:
        return Fit(Message("was {codec}, which {container} does not hold", codec=codec, container=container), changes)
    if changes:
        return Fit(Message("changes its sample rate or channels on the way"), changes)
    if not _is_taken(path, index, container):
        return Fit(Message("was {codec} of a kind that {container} does not hold", codec=codec, container=container))
    return Fit("")


def codec_name(stream: Any) -> str:
    """Return the name of a stream's codec; "unknown" if there is no decoder for it."""
    context = stream.codec_context
    return "unknown" if context is None else str(context.codec.canonical_name)


def sound_packets(source: InputContainer, *streams: Any) -> Iterator[Packet[Any]]:
    """Yield the packets of some streams of a file, up to the first that cannot be read."""
    from av.error import FFmpegError

    with contextlib.suppress(FFmpegError):
        for packet in source.demux(*streams):
            if packet.size:
                yield packet


def _is_taken(path: Path, index: int, container: str) -> bool:
    """Return whether the muxer accepts the first packets; its limits are not documented."""
    import av
    from av.error import FFmpegError

    try:
        with open_input(path) as source, av.open(io.BytesIO(), "w", format=container) as trial:
            stream = source.streams[index]
            target = trial.add_stream_from_template(stream)
            trial.start_encoding()
            for packet in itertools.islice(sound_packets(source, stream), _TRIED):
                packet.stream = target
                if packet.dts is None:
                    packet.dts = packet.pts
                trial.mux(packet)
    except (FFmpegError, ValueError):
        return False
    return True


def _changes(codec: str, packets: Iterator[Packet[Any]]) -> bool:
    """Return whether sample rate or channels change: a container keeps one description for the whole track.

    Nothing is decoded, because that would be slow and the decoder may not support it.
    """
    known: tuple[int, ...] | None = None
    for packet in packets:
        if packet.has_sidedata("new_extradata"):
            return True
        described = _described(codec, bytes(memoryview(packet)[:8]))
        if described is not None and known is not None and described != known:
            return True
        known = described or known
    return False


def _described(codec: str, head: bytes) -> tuple[int, ...] | None:
    """Return the sample rate and channels a frame states; None where the container states them.

    ISO/IEC 13818-7, 6.2 (ADTS); ISO/IEC 11172-3, 2.4.1.3 (MPEG audio); ETSI TS 102 366, 4.3 and E.1.2 (AC-3, E-AC-3).
    """
    if len(head) < 8:
        return None
    start = head[0] << 8 | head[1]
    if codec == "aac" and start & 0xFFF6 == _ADTS:
        return head[2] & 0xFD, head[3] & 0xC0
    if codec == "mp3" and start & 0xFFE0 == _MPEG:
        return head[1] & 0x1E, head[2] & 0x0C, int(head[3] & 0xC0 == 0xC0)
    if codec == "ac3" and start == _AC3:
        return head[4] & 0xC0, head[6] & 0xE0
    if codec == "eac3" and start == _AC3 and head[2] >> 6 != 1:  # 1: an extension of the previous frame
        return (head[4] & 0xCF,)
    return None
