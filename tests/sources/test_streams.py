"""Choice of the video stream of a file, its rate, rotation and size; and animated images as clips."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from fakes import make_clip, plain
from PIL import Image, PngImagePlugin

from avatar.errors import VideoError
from avatar.frames import Frame, RgbImage
from avatar.offline.driving_motion import read_clip
from avatar.sources.animated_image import AnimatedImage, animation_format
from avatar.sources.open import open_source
from avatar.sources.playback import Clip, Still
from avatar.sources.streams import stream_rate
from avatar.sources.video import open_driving

DARK, LIGHT = 60, 200


def read(path: Path) -> list[Frame]:
    with open_driving(path) as clip:
        return list(clip)


def levels(path: Path) -> list[int]:
    return [round(float(frame.rgb.mean())) for frame in read(path)]


def times_ms(frames: Sequence[Frame]) -> list[int]:
    return [round(frame.captured_ns / 1e6) for frame in frames]


def corner(size: tuple[int, int] = (96, 64)) -> RgbImage:
    """Light, with a dark upper left quarter."""
    picture = plain(LIGHT, size)
    picture[: size[1] // 2, : size[0] // 2] = DARK
    return picture


def dark_corner(rgb: RgbImage) -> str:
    """Where `corner` has its dark quarter now, and whether it lies or stands."""
    height, width = rgb.shape[:2]
    means = [float(part.mean()) for half in np.array_split(rgb, 2) for part in np.array_split(half, 2, axis=1)]
    place = ("upper left", "upper right", "lower left", "lower right")[int(np.argmin(means))]
    return f"{place}, {'lying' if width > height else 'standing'}"


def two_films(
    path: Path,
    first: tuple[int, int, tuple[int, int]],
    second: tuple[int, int, tuple[int, int]],
    *,
    default: int | None = None,
    codecs: tuple[str, str] = ("mpeg4", "mpeg4"),
    **container_options: str,
) -> Path:
    """A second of two streams, dark and light; each is (frames, level, size)."""
    with av.open(str(path), "w", options=container_options) as output:
        streams: list[Any] = []
        for number, ((frames, _, size), codec) in enumerate(zip((first, second), codecs, strict=True)):
            stream: Any = output.add_stream(codec, rate=frames)
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            if default is not None:
                stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for stream, (frames, level, size) in zip(streams, (first, second), strict=True):
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(plain(level, size), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, frames)
                output.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
            output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_a_preview_before_the_film_is_not_the_film(tmp_path: Path, suffix: str) -> None:
    path = two_films(
        tmp_path / f"a{suffix}", (3, DARK, (48, 32)), (25, LIGHT, (96, 64)), default=0, codecs=("mjpeg", "mpeg4")
    )
    frames = read(path)
    assert len(frames) == 25 and frames[0].rgb.shape == (64, 96, 3) and frames[0].rgb.mean() > 190


@pytest.mark.parametrize("default", [0, 1])
def test_of_two_films_the_default_is_taken(tmp_path: Path, default: int) -> None:
    path = two_films(tmp_path / "a.mp4", (25, DARK, (64, 64)), (25, LIGHT, (96, 64)), default=default)
    assert np.allclose(levels(path), (DARK, LIGHT)[default], atol=4)


def test_a_stream_of_an_unknown_codec_before_the_film(tmp_path: Path) -> None:
    """As phones of the next year write: a second stream that every player shows stands behind it."""
    codecs = ("mjpeg", "mjpeg")
    path = two_films(tmp_path / "a.mov", (25, DARK, (96, 64)), (25, LIGHT, (64, 48)), default=0, codecs=codecs)
    data = path.read_bytes()
    assert data.count(b"jpeg\0\0\0\0\0\0\0\1") == 2
    path.write_bytes(data.replace(b"jpeg\0\0\0\0\0\0\0\1", b"zzzz\0\0\0\0\0\0\0\1", 1))
    assert np.allclose(levels(path), LIGHT, atol=4)
    path.write_bytes(data.replace(b"jpeg\0\0\0\0\0\0\0\1", b"zzzz\0\0\0\0\0\0\0\1"))
    with pytest.raises(VideoError, match="in a supported format"):
        read(path)


def mirrored_clip(path: Path, degrees: float, flips: dict[str, bool]) -> Path:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(degrees, **flips)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(corner(), format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("degrees", "flips", "expected"),
    [
        (0, {}, "upper left, lying"),
        (0, {"hflip": True}, "upper right, lying"),
        (0, {"vflip": True}, "lower left, lying"),
        (180, {}, "lower right, lying"),
        (90, {}, "lower left, standing"),
        (-90, {}, "upper right, standing"),
        (90, {"hflip": True}, "lower right, standing"),
        (90, {"vflip": True}, "upper left, standing"),
    ],
)
def test_a_clip_is_turned_and_mirrored_without_side_data(
    tmp_path: Path, suffix: str, degrees: float, flips: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import av.frame

    class Forbidden:
        def __init__(self, frame: object) -> None:
            pytest.fail("asking a frame for side data can end the process")

    monkeypatch.setattr(av.frame, "SideDataContainer", Forbidden)
    frames = read(mirrored_clip(tmp_path / f"a{suffix}", degrees, flips))
    assert {dark_corner(frame.rgb) for frame in frames} == {expected}


def exif_jpeg(orientation: int, picture: RgbImage | None = None) -> bytes:
    exif, coded = Image.Exif(), io.BytesIO()
    exif[0x0110] = "camera"
    exif[0x0112] = orientation
    Image.fromarray(corner() if picture is None else picture).save(coded, "JPEG", exif=exif, quality=95)
    return coded.getvalue()


def plain_jpeg(level: int) -> bytes:
    coded = io.BytesIO()
    Image.fromarray(plain(level, (96, 64))).save(coded, "JPEG")
    return coded.getvalue()


def motion_jpeg(path: Path, pictures: Sequence[bytes], size: tuple[int, int] = (96, 64)) -> Path:
    """A clip of pictures as they are; an empty one stands for "the same picture again"."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
        output.start_encoding()
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 10)
            packet.duration = 1
            output.mux(packet)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frames_with_exif_play_turned_and_mirrored_as_it_says(tmp_path: Path, orientation: int) -> None:
    with Image.open(io.BytesIO(exif_jpeg(orientation))) as picture:
        from PIL import ImageOps

        expected = dark_corner(np.asarray(ImageOps.exif_transpose(picture)))
    frames = read(motion_jpeg(tmp_path / "camera.avi", [exif_jpeg(orientation)] * 4))
    assert [dark_corner(frame.rgb) for frame in frames] == [expected] * 4
    assert times_ms(frames) == [0, 100, 200, 300]


def test_the_same_picture_again_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Theora and captures write an empty packet where nothing moved; the last one counts for the length too."""
    light, dark = plain_jpeg(LIGHT), plain_jpeg(DARK)
    path = motion_jpeg(tmp_path / "a.nut", [light, light, b"", b"", dark, b"", b"", b""])
    with caplog.at_level(logging.WARNING), open_driving(path) as clip:
        frames = list(clip)
        assert times_ms(frames) == [0, 100, 400] and clip.end_s == pytest.approx(0.8)
    assert not caplog.text


def rateless(path: Path, steps_ms: Sequence[int]) -> Path:
    """As a browser records: WebM with a frame whenever one came, and no rate in its header."""
    coded = make_clip(path.with_name("coded.webm"), [plain(80 + n % 60) for n in range(len(steps_ms))], codec="libvpx")
    with av.open(str(coded)) as source, av.open(str(path), "w", options={"live": "1"}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        time_ms = 0
        packets = [packet for packet in source.demux(video=0) if packet.dts is not None]
        for packet, step_ms in zip(packets, steps_ms, strict=True):
            packet.pts = packet.dts = time_ms
            packet.duration, packet.stream = 0, stream
            time_ms += step_ms
            output.mux(packet)
    return path


def test_a_header_without_a_rate(tmp_path: Path) -> None:
    """FFmpeg guesses one frame per tick, 1000 a second; the encoder believed it."""
    random = np.random.default_rng(5)
    steps_ms = [round(33.4 + random.normal(0, 4) + 33 * (random.random() < 0.1)) for _ in range(75)]
    path = rateless(tmp_path / "browser.webm", steps_ms)
    with av.open(str(path)) as file:
        assert file.streams.video[0].average_rate is None and file.streams.video[0].guessed_rate == 1000
    with open_driving(path) as clip:
        assert 20 <= clip.facts.rate <= 45, "known from the first frames"
    facts = read_clip(path, lambda *_: None).facts
    assert float(facts.rate) == pytest.approx(75_000 / sum(steps_ms), rel=0.03), "frames divided by length"


RATES = [(25, 25, 25), (30, 90_000, 30), (1000, 1000, 20), (0, 1000, 20)]


@pytest.mark.parametrize(("guess", "ticks", "expected"), RATES)
def test_a_guess_of_the_rate_counts_where_it_can_be_one(guess: int, ticks: int, expected: int) -> None:
    """Ogg counts frames as its ticks."""
    frames: Any = [SimpleNamespace(pts=number, time_base=Fraction(1, 20)) for number in range(2)]
    stream: Any = SimpleNamespace(average_rate=None, guessed_rate=Fraction(guess), time_base=Fraction(1, ticks))
    assert stream_rate(stream, frames) == expected


def test_a_header_with_a_wrong_rate(tmp_path: Path) -> None:
    """Screen recorders name the rate at which they could have written."""
    ticks = [40 * number for number in range(20)]
    path = make_clip(tmp_path / "a.mkv", [plain(100 + n) for n in range(20)], rate=240, ticks=ticks)
    with open_driving(path) as clip:
        assert clip.facts.rate == 240, "what the header says"
    assert float(read_clip(path, lambda *_: None).facts.rate) == pytest.approx(25, rel=0.06)


def test_a_rate_in_the_header_is_kept_to_the_fraction(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000))  # type: ignore[arg-type]
    assert read_clip(path, lambda *_: None).facts.rate == Fraction(30000, 1001)


def changing(path: Path, pictures: Sequence[RgbImage]) -> Path:
    """A clip whose picture's size changes: WebM keeps the first one's in its header, the frames have their own."""
    with av.open(str(path), "w") as output:
        stream: Any = None
        number = 0
        for part, picture in enumerate(pictures):
            options = {"b": "1M"}
            coded = make_clip(path.with_name(f"part{part}.webm"), [picture] * 3, codec="libvpx", codec_options=options)
            with av.open(str(coded)) as source:
                stream = stream or output.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.dts is not None:
                        packet.pts = packet.dts = 40 * number
                        packet.stream = stream
                        number += 1
                        output.mux(packet)
    return path


def test_each_frame_keeps_its_own_size(tmp_path: Path) -> None:
    path = changing(tmp_path / "turned.webm", [corner((160, 96)), corner((96, 160)), corner((320, 192))])
    frames = read(path)
    sizes = [frame.rgb.shape[1::-1] for frame in frames]
    assert sizes == [(160, 96)] * 3 + [(96, 160)] * 3 + [(320, 192)] * 3
    for frame in frames:
        assert np.abs(frame.rgb.astype(int) - corner((frame.width_px, frame.height_px))).mean() < 8


def test_live_a_clip_has_one_size_and_is_not_stretched(tmp_path: Path) -> None:
    clip = Clip(changing(tmp_path / "turned.webm", [plain(LIGHT, (160, 96)), plain(LIGHT, (48, 96))]))
    try:
        frames = [clip.read() for _ in range(6)]
    finally:
        clip.close()
    assert {frame.rgb.shape for frame in frames} == {(96, 160, 3)}
    light = frames[-1].rgb.mean(axis=(0, 2)) > 100  # columns
    assert light[58:102].all() and not light[:54].any() and not light[106:].any()


def stills(count: int = 4) -> list[Image.Image]:
    return [Image.fromarray(plain(60 + 40 * number, (64, 48))) for number in range(count)]


def save_animation(path: Path, **options: Any) -> Path:
    first, *others = stills()
    first.save(path, save_all=True, append_images=others, **options)
    return path


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif", "a.avif"])
def test_an_animated_image_drives(tmp_path: Path, name: str) -> None:
    path = save_animation(tmp_path / name, duration=[100, 300, 50, 200])
    with open_driving(path) as clip:
        for _ in range(2):
            frames = list(clip)
            assert times_ms(frames) == [0, 100, 400, 450] and clip.end_s == pytest.approx(0.65)
            assert np.allclose([frame.rgb.mean() for frame in frames], [60, 100, 140, 180], atol=6)
            if not clip.rewind():
                break


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif", "a.avif"])
def test_live_an_animated_image_moves_and_a_still_stands(tmp_path: Path, name: str) -> None:
    save_animation(tmp_path / name, duration=20)
    still = tmp_path / f"still{name[1:]}"
    stills()[0].save(still)
    with Image.open(tmp_path / name) as picture:
        assert picture.n_frames == 4  # type: ignore[attr-defined]
    for path, kind in ((tmp_path / name, Clip), (still, Still)):
        source = open_source(str(path))
        try:
            assert isinstance(source, kind)
            assert len({round(float(source.read().rgb.mean()) / 20) for _ in range(4)}) == (4 if kind is Clip else 1)
        finally:
            source.close()


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.png"])
@pytest.mark.parametrize(("given_ms", "shown_ms"), [(0, 100), (10, 100), (20, 20), (40, 40)])
def test_short_delays_are_those_of_browsers(tmp_path: Path, name: str, given_ms: int, shown_ms: int) -> None:
    frames = read(save_animation(tmp_path / name, duration=given_ms))
    assert times_ms(frames) == [shown_ms * number for number in range(4)]


@pytest.mark.parametrize("note", ["long", "many"])
def test_an_animation_chunk_behind_notes_is_found(tmp_path: Path, note: str) -> None:
    notes = PngImagePlugin.PngInfo()
    for number in range(1 if note == "long" else 60):
        notes.add_itxt(f"XML:com.adobe.xmp{number}", "x" * (200_000 if note == "long" else 900))
    path = save_animation(tmp_path / "noted.png", duration=100, pnginfo=notes)
    data = path.read_bytes()
    assert data.index(b"acTL") > 40_000
    assert animation_format(path) == "PNG" and times_ms(read(path)) == [0, 100, 200, 300]


def test_a_picture_for_those_who_know_no_animations_is_no_frame(tmp_path: Path) -> None:
    """An animated PNG may hold one more picture, for programs that show stills only."""
    first, *others = stills()
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 48), "white").save(
        path, save_all=True, append_images=[first, *others], default_image=True, duration=100
    )
    frames = read(path)
    assert np.allclose([frame.rgb.mean() for frame in frames], [60, 100, 140, 180], atol=2)
    assert times_ms(frames) == [0, 100, 200, 300]


def test_transparent_parts_of_an_animation_lie_on_grey(tmp_path: Path) -> None:
    clear = [Image.new("RGBA", (32, 32), (200, 40, 60, 0)), Image.new("RGBA", (32, 32), (200, 40, 60, 255))]
    clear[0].save(tmp_path / "a.webp", save_all=True, append_images=clear[1:], duration=100, lossless=True)
    frames = read(tmp_path / "a.webp")
    assert [frame.rgb[9, 9].tolist() for frame in frames] == [[128, 128, 128], [200, 40, 60]]


def test_an_animation_cut_short_gives_what_it_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    first, *others = (Image.fromarray(picture) for picture in noise)
    path = tmp_path / "a.png"
    first.save(path, save_all=True, append_images=others, duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with caplog.at_level(logging.WARNING):
        assert 3 <= len(read(path)) < 8
    assert "damaged" in caplog.text
    (tmp_path / "b.png").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(VideoError):
        read(tmp_path / "b.png")


def test_pages_of_a_tiff_are_no_animation(tmp_path: Path) -> None:
    path = tmp_path / "scan.tiff"
    first, *others = stills()
    first.save(path, save_all=True, append_images=others)
    assert animation_format(path) == ""
    source = open_source(str(path))
    source.close()
    assert isinstance(source, Still)


def test_an_animation_is_turned_by_its_exif(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(corner())
    others = [Image.fromarray(255 - corner())]
    picture.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=100, exif=exif)
    with open_driving(tmp_path / "a.webp") as clip:
        assert isinstance(clip, AnimatedImage) and (clip.facts.width_px, clip.facts.height_px) == (64, 96)
        assert dark_corner(next(iter(clip)).rgb) == "upper right, standing"
