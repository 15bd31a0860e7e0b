"""Colour metadata that Pillow does not read: PNG's chunks, and the colr boxes of AVIF and JP2.

Reading is bounded by the number of chunks or boxes and by the bytes read of each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from avatar.images.colour_space import ColourSpace, from_cicp, from_png_gamma
from avatar.system.limits import MAX_CHUNKS, MAX_META_BYTES

# Values that programs write for sRGB: gAMA around 1/2.2, and its chromaticities up to rounding.
_SCREEN_GAMMA, _ROUNDED = (0.40, 0.50), 0.005
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ColourTags:
    """Colour metadata found in a file; None: absent."""

    space: ColourSpace | None = None
    profile: bytes | None = None  # ICC profile


def png_colours(path: Path) -> ColourTags:
    """Return the colours of a PNG file (PNG, third edition, 4.3): cICP first, then iCCP, sRGB, and gAMA with cHRM.

    Returns:
        Tags with a space only if it is not sRGB and no profile has precedence. Raises: OSError.
    """
    chunks = _png_chunks(path)
    if len(cicp := chunks.get(b"cICP", b"")) == 4:
        return ColourTags(from_cicp(cicp[0], cicp[1], bool(cicp[3])))
    gamma = int.from_bytes(chunks.get(b"gAMA", b""), "big") / 100_000
    if b"iCCP" in chunks or b"sRGB" in chunks or gamma <= 0:
        return ColourTags()
    space = from_png_gamma(gamma, _hundred_thousandths(chunks.get(b"cHRM", b"")))
    away = max(abs(x - y) for one, other in zip(space.primaries, ColourSpace().primaries, strict=True)
               for x, y in zip(one, other, strict=True))  # fmt: skip
    usual = _SCREEN_GAMMA[0] < gamma < _SCREEN_GAMMA[1] and away < _ROUNDED
    return ColourTags(None if usual else space)


def _png_chunks(path: Path) -> dict[bytes, bytes]:
    """Return the colour chunks that precede the pixels, by name; empty where longer than 32 bytes."""
    found: dict[bytes, bytes] = {}
    with path.open("rb") as file:
        if file.read(8) != _PNG:
            return found
        for _ in range(MAX_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                break
            length = int.from_bytes(head[:4], "big")
            if head[4:] in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"):
                found[head[4:]] = file.read(length) if length <= 32 else b""
                file.seek(4 if length <= 32 else length + 4, 1)
            else:
                file.seek(length + 4, 1)
    return found


def _hundred_thousandths(body: bytes) -> tuple[float, ...] | None:
    """Decode the numbers of a cHRM chunk; None if they are implausible."""
    if len(body) != 32:
        return None
    numbers = tuple(value / 100_000 for value in struct.unpack(">8I", body))
    return numbers if all(0 < value <= 1 for value in numbers[:2]) and max(numbers) <= 1 else None


def avif_colours(path: Path) -> ColourTags:
    """Return the nclx colours of an AVIF file's main image (ISO/IEC 23008-12, 9.3 and 6.5.5). Raises: OSError."""
    with path.open("rb") as file:
        meta = _box(file, (b"meta",))
    item = _main_item(meta)
    for number, (kind, body) in enumerate(_properties(meta), 1):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 11 and number in _properties_of(meta, item):
            primaries, transfer, _matrix, _range = struct.unpack(">HHHB", body[4:11])
            return ColourTags(from_cicp(primaries, transfer))  # the decoder has already expanded the range
    return ColourTags()


def jp2_colours(path: Path) -> ColourTags:
    """Return the ICC profile of a JPEG 2000 file (ISO/IEC 15444-1, I.5.3.3). Raises: OSError."""
    with path.open("rb") as file:
        header = _box(file, (b"jp2h",))
    for kind, body in _boxes(header):
        if kind == b"colr" and body[:1] in (b"\2", b"\3"):
            return ColourTags(profile=body[3:])
    return ColourTags()


def _box(file: BinaryIO, kinds: tuple[bytes, ...]) -> bytes:
    """Return the payload of the first box of these kinds; empty if there is none or it is too large."""
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        size, used = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, used = int.from_bytes(file.read(8), "big"), 16
        if head[4:] in kinds:
            return file.read(min(size - used, MAX_META_BYTES) if size else MAX_META_BYTES) if size != 1 else b""
        if size < used:
            break
        file.seek(size - used, 1)
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and body of consecutive boxes."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        if size < 8:
            return
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def _inner(meta: bytes, *path: bytes) -> bytes:
    """Return the body of a nested box in a `meta` box, by the path of box kinds."""
    body = meta[4:]
    for kind in path:
        body = next((inner for name, inner in _boxes(body) if name == kind), b"")
    return body


def _properties(meta: bytes) -> list[tuple[bytes, bytes]]:
    return list(_boxes(_inner(meta, b"iprp", b"ipco")))


def _main_item(meta: bytes) -> int:
    pitm = _inner(meta, b"pitm")
    return int.from_bytes(pitm[4:6] if pitm[:1] == b"\0" else pitm[4:8], "big")


def _properties_of(meta: bytes, item: int) -> set[int]:
    """Return the 1-based property indices of an item: box `ipma` (ISO/IEC 23008-12, 9.3.1)."""
    ipma = _inner(meta, b"iprp", b"ipma")
    if len(ipma) < 8:
        return set()
    wide_id, wide_index = ipma[0] > 0, bool(ipma[3] & 1)
    at = 8
    for _ in range(int.from_bytes(ipma[4:8], "big")):
        id_bytes = 4 if wide_id else 2
        if at + id_bytes >= len(ipma):
            break
        name, count = int.from_bytes(ipma[at : at + id_bytes], "big"), ipma[at + id_bytes]
        at += id_bytes + 1
        step = 2 if wide_index else 1
        numbers = [int.from_bytes(ipma[at + step * i : at + step * (i + 1)], "big") for i in range(count)]
        at += step * count
        if name == item:
            return {number & (0x7FFF if wide_index else 0x7F) for number in numbers}
    return set()
