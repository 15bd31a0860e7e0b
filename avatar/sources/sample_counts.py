"""Check of the sample counts in MP4 and MOV headers, before FFmpeg allocates memory for them.

FFmpeg allocates memory for every sample that a header claims, before it reads any.
Boxes: ISO/IEC 14496-12, 4.2 (boxes), 8.7.3 (stsz, stz2), 8.8.8 (trun); QuickTime File Format, compressed movies (cmov).
"""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from avatar.errors import VideoError
from avatar.system.limits import MAX_CLIP_BOXES, MAX_CLIP_HEADER_BYTES
from avatar.system.message import Message

_HOLD_BOXES = frozenset(b"moov trak mdia minf stbl moof traf mvex edts udta cmov".split())
_COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4}  # offset after the header of the box
_DEEPEST = 16


def check_sample_counts(path: Path) -> None:
    """Refuse a file that claims more samples than it has bytes; only MP4 and MOV contain such boxes.

    Raises:
        VideoError: it claims too many samples, or its header is too large.
        OSError: it cannot be read.
    """
    if not path.is_file():  # a pipe would block; opening it reports a better error
        return
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        look = _Look()
        look.through(file, 0, size, 0)
    if look.samples > size:
        raise _refusal(Message("{name} names more samples than it has bytes.", name=path.name))
    if look.too_large:
        raise _refusal(Message("{name} has too large a header.", name=path.name))


def _refusal(what: str) -> VideoError:
    return VideoError(what, remedy="It is damaged: copy it again, or convert it with another program.")


class _Look:
    """State of the search."""

    def __init__(self) -> None:
        self.samples = self._boxes = 0
        self.too_large = False

    def through(self, file: BinaryIO, start: int, end: int, level: int) -> None:
        """Inspect the boxes between two offsets, recursively."""
        place = start
        while end - place >= 8 and not self.too_large:
            file.seek(place)
            head = file.read(16)
            if len(head) < 8:
                return
            length, kind, first = int.from_bytes(head[:4], "big"), head[4:8], place + 8
            if length == 1:
                length, first = int.from_bytes(head[8:], "big"), place + 16
            elif length == 0:  # extends to the end
                length = end - place
            if length < first - place:
                return
            self._at(file, kind, first, min(end, place + length), level)
            place += length
            self._boxes += 1
            self.too_large = self.too_large or self._boxes > MAX_CLIP_BOXES

    def _at(self, file: BinaryIO, kind: bytes, first: int, end: int, level: int) -> None:
        if kind in _COUNT_AT:
            file.seek(first + _COUNT_AT[kind])
            self.samples += int.from_bytes(file.read(4), "big")
        elif kind == b"cmvd":
            file.seek(first + 4)  # the claimed uncompressed size
            self._unpack(file.read(min(end - first, MAX_CLIP_HEADER_BYTES)), level)
        elif kind in _HOLD_BOXES and level < _DEEPEST:
            self.through(file, first, end, level + 1)

    def _unpack(self, packed: bytes, level: int) -> None:
        try:
            boxes = zlib.decompressobj().decompress(packed, MAX_CLIP_HEADER_BYTES + 1)
        except zlib.error:
            return
        self.too_large = len(boxes) > MAX_CLIP_HEADER_BYTES
        if not self.too_large and level < _DEEPEST:
            self.through(io.BytesIO(boxes), 0, len(boxes), level + 1)
