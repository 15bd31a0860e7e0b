"""TIFF images that Pillow cannot read or reads wrongly: 10 to 64 bits, floating point, 16-bit planes.

libtiff, which Pillow includes, decodes every compression of TIFF. Each strip or tile is therefore wrapped as a small
8-bit grey image whose pixels are the strip's bytes, and the bytes are interpreted here (TIFF 6.0).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from avatar.errors import ImageError
from avatar.system.limits import MAX_PIXEL_BYTES
from avatar.system.message import Message

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 274, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _FORMAT, _ICC = 322, 323, 324, 325, 338, 339, 34675
TILE_SIDES = (_TILE_WIDTH, _TILE_HEIGHT)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_UNPACKED = 1
_BYTEWISE = (5, 8, 32773, 32946, 34925, 50000)  # LZW, Deflate, PackBits, Deflate, LZMA, Zstandard: bytewise
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_NO_DIFFERENCE, _DIFFERENCE, _FLOAT_DIFFERENCE = 1, 2, 3
MAX_SAMPLES = 8


@dataclass(frozen=True)
class _Layout:
    """Layout of the pixels, from the tags."""

    width: int
    height: int
    bits: int
    sample_format: int
    samples: int  # samples per pixel
    planes: int  # 1, or one per sample
    photometric: int
    compression: int
    predictor: int
    order: str  # "<" or ">"
    tile: tuple[int, int] | None  # width and height
    rows_per_strip: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    extra: tuple[int, ...]

    @property
    def samples_a_plane(self) -> int:
        return self.samples // self.planes

    @property
    def block(self) -> tuple[int, int]:
        """Width and height of a strip or tile, in pixels."""
        return self.tile or (self.width, min(self.rows_per_strip, self.height))

    @property
    def row_bytes(self) -> int:
        """Bytes per row of a strip or tile."""
        return (self.block[0] * self.samples_a_plane * self.bits + 7) // 8


def is_tiff(path: Path) -> bool:
    """Return whether a file starts like a TIFF. Raises: OSError."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def needs_unpacking(tags: Any) -> bool:
    """Return whether Pillow, which opened the image, decodes it wrongly. tags: its `tag_v2`."""
    bits = max(_numbers(tags, _BITS, (1,)))
    kinds = _numbers(tags, _FORMAT, (1,))
    if bits <= 8 and set(kinds) <= {_UNSIGNED}:
        return False
    right = bits == 16 and tags.get(_PHOTOMETRIC) in (_RGB, _CMYK) and set(kinds) == {_UNSIGNED}
    return not (right and (tags.get(_PLANAR, 1) == 1 or tags.get(_COMPRESSION, 1) != _UNPACKED))


def read_deep_tiff(path: Path, max_pixels: int) -> Image.Image:
    """Decode a TIFF to an 8-bit image with its profile and orientation.

    Raises:
        ImageError: too large, or of a kind that is not supported.
        OSError, ValueError, ...: damaged, as Pillow raises them.
    """
    with path.open("rb") as file:
        tags = _tags(file)
        layout = _layout(tags, path.name)
        width, height = max((layout.width, layout.height), layout.block, key=lambda size: size[0] * size[1])
        pixels = width * height  # a tile is decoded as a whole
        if pixels > max_pixels or pixels * layout.samples * layout.bits > max_pixels * MAX_PIXEL_BYTES * 8:
            raise ImageError(
                Message(
                    "{name} has {width} x {height} pixels of {bits} bits, which is too much; the limit is "
                    "{limit:.0f} megapixels.",
                    name=path.name,
                    width=width,
                    height=height,
                    bits=layout.samples * layout.bits,
                    limit=max_pixels / 1e6,
                ),
                remedy="Scale it down with a picture program (4000 pixels on the longer side are plenty).",
            )
        levels = _levels(file, layout)
    return _image_of(levels, layout, tags)


def _tags(file: BinaryIO) -> Any:
    header = file.read(8)
    if header[2:4] in (b"+\0", b"\0+"):
        header += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _layout(tags: Any, name: str) -> _Layout:
    """Read the layout. Raises: ImageError: not supported; KeyError, ValueError, ...: not a valid TIFF."""
    bits, formats = _numbers(tags, _BITS, (1,)), _numbers(tags, _FORMAT, (_UNSIGNED,))
    photometric, compression = tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO), tags.get(_COMPRESSION, _UNPACKED)
    samples = int(tags.get(_SAMPLES, 1))
    tiled = _TILE_WIDTH in tags
    sample_format = _UNSIGNED if formats[0] == 4 else formats[0]  # 4: undefined
    predictor = int(tags.get(_PREDICTOR, _NO_DIFFERENCE))
    known = (
        photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK)
        and (compression == _UNPACKED or compression in _BYTEWISE)
        and len(set(bits)) == 1 and len(set(formats)) == 1
        and (bits[0], sample_format) in _KINDS
        and {_RGB: 3, _CMYK: 4}.get(photometric, 1) <= samples <= MAX_SAMPLES
        and tags.get(_FILL_ORDER, 1) == 1
        and predictor in (_NO_DIFFERENCE, _FLOAT_DIFFERENCE if sample_format == _FLOAT else _DIFFERENCE)
        and (predictor == _NO_DIFFERENCE or bits[0] % 8 == 0)
    )  # fmt: skip
    if not known:
        raise ImageError(
            Message(
                "{name} is a TIFF of an unsupported kind ({bits} bits, compression {compression}, "
                "colours {photometric}).",
                name=name,
                bits=max(bits),
                compression=compression,
                photometric=photometric,
            ),
            remedy="Save it as PNG, or as TIFF of 8 or 16 bits, with a picture program and use that.",
        )
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    layout = _Layout(
        width, height, bits[0], sample_format, samples, samples if tags.get(_PLANAR, 1) == 2 else 1, photometric,
        compression, predictor, "<" if tags.prefix == b"II" else ">",
        (int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT])) if tiled else None,
        int(tags.get(_ROWS_PER_STRIP, height)),
        _numbers(tags, _TILES if tiled else _STRIPS), _numbers(tags, _TILE_BYTES if tiled else _STRIP_BYTES),
        _numbers(tags, _EXTRA),
    )  # fmt: skip
    if min(width, height, *layout.block) < 1 or len(layout.offsets) != len(layout.sizes):
        raise ValueError(Message("its header is invalid"))
    return layout


_KINDS = {
    **{(bits, _UNSIGNED): f"u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(bits, _UNSIGNED): "" for bits in (10, 12, 14)},  # packed without gaps
    **{(bits, _SIGNED): f"i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{(bits, _FLOAT): f"f{bits // 8}" for bits in (16, 32, 64)},
}


def _levels(file: BinaryIO, layout: _Layout) -> npt.NDArray[np.generic]:
    """Decode the (H, W, samples) levels, in the file's dtype."""
    kind = _KINDS[layout.bits, layout.sample_format]
    width, height = layout.block
    across, down = -(-layout.width // width), -(-layout.height // height)
    if len(layout.offsets) < across * down * layout.planes:
        raise EOFError("part of the pixels is missing")
    out = np.zeros((layout.height, layout.width, layout.samples), np.dtype(kind) if kind else np.uint16)
    for number in range(across * down * layout.planes):
        plane, place = divmod(number, across * down)
        top, left = place // across * height, place % across * width
        rows = height if layout.tile else min(height, layout.height - top)
        block = _samples(_unpacked(file, layout, number, rows), layout)
        first = plane * layout.samples_a_plane
        target = out[top : top + rows, left : left + width, first : first + layout.samples_a_plane]
        target[...] = block[: target.shape[0], : target.shape[1]]
    return out


def _unpacked(file: BinaryIO, layout: _Layout, number: int, rows: int) -> npt.NDArray[np.uint8]:
    """Decompress one strip or tile to (rows, row_bytes) uint8."""
    file.seek(layout.offsets[number])
    wanted = rows * layout.row_bytes
    packed = file.read(min(layout.sizes[number], 2 * wanted + 1024))  # compression at most doubles the size
    if layout.compression == _UNPACKED:
        if len(packed) < wanted:
            raise EOFError("it ends early")
        return np.frombuffer(packed, np.uint8, wanted).reshape(rows, -1)
    coded = _grey_tiff(packed, layout.row_bytes, rows, layout.compression)
    with Image.open(io.BytesIO(coded), formats=("TIFF",)) as image:
        return np.asarray(image)


def _grey_tiff(packed: bytes, width: int, height: int, compression: int) -> bytes:
    """Wrap compressed grey data, unchanged, in a TIFF of one strip."""
    tags = {
        _WIDTH: width, _HEIGHT: height, _BITS: 8, _COMPRESSION: compression, _PHOTOMETRIC: _BLACK_IS_ZERO,
        _STRIPS: 0, _SAMPLES: 1, _ROWS_PER_STRIP: height, _STRIP_BYTES: len(packed),
    }  # fmt: skip
    tags[_STRIPS] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + packed


def _samples(coded: npt.NDArray[np.uint8], layout: _Layout) -> npt.NDArray[np.generic]:
    """Unpack (rows, bytes) uint8 into (rows, width, samples of the plane), in the file's dtype."""
    rows, each = coded.shape[0], layout.samples_a_plane
    kind = _KINDS[layout.bits, layout.sample_format]
    if not kind:
        bits = np.unpackbits(coded, axis=1)[:, : layout.block[0] * each * layout.bits]
        places = (1 << np.arange(layout.bits - 1, -1, -1)).astype(np.uint16)
        packed = bits.reshape(rows, layout.block[0], each, layout.bits) @ places
        return np.asarray(packed, np.uint16)
    if layout.predictor == _FLOAT_DIFFERENCE:  # Adobe's Technical Note 3: bytes of equal significance are adjacent
        size = layout.bits // 8
        summed = np.cumsum(coded.reshape(rows, -1, each), axis=1, dtype=np.uint8).reshape(rows, size, -1)
        return np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">{kind}").reshape(rows, -1, each)
    values = np.ascontiguousarray(coded).view(layout.order + kind).reshape(rows, -1, each)
    if layout.predictor == _DIFFERENCE:
        return np.cumsum(values, axis=1, dtype=np.dtype(kind))
    return values


def _image_of(levels: npt.NDArray[np.generic], layout: _Layout, tags: Any) -> Image.Image:
    """Build an 8-bit image from (H, W, samples) in the file's dtype."""
    colours = {_RGB: 3, _CMYK: 4}.get(layout.photometric, 1)
    top = None
    if layout.bits <= 16 and layout.sample_format != _FLOAT:
        top = float(2 ** (layout.bits - (layout.sample_format == _SIGNED)) - 1)
    has_alpha = layout.samples > colours and layout.extra[:1] in ((1,), (2,)) and colours < 4
    values = eight_bits(levels[..., :colours], top)
    if layout.photometric == _WHITE_IS_ZERO:
        values = 255 - values
    if has_alpha:
        values = np.concatenate([values, eight_bits(levels[..., colours : colours + 1], top)], axis=2)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[values.shape[2]] if colours < 4 else "CMYK"
    if has_alpha and layout.extra[0] == 1:  # premultiplied alpha
        mode = mode[:-1] + "a"
    image = Image.frombytes(mode, (layout.width, layout.height), np.ascontiguousarray(values).tobytes())
    if mode in ("La", "RGBa"):
        image = image.convert(mode[:-1] + "A")
    if isinstance(profile := tags.get(_ICC), bytes):
        image.info["icc_profile"] = profile
    if _ORIENTATION in tags:
        image.getexif()[_ORIENTATION] = tags[_ORIENTATION]
    return image


def eight_bits(values: npt.NDArray[Any], top: float | None) -> npt.NDArray[np.uint8]:
    """Scale (H, W, C) levels of more than 8 bits to 0..255; without `top`, the range is derived from the values."""
    out = np.empty(values.shape, np.uint8)
    if top is None:
        largest = max(float(part.max(initial=0, where=np.isfinite(part))) for (part,) in _in_parts(values))
        top = next((limit for limit in (1.0, 255.0, 65535.0) if largest <= limit), largest)
    for source, target in _in_parts(values, out):
        sound = np.nan_to_num(np.asarray(source, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        target[...] = np.clip(np.rint(sound * (255.0 / top)), 0, 255)
    return out


def _in_parts(*arrays: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
    """Yield matching rows of arrays (H, ...), a few at a time, so that copies stay small."""
    rows = max(1, (1 << 20) // max(arrays[0][0].size, 1))
    for top in range(0, len(arrays[0]), rows):
        yield tuple(array[top : top + rows] for array in arrays)


def _numbers(tags: Any, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    values = tags.get(tag, default)
    return tuple(int(value) for value in (values if isinstance(values, tuple) else (values,)))
