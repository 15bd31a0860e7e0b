"""HEIC: orientation, colours, limits, and a message where it cannot be read."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from colour_samples import apart, as_pq, colours, light_of, p3_profile, through_profile
from PIL import Image, ImageCms

from avatar.errors import ImageError
from avatar.frames import RgbImage
from avatar.images.load import SUFFIXES, load_image, load_image_alpha

pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
HEIGHT, WIDTH = 128, 192
if not pillow_heif.libheif_info()["HEIF"]:
    pytest.skip("this libheif has no HEVC encoder", allow_module_level=True)


def picture() -> RgbImage:
    """Smooth, so that packing changes little; no turn or mirror image looks like another."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 255 / WIDTH, y * 255 / HEIGHT, 128 + (x - y) / 4], axis=-1).astype(np.uint8)


def write_heic(path: Path, rgb: np.ndarray, mode: str = "RGB", **options: object) -> Path:
    pillow_heif.encode(
        mode, (rgb.shape[1], rgb.shape[0]), np.ascontiguousarray(rgb).tobytes(), str(path), quality=95, chroma=444,
        **options,
    )  # fmt: skip
    return path


def near(one: RgbImage, other: RgbImage) -> bool:
    return one.shape == other.shape and float(np.abs(one.astype(int) - other).mean()) < 2.5


@pytest.mark.parametrize("suffix", [".heic", ".heif", ".hif"])
def test_plain(tmp_path: Path, suffix: str) -> None:
    assert suffix in SUFFIXES
    assert near(load_image(write_heic(tmp_path / f"a{suffix}", picture())), picture())


def test_tiles_as_phones_write_them(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.heic", picture(), tile_size=64)
    assert b"grid" in path.read_bytes()
    assert near(load_image(path), picture())


@pytest.mark.parametrize(("orientation", "shown"), [
    (6, np.rot90(picture(), -1)), (8, np.rot90(picture())), (3, np.rot90(picture(), 2)), (2, picture()[:, ::-1]),
])  # fmt: skip
def test_turned_once(tmp_path: Path, orientation: int, shown: RgbImage) -> None:
    """The file says it twice, in EXIF and in its own property, which alone counts."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write_heic(tmp_path / "a.heic", picture(), exif=exif.tobytes())
    assert b"irot" in path.read_bytes() or b"imir" in path.read_bytes()
    assert near(load_image(path), np.ascontiguousarray(shown))


def test_transparency(tmp_path: Path) -> None:
    rgb, alpha = load_image_alpha(
        write_heic(tmp_path / "a.heic", np.dstack([picture(), np.full((HEIGHT, WIDTH), 90, np.uint8)]), "RGBA")
    )
    assert near(rgb, picture()) and alpha is not None and abs(float(alpha.mean()) - 90) < 2


def test_grey(tmp_path: Path) -> None:
    found = load_image(write_heic(tmp_path / "a.heic", picture()[..., 0], "L"))
    assert near(found, np.repeat(picture()[..., :1], 3, axis=2))


def as_stored(path: Path) -> RgbImage:
    return np.asarray(pillow_heif.open_heif(path)[0])


def test_nclx(tmp_path: Path) -> None:
    path = write_heic(
        tmp_path / "a.heic", colours(), color_primaries=12, transfer_characteristics=13, matrix_coefficients=6,
        full_range_flag=1,
    )  # fmt: skip
    assert apart(load_image(path), through_profile(as_stored(path))) <= 2


def test_profile(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.heic", colours(), icc_profile=p3_profile())
    assert apart(load_image(path), through_profile(as_stored(path))) == 0
    assert apart(load_image(path), as_stored(path)) > 10


def test_hdr(tmp_path: Path) -> None:
    signal = np.rint(as_pq(light_of(picture()) * 203) * 65535).astype("<u2")
    path = write_heic(
        tmp_path / "a.heic", signal, "RGB;16", color_primaries=1, transfer_characteristics=16, matrix_coefficients=1,
        full_range_flag=1,
    )  # fmt: skip
    assert near(load_image(path), picture())


def test_ten_bits_of_sdr(tmp_path: Path) -> None:
    assert near(load_image(write_heic(tmp_path / "a.heic", picture().astype("<u2") * 257, "RGB;16")), picture())


def test_the_size_is_looked_at_first(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.heic", picture())
    with pytest.raises(ImageError, match=f"{WIDTH} x {HEIGHT} pixels"):
        load_image(path, max_pixels=WIDTH * HEIGHT - 1)
    data = path.read_bytes()  # a header that promises more than the pixels hold
    small, large = struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", 30_000, 30_000)
    assert small in data
    path.write_bytes(data.replace(small, large))
    with pytest.raises(ImageError):
        load_image(path)


@pytest.mark.parametrize("seed", range(3))
def test_damage_is_said(tmp_path: Path, seed: int) -> None:
    data = write_heic(tmp_path / "a.heic", picture()).read_bytes()
    rng, refused = np.random.default_rng(seed), 0
    for number in range(20):
        changed = bytearray(data)
        for at in rng.integers(0, min(len(data), 600), 3):
            changed[at] = rng.integers(0, 256)
        (tmp_path / "b.heic").write_bytes(changed if number % 4 else changed[: rng.integers(20, len(data))])
        try:
            load_image(tmp_path / "b.heic")
        except ImageError as error:
            refused += 1
            assert error.what.startswith("b.heic") and error.remedy
    assert refused


def test_without_the_package_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_heic(tmp_path / "a.heic", picture())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert "pillow-heif" in caught.value.what and "JPEG" in caught.value.remedy


def test_profile_is_a_profile() -> None:
    assert ImageCms.ImageCmsProfile(io.BytesIO(p3_profile())).profile.xcolor_space.strip() == "RGB"
