"""Fragmented MP4 files joined from pieces, as from HLS and browsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer

_BOXES = 64  # number of boxes inspected; fragments follow ftyp, moov, sidx and similar boxes


def all_kept(packets: Iterator[Packet[Any]], container: InputContainer) -> Iterator[Packet[Any]]:
    """Yield the packets without the discard flag that FFmpeg sets on fragments whose clock runs backwards.

    In other files the flag is kept, because it marks packets cut by an edit list. A fragmented file has at most one
    edit, which cuts packets at its start.
    """
    if not container.format.name.startswith("mov") or not _is_fragmented(Path(container.name.removeprefix("file:"))):
        yield from packets
        return
    begun: set[int] = set()
    for packet in packets:
        if packet.size and not packet.is_discard:
            begun.add(packet.stream_index)
        yield _copy(packet) if packet.is_discard and packet.stream_index in begun else packet


def _copy(packet: Packet[Any]) -> Packet[Any]:
    from av import Packet as New

    fresh: Packet[Any] = New(bytes(packet))
    fresh.stream, fresh.time_base = packet.stream, packet.time_base
    fresh.pts, fresh.dts, fresh.duration = packet.pts, packet.dts, packet.duration
    fresh.is_keyframe = packet.is_keyframe
    return fresh


def _is_fragmented(path: Path) -> bool:
    """Return whether a `moof` box is among the first boxes (ISO/IEC 14496-12, 4.2 and 8.8.4)."""
    try:
        with path.open("rb") as file:
            for _ in range(_BOXES):
                head = file.read(16)
                size, kind = int.from_bytes(head[:4]), head[4:8]
                if kind == b"moof":
                    return True
                long = int.from_bytes(head[8:16]) if size == 1 else size
                if len(head) < 8 or long < 8:
                    return False
                file.seek(long - len(head), 1)
    except OSError:
        pass
    return False
