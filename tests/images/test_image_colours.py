"""Colour management: profiles, cICP, nclx, gamma, HDR and TIFF give the colours of a browser."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from colour_samples import HEIGHT, WIDTH, apart, as_hlg, as_pq, colours, light_of, p3_profile, through_profile
from PIL import Image, ImageCms

from avatar.cv import cv2
from avatar.errors import ImageError
from avatar.images.colour_space import REFERENCE_WHITE_NITS, from_cicp, to_srgb, tone_curve
from avatar.images.load import load_image, load_image_alpha

P3, SRGB, PQ, HLG = 12, 13, 16, 18


def write_png(path: Path, values: np.ndarray, *chunks: tuple[bytes, bytes]) -> Path:
    """8 or 16 bits, RGB or RGBA, with chunks before the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = values.shape
    bits = 8 * values.itemsize
    rows = values.astype(values.dtype.newbyteorder(">")).tobytes()
    step = width * channels * values.itemsize
    packed = zlib.compress(b"".join(b"\0" + rows[at : at + step] for at in range(0, len(rows), step)))
    header = struct.pack(">IIBBBBB", width, height, bits, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", header), *chunks, (b"IDAT", packed), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


# wide gamut


def test_the_profile_changes_something() -> None:
    assert apart(through_profile(colours()), colours()) > 10  # else the tests below could not fail


def test_cicp_of_display_p3_shows_as_its_profile_does(tmp_path: Path) -> None:
    path = write_png(tmp_path / "p3.png", colours(), (b"cICP", bytes([P3, SRGB, 0, 1])))
    assert apart(load_image(path), through_profile(colours())) <= 2


def test_cicp_counts_more_than_a_profile(tmp_path: Path) -> None:
    profile = b"x\0\0" + zlib.compress(p3_profile())
    path = write_png(tmp_path / "both.png", colours(), (b"cICP", bytes([1, SRGB, 0, 1])), (b"iCCP", profile))
    assert apart(load_image(path), colours()) == 0
    path = write_png(tmp_path / "profile.png", colours(), (b"iCCP", profile))
    assert apart(load_image(path), through_profile(colours())) == 0


def test_cicp_of_narrow_range(tmp_path: Path) -> None:
    narrow = np.rint(16 + colours() / 255 * 219).astype(np.uint8)
    path = write_png(tmp_path / "narrow.png", narrow, (b"cICP", bytes([1, SRGB, 0, 0])))
    assert apart(load_image(path), colours()) <= 1


def test_cicp_with_transparency(tmp_path: Path) -> None:
    values = np.dstack([colours(), np.full((HEIGHT, WIDTH), 100, np.uint8)])
    path = write_png(tmp_path / "p3.png", values, (b"cICP", bytes([P3, SRGB, 0, 1])))
    rgb, alpha = load_image_alpha(path)
    assert apart(rgb, through_profile(colours())) <= 2 and alpha is not None and (alpha == 100).all()


def test_nclx_of_avif(tmp_path: Path) -> None:
    coded = io.BytesIO()
    Image.fromarray(colours()).save(coded, "AVIF", quality=100, subsampling="4:4:4")
    data = coded.getvalue()
    assert data.count(b"nclx\0\1\0\x0d") == 1
    (tmp_path / "srgb.avif").write_bytes(data)
    (tmp_path / "p3.avif").write_bytes(data.replace(b"nclx\0\1\0\x0d", b"nclx\0\x0c\0\x0d"))
    stored = load_image(tmp_path / "srgb.avif")
    assert apart(stored, colours()) < 12
    assert apart(load_image(tmp_path / "p3.avif"), through_profile(stored)) <= 2


def test_a_profile_of_avif_counts_more_than_nclx(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4", icc_profile=p3_profile())
    assert apart(load_image(tmp_path / "a.avif"), through_profile(colours())) < 14


def test_profile_of_jpeg_2000(tmp_path: Path) -> None:
    coded = io.BytesIO()
    Image.fromarray(colours()).save(coded, "JPEG2000", irreversible=False)
    data, profile = coded.getvalue(), p3_profile()
    at = data.index(b"colr") - 4
    colr = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    grown = bytearray(data[:at] + colr + data[at + 15 :])
    header = data.index(b"jp2h") - 4
    grown[header : header + 4] = struct.pack(">I", int.from_bytes(data[header : header + 4], "big") + len(colr) - 15)
    (tmp_path / "p3.jp2").write_bytes(grown)
    assert apart(load_image(tmp_path / "p3.jp2"), through_profile(colours())) <= 2


def palette(picture: Image.Image) -> Image.Image:
    return picture.quantize(200)


@pytest.mark.parametrize("mode", [palette, "RGB", "RGBA"])
def test_profiles_count_in_every_mode(tmp_path: Path, mode: str | Callable[[Image.Image], Image.Image]) -> None:
    picture = Image.fromarray(colours())
    picture = picture.convert(mode) if isinstance(mode, str) else mode(picture)
    picture.save(tmp_path / "p.png", icc_profile=p3_profile())
    assert apart(load_image(tmp_path / "p.png"), through_profile(np.asarray(picture.convert("RGB")))) == 0


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_with_the_profile_of_a_screen(tmp_path: Path, mode: str) -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    picture = Image.fromarray(grey)
    if mode == "LA":
        picture.putalpha(90)
    elif mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    picture.save(tmp_path / "g.png", icc_profile=p3_profile())
    rgb, alpha = load_image_alpha(tmp_path / "g.png")
    assert apart(rgb, np.repeat(grey[..., None], 3, axis=2)) <= 1 and (alpha is not None) == (mode == "LA")


# gamma


def test_linear_light_of_png(tmp_path: Path) -> None:
    values = np.rint(light_of(colours()) * 65535).astype(np.uint16)
    path = write_png(tmp_path / "linear.png", values, (b"gAMA", struct.pack(">I", 100_000)))
    assert apart(load_image(path), colours()) <= 1


def test_the_usual_gamma_changes_nothing(tmp_path: Path) -> None:
    srgb = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    path = write_png(tmp_path / "a.png", colours(), (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", srgb))
    assert apart(load_image(path), colours()) == 0


def test_chromaticities_of_png(tmp_path: Path) -> None:
    p3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    path = write_png(tmp_path / "a.png", colours(), (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", p3))
    found = load_image(path).astype(int)
    assert np.abs(found - through_profile(colours()))[8:].max() < 8  # the curves of 2.2 and of sRGB differ a little
    assert np.abs(found - colours())[8:].max() > 10


# HDR


def hdr_png(path: Path, signal: np.ndarray, transfer: int, primaries: int = 1) -> Path:
    values = np.rint(signal * 65535).astype(np.uint16)
    return write_png(path, values, (b"cICP", bytes([primaries, transfer, 0, 1])))


def test_sdr_in_pq_is_as_it_was(tmp_path: Path) -> None:
    path = hdr_png(tmp_path / "pq.png", as_pq(light_of(colours()) * REFERENCE_WHITE_NITS), PQ)
    assert apart(load_image(path), colours()) <= 2


def test_bt2020_in_pq(tmp_path: Path) -> None:
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    light = light_of(colours()) @ to_2020.T
    path = hdr_png(tmp_path / "pq.png", as_pq(light * REFERENCE_WHITE_NITS), PQ, primaries=9)
    assert apart(load_image(path), colours()) <= 2


@pytest.mark.parametrize(("code", "transfer"), [(as_pq, PQ), (as_hlg, HLG)])
def test_highlights_are_rolled_off_and_skin_is_not(
    tmp_path: Path, code: Callable[[np.ndarray], np.ndarray], transfer: int
) -> None:
    nits = np.geomspace(1, 1000, WIDTH)
    path = hdr_png(tmp_path / "hdr.png", np.tile(code(nits)[None, :, None], (HEIGHT, 1, 3)), transfer)
    found = load_image(path)[0, :, 0].astype(int)
    plain = np.minimum(nits / REFERENCE_WHITE_NITS, 1)
    wanted = 255 * np.where(plain <= 0.0031308, plain * 12.92, 1.055 * plain ** (1 / 2.4) - 0.055)
    dark = nits < 80
    assert np.abs(found - wanted)[dark].max() <= 2
    assert (np.diff(found) >= 0).all() and found[-1] >= 253
    assert 220 < found[np.searchsorted(nits, REFERENCE_WHITE_NITS)] < 250  # white is bright, and not yet the end


def test_transparent_hdr(tmp_path: Path) -> None:
    signal = np.dstack([as_pq(light_of(colours()) * REFERENCE_WHITE_NITS), np.full((HEIGHT, WIDTH), 0.4)])
    rgb, alpha = load_image_alpha(hdr_png(tmp_path / "pq.png", signal, PQ))
    assert apart(rgb, colours()) <= 2 and alpha is not None and (alpha == 102).all()


def test_tone_curve_ends_at_white_and_leaves_sdr_alone() -> None:
    nits = np.linspace(0, 4000, 1000, dtype=np.float32)
    curve = tone_curve(nits, 4000.0)
    assert (np.diff(curve) > -1e-3).all() and abs(curve[-1] - REFERENCE_WHITE_NITS) < 0.1
    np.testing.assert_array_equal(tone_curve(nits[:50], 200.0), nits[:50])


def test_unknown_colours_are_those_of_srgb() -> None:
    assert to_srgb(colours(), from_cicp(200, 77)) is not None
    assert apart(to_srgb(colours(), from_cicp(2, 2)), colours()) == 0


# other kinds


def test_lab(tmp_path: Path) -> None:
    transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    converted = ImageCms.applyTransform(Image.fromarray(colours()), transform)
    assert converted is not None
    converted.save(tmp_path / "lab.tif")
    assert apart(load_image(tmp_path / "lab.tif"), colours()) <= 5  # 8 bits of Lab are coarse


def test_cmyk(tmp_path: Path) -> None:
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "c.jpg", quality=100, subsampling=0)
    assert apart(load_image(tmp_path / "c.jpg"), colours()) <= 4


def test_sixteen_bit_grey_of_pgm_is_as_dark_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "dark.pgm").write_bytes(b"P5 4 2 65535\n" + np.full(8, 200, ">u2").tobytes())
    assert load_image(tmp_path / "dark.pgm").max() == 1


def test_one_colour_of_deep_grey_is_transparent(tmp_path: Path) -> None:
    grey = np.array([[[1000], [2000]]], np.uint16)
    rgb, alpha = load_image_alpha(write_png(tmp_path / "g.png", grey, (b"tRNS", struct.pack(">H", 2000))))
    assert alpha is not None and alpha.tolist() == [[255, 0]] and rgb[0, 0, 0] == 4


@pytest.mark.parametrize("seed", range(4))
def test_damaged_avif_is_refused_in_a_sentence(tmp_path: Path, seed: int) -> None:
    """Its decoder raises RuntimeError, which no other does."""
    coded = io.BytesIO()
    Image.fromarray(colours()).save(coded, "AVIF")
    rng, refused = np.random.default_rng(seed), 0
    for _ in range(25):
        data = bytearray(coded.getvalue())
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(0, 256)
        (tmp_path / "a.avif").write_bytes(data)
        try:
            load_image(tmp_path / "a.avif")
        except ImageError as error:
            refused += 1
            assert error.what.startswith("a.avif")
    assert refused


def test_deep_bgr_order_is_not_confused(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), colours()[..., ::-1].astype(np.uint16) * 257)
    assert apart(load_image(tmp_path / "a.png"), colours()) == 0
