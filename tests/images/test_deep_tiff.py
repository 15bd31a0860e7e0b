"""TIFF with more than 8 bits: correct in every layout, or refused with a message."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from avatar.cv import cv2
from avatar.errors import ImageError
from avatar.frames import RgbImage
from avatar.images.load import load_image, load_image_alpha

Order = Literal["<", ">"]  # little, big endian
HEIGHT, WIDTH = 40, 64
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
UNPACKED, DEFLATE = 1, 8
UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def light() -> np.ndarray:
    """(H, W, 3) in [0, 1], no channel like another."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x / (WIDTH - 1), y / (HEIGHT - 1), (x + y) % 32 / 31], axis=-1)


def wanted(values: np.ndarray) -> RgbImage:
    levels = np.rint(values * 255).astype(np.uint8)
    return levels if levels.shape[-1] == 3 else np.repeat(levels, 3, axis=2)


def write_tiff(
    path: Path,
    values: np.ndarray,
    *,
    order: Order = "<",
    bits: int = 16,
    photometric: int = BLACK_IS_ZERO,
    planar: bool = False,
    compression: int = UNPACKED,
    predictor: int = 1,
    tile: int = 0,
    kind: int = UNSIGNED,
    more: dict[int, tuple[int, ...]] | None = None,
) -> Path:
    """(H, W, C) of the right type as TIFF, in strips of 7 rows or square tiles."""
    height, width, samples = values.shape
    planes = [values[..., c : c + 1] for c in range(samples)] if planar else [values]
    side = tile or width
    rows = tile or 7
    blocks = []
    for plane in planes:
        for top in range(0, height, rows):
            for left in range(0, width, side):
                block = plane[top : top + rows, left : left + side]
                if tile:
                    missing = ((0, tile - block.shape[0]), (0, tile - block.shape[1]), (0, 0))
                    block = np.pad(block, missing, mode="edge")
                data = packed(block, order, bits, predictor)
                blocks.append(zlib.compress(data) if compression == DEFLATE else data)
    tags: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (bits,) * samples, 259: (compression,), 262: (photometric,),
        277: (samples,), 284: (2 if planar else 1,), 317: (predictor,), 339: (kind,) * samples, **(more or {}),
    }  # fmt: skip
    if samples == 2 or samples == 4:
        tags[338] = (2,)  # the last is alpha
    places, sizes = (324, 325) if tile else (273, 279)
    tags |= {322: (tile,), 323: (tile,)} if tile else {278: (rows,)}
    tags |= {places: (0,) * len(blocks), sizes: tuple(map(len, blocks))}
    at = 8 + 2 + 12 * len(tags) + 4
    extra = sum(4 * len(numbers) for numbers in tags.values() if len(numbers) > 1)
    starts = np.cumsum([at + extra, *map(len, blocks)])[:-1]
    tags[places] = tuple(int(start) for start in starts)
    entries, tail = b"", b""
    for tag, numbers in sorted(tags.items()):
        body = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            tail, body = tail + body, struct.pack(order + "I", at + len(tail))
        entries += struct.pack(order + "HHI", tag, 4, len(numbers)) + body
    magic = b"II*\0" if order == "<" else b"MM\0*"
    path.write_bytes(magic + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4) + tail + b"".join(blocks))
    return path


def packed(block: np.ndarray, order: Order, bits: int, predictor: int) -> bytes:
    if bits % 8:
        digits = block[..., None] >> np.arange(bits - 1, -1, -1) & 1
        return np.packbits(digits.reshape(block.shape[0], -1).astype(np.uint8), axis=1).tobytes()
    if predictor == 2:
        block = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
    coded = block.astype(block.dtype.newbyteorder(order))
    if predictor == 3:
        size = bits // 8
        most_first = block.astype(block.dtype.newbyteorder(">")).view(np.uint8)
        split = most_first.reshape(block.shape[0], -1, size).transpose(0, 2, 1).reshape(block.shape[0], -1)
        step = block.shape[2]
        before = np.pad(split, ((0, 0), (step, 0)))[:, :-step]
        return (split - before).tobytes()
    return coded.tobytes()


def difference(path: Path, target: np.ndarray) -> int:
    return int(np.abs(load_image(path).astype(int) - wanted(target)).max())


def as_type(values: np.ndarray, kind: str) -> np.ndarray:
    dtype = np.dtype(kind)
    return values.astype(dtype) if dtype.kind == "f" else np.rint(values * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [UNPACKED, DEFLATE])
class TestArrangements:
    def test_white_is_zero(self, tmp_path: Path, order: Order, compression: int) -> None:
        grey = light()[..., :1]
        path = write_tiff(
            tmp_path / "a.tif", as_type(1 - grey, "u2"), order=order, compression=compression, photometric=WHITE_IS_ZERO
        )
        assert difference(path, grey) <= 1

    @pytest.mark.parametrize("bits", [10, 12, 14])
    def test_packed_bits(self, tmp_path: Path, order: Order, compression: int, bits: int) -> None:
        grey = light()[..., :1]
        levels = np.rint(grey * (2**bits - 1)).astype(np.uint16)
        path = write_tiff(tmp_path / "a.tif", levels, order=order, bits=bits, compression=compression)
        assert difference(path, grey) <= 1

    @pytest.mark.parametrize("tile", [0, 16])
    @pytest.mark.parametrize("planar", [True, False])
    def test_colour(self, tmp_path: Path, order: Order, compression: int, tile: int, planar: bool) -> None:
        path = write_tiff(
            tmp_path / "a.tif", as_type(light(), "u2"), order=order, compression=compression, photometric=RGB,
            planar=planar, tile=tile,
        )  # fmt: skip
        assert difference(path, light()) <= 1

    @pytest.mark.parametrize(("kind", "sample_format"), [
        ("f2", FLOAT), ("f4", FLOAT), ("f8", FLOAT), ("u4", UNSIGNED), ("i2", SIGNED), ("u2", UNSIGNED)
    ])  # fmt: skip
    @pytest.mark.parametrize("channels", [1, 3])
    def test_kinds(
        self, tmp_path: Path, order: Order, compression: int, kind: str, sample_format: int, channels: int
    ) -> None:
        values = light()[..., :channels]
        path = write_tiff(
            tmp_path / "a.tif", as_type(values, kind), order=order, compression=compression, kind=sample_format,
            bits=8 * np.dtype(kind).itemsize, photometric=RGB if channels == 3 else BLACK_IS_ZERO,
        )  # fmt: skip
        assert difference(path, values) <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize("tile", [0, 16])
def test_predicted(tmp_path: Path, order: Order, kind: str, planar: bool, tile: int) -> None:
    is_float = kind.startswith("f")
    path = write_tiff(
        tmp_path / "a.tif", as_type(light(), kind), order=order, compression=DEFLATE, predictor=3 if is_float else 2,
        kind=FLOAT if is_float else UNSIGNED, bits=8 * np.dtype(kind).itemsize, photometric=RGB, planar=planar,
        tile=tile,
    )  # fmt: skip
    assert difference(path, light()) <= 1


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("planar", [True, False])
def test_transparency(tmp_path: Path, channels: int, planar: bool) -> None:
    values = np.dstack([light()[..., : channels - 1], np.full((HEIGHT, WIDTH), 0.5)])
    photometric = RGB if channels == 4 else BLACK_IS_ZERO
    path = write_tiff(tmp_path / "a.tif", as_type(values, "u2"), photometric=photometric, planar=planar)
    rgb, alpha = load_image_alpha(path)
    assert np.abs(rgb.astype(int) - wanted(values[..., :-1])).max() <= 1
    assert alpha is not None and (np.abs(alpha.astype(int) - 128) <= 1).all()


def test_lzw_and_orientation(tmp_path: Path) -> None:
    """Packed by libtiff itself; turned by its tag."""
    grey = as_type(1 - light()[..., 0], "u2")
    picture = Image.fromarray(grey)
    picture.save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={262: WHITE_IS_ZERO, 317: 2, 274: 3})
    found = load_image(tmp_path / "a.tif")
    assert np.abs(found[::-1, ::-1].astype(int) - wanted(light()[..., :1])).max() <= 1


def test_float_of_another_writer(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.tif"), light()[..., ::-1].astype(np.float32))
    assert difference(tmp_path / "a.tif", light()) <= 1


def test_holes_in_floats_are_black(tmp_path: Path) -> None:
    values = as_type(light()[..., :1], "f4")
    values[0, :3, 0] = np.nan, np.inf, -np.inf
    path = write_tiff(tmp_path / "a.tif", values, bits=32, kind=FLOAT)
    assert (load_image(path)[0, :3] == 0).all() and load_image(path).max() == 255


@pytest.mark.parametrize("change", [
    lambda data: data[:200],  # ends early
    lambda data: data[: len(data) // 2],
    lambda data: data.replace(struct.pack("<HHII", 257, 4, 1, HEIGHT), struct.pack("<HHII", 257, 4, 1, 0)),
    lambda data: data.replace(struct.pack("<HHII", 278, 4, 1, 7), struct.pack("<HHII", 278, 4, 1, 0)),
])  # fmt: skip
@pytest.mark.parametrize("compression", [UNPACKED, DEFLATE])
def test_damage_is_said(tmp_path: Path, change: Callable[[bytes], bytes], compression: int) -> None:
    path = write_tiff(tmp_path / "a.tif", as_type(light()[..., :1], "f8"), bits=64, kind=FLOAT, compression=compression)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert caught.value.remedy


def test_size_is_looked_at_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", as_type(light()[..., :1], "f8"), bits=64, kind=FLOAT)
    huge = path.read_bytes()
    for tag, size in ((256, WIDTH), (257, HEIGHT)):
        huge = huge.replace(struct.pack("<HHII", tag, 4, 1, size), struct.pack("<HHII", tag, 4, 1, 60_000))
    path.write_bytes(huge)
    with pytest.raises(ImageError, match="limit is 64 megapixels"):
        load_image(path)


def test_kinds_that_are_not_read_are_named(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", as_type(light(), "u2"), photometric=8)  # Lab of 16 bits
    with pytest.raises(ImageError, match="16 bits"):
        load_image(path)
