"""Number of scans in a JPEG, each of which costs a pass over the whole image."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # no stuffed byte and no restart marker, which lie inside a scan
_SCAN, _END = 0xDA, 0xD9
_ALONE = (0x01, 0xD8)  # markers without a length


def count_scans(path: Path, most: int) -> int:
    """Count up to `most` scans of the first image in a JPEG file; anything after it is ignored.

    Raises:
        OSError, ValueError: it cannot be read or is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = scans = 0
        while scans < most and (found := _MARKER.search(data, place)) is not None:
            marker, place = found[0][-1], found.end()
            if marker == _END:
                break
            if marker not in _ALONE:
                place += int.from_bytes(data[place : place + 2], "big")
            scans += marker == _SCAN
        return scans
