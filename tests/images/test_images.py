from __future__ import annotations

import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from avatar.cv import cv2
from avatar.errors import ImageError, OutputError
from avatar.frames import RgbImage
from avatar.images.load import load_image, load_image_alpha, save_png, square_thumbnail

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def halves() -> Image.Image:
    """Red at the left, blue at the right, and a green upper left corner: no turn or flip looks like another."""
    picture = Image.new("RGB", (40, 24), RED)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20, 0, 39, 23), fill=BLUE)
    draw.rectangle((0, 0, 7, 7), fill=GREEN)
    return picture


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and then ends."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def refusal(path: Path, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        load_image(path, **options)
    assert caught.value.remedy, "an error without a remedy"
    return caught.value


@pytest.mark.parametrize("side", [12_000, 50_000])
def test_a_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    assert "limit is 64 megapixels" in refusal(tmp_path / "bomb.png").what


def tiled_tiff(side: int, bits: int, big: bool) -> bytes:
    """A TIFF of 16 x 16 pixels in one tile of `side` x `side`, of which nothing is stored."""
    tags = {
        256: 16, 257: 16, 258: bits, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 20,
    }  # fmt: skip
    kind, count, start = ("<HHQQ", "<Q", b"II+\0\x08\0\0\0" + struct.pack("<Q", 16)) if big else (
        "<HHII", "<H", b"II*\0" + struct.pack("<I", 8)
    )  # fmt: skip
    entries = b"".join(struct.pack(kind, tag, 4, 1, value) for tag, value in tags.items())
    return start + struct.pack(count, len(tags)) + entries + bytes(8)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [8, 32])
def test_a_tile_counts_as_a_whole(tmp_path: Path, bits: int, big: bool) -> None:
    (tmp_path / "tile.tif").write_bytes(tiled_tiff(1024, bits, big))
    said = refusal(tmp_path / "tile.tif", max_pixels=1024 * 1024 - 1).what
    assert "1024 x 1024" in said
    (tmp_path / "tile.tif").write_bytes(tiled_tiff(16, bits, big))
    assert "1024" not in refusal(tmp_path / "tile.tif").what, "only its pixels are missing"


def many_scans(count: int) -> bytes:
    """A JPEG whose last scan, which refines what is there, comes `count` times more."""
    packed = io.BytesIO()
    Image.new("L", (64, 64), 90).save(packed, "JPEG", progressive=True)
    data = packed.getvalue()
    return data[: data.rindex(b"\xff\xd9")] + data[data.rindex(b"\xff\xda") : -2] * count + b"\xff\xd9"


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(many_scans(1000))
    assert "500 passes" in refusal(tmp_path / "p.jpg").what
    (tmp_path / "p.jpg").write_bytes(many_scans(20) + b"\xff\xda\0\x02" * 1000)
    assert load_image(tmp_path / "p.jpg").shape == (64, 64, 3), "what follows the picture does not count"


def test_the_limit_can_be_set(tmp_path: Path) -> None:
    halves().save(tmp_path / "p.png")
    assert "40 x 24" in refusal(tmp_path / "p.png", max_pixels=40 * 24 - 1).what
    assert load_image(tmp_path / "p.png", max_pixels=40 * 24).shape == (24, 40, 3)


def test_a_long_narrow_picture_is_fine(tmp_path: Path) -> None:
    Image.new("RGB", (12_000, 20), RED).save(tmp_path / "long.png")
    assert load_image(tmp_path / "long.png").shape == (20, 12_000, 3)


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), BLUE).save(tmp_path / "dot.png")
    assert load_image(tmp_path / "dot.png").tolist() == [[list(BLUE)]]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("notes.png", b"Dear diary,\n" * 50, "not a picture"),
        ("page.jpg", b"<html><body>404</body></html>", "not a picture"),
        ("print.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a picture"),
        ("empty.png", b"", "0 bytes"),
        ("short.png", b"\x89PNG\r\n\x1a\n", "not a picture"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert expected in refusal(tmp_path / name).what


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.webp", "p.tiff"])
def test_a_picture_that_is_cut_short(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    error = refusal(tmp_path / name)
    assert "cut short" in error.what or "cannot be opened" in error.what or "not a picture" in error.what
    assert name in error.what


def test_a_video_is_called_a_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    assert "is a video" in refusal(tmp_path / "clip.mp4").what


def test_missing_and_folder(tmp_path: Path) -> None:
    assert "no picture" in refusal(tmp_path / "nowhere.png").what
    assert "is a folder" in refusal(tmp_path).what


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_picture_that_may_not_be_read(tmp_path: Path) -> None:
    halves().save(tmp_path / "p.png")
    (tmp_path / "p.png").chmod(0)
    assert "denied" in refusal(tmp_path / "p.png").what


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_held_any_way(tmp_path: Path, orientation: int) -> None:
    """EXIF says how to turn what is stored; what is stored here is turned the other way round."""
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = halves() if undo is None else halves().transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "p.png", exif=exif)
    assert np.array_equal(load_image(tmp_path / "p.png"), np.asarray(halves()))


def test_exif_that_makes_no_sense_is_ignored(tmp_path: Path) -> None:
    halves().save(tmp_path / "p.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(load_image(tmp_path / "p.png"), np.asarray(halves()))


def test_transparency_is_laid_on_grey(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 1), (200, 100, 0, 255))
    picture.putpixel((1, 0), (200, 100, 0, 0))
    picture.putpixel((2, 0), (200, 100, 0, 128))
    picture.save(tmp_path / "p.png")
    assert load_image(tmp_path / "p.png")[0].tolist() == [[200, 100, 0], [128] * 3, [164, 114, 64], [200, 100, 0]]
    rgb, alpha = load_image_alpha(tmp_path / "p.png")
    assert alpha is not None and alpha[0].tolist() == [255, 0, 128, 255]
    assert rgb[0].tolist() == [[200, 100, 0]] * 4


def test_opaque_pictures_have_no_alpha(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (1, 2, 3, 255)).save(tmp_path / "p.png")
    rgb, alpha = load_image_alpha(tmp_path / "p.png")
    assert alpha is None and (rgb == (1, 2, 3)).all()


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB"])
def test_grey_and_palette(tmp_path: Path, mode: str) -> None:
    Image.new("L", (5, 5), 255).convert(mode).save(tmp_path / "p.png")
    assert (load_image(tmp_path / "p.png") == 255).all()


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *BLUE])
    picture.putdata([0, 1])
    picture.save(tmp_path / "p.gif", transparency=1)
    assert load_image(tmp_path / "p.gif")[0].tolist() == [list(RED), [128] * 3]


@pytest.mark.parametrize("value", [0, 257 * 10, 65535])
def test_sixteen_bits(tmp_path: Path, value: int) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((3, 3), value, np.uint16))
    cv2.imwrite(str(tmp_path / "colour.png"), np.full((3, 3, 3), value, np.uint16))
    assert (load_image(tmp_path / "grey.png") == value // 257).all()
    assert (load_image(tmp_path / "colour.png") == value // 257).all()


def test_floating_point_tiff(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "p.tiff")
    assert load_image(tmp_path / "p.tiff")[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK").save(tmp_path / "p.jpg", quality=98)
    assert np.abs(load_image(tmp_path / "p.jpg").astype(int) - (200, 30, 60)).max() <= 6


def swapped_profile() -> bytes:
    """sRGB with its red and green primaries exchanged: applied, red becomes green."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return plain.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (250, 5, 5)).save(tmp_path / "p.png", icc_profile=swapped_profile())
    red, green, _ = load_image(tmp_path / "p.png")[0, 0]
    assert green > 200 and red < 60


def test_a_broken_colour_profile_is_ignored(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), RED).save(tmp_path / "p.png", icc_profile=b"nonsense" * 40)
    assert (load_image(tmp_path / "p.png") == RED).all()


@pytest.fixture
def noise() -> RgbImage:
    return np.random.default_rng(0).integers(0, 256, (33, 47, 3), np.uint8)


def test_png_round_trip(tmp_path: Path, noise: RgbImage) -> None:
    save_png(tmp_path / "p.png", noise)
    assert np.array_equal(load_image(tmp_path / "p.png"), noise)
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_a_full_disk_leaves_the_old_picture(tmp_path: Path, noise: RgbImage, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "p.png"
    target.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        save_png(target, noise)
    assert target.read_bytes() == b"old" and [path.name for path in tmp_path.iterdir()] == ["p.png"]


def test_saving_into_a_missing_folder(tmp_path: Path, noise: RgbImage) -> None:
    with pytest.raises(OutputError) as caught:
        save_png(tmp_path / "nowhere" / "p.png", noise)
    assert caught.value.remedy


def test_saving_through_a_link_keeps_the_link(tmp_path: Path, noise: RgbImage) -> None:
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    save_png(real, np.zeros_like(noise))
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("links cannot be made here")
    save_png(link, noise)
    assert link.is_symlink() and np.array_equal(load_image(real), noise)


@pytest.mark.parametrize("size", [8, 24, 100])
def test_thumbnails_show_the_middle(size: int) -> None:
    wide = np.zeros((24, 60, 3), np.uint8)
    wide[:, 18:42] = BLUE  # the middle square exactly
    thumbnail = square_thumbnail(wide, size)
    assert thumbnail.shape == (size, size, 3) and (thumbnail == BLUE).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert "is not a file" in refusal(tmp_path / "a.png").what


def test_a_name_too_long_is_said(tmp_path: Path) -> None:
    assert "cannot be opened" in refusal(tmp_path / ("a" * 300 + ".png")).what
