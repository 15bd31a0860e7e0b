from __future__ import annotations

import logging
import os
import re
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_clip, make_sound, plain
from PIL import Image

from avatar.errors import ImageError, VideoError
from avatar.frames import Frame, RgbImage
from avatar.sources import animated_image, video
from avatar.sources.image_folder import natural_key
from avatar.sources.pixels import Orientation, orientation_of
from avatar.sources.video import open_driving

BT601, BT709 = 6, 1  # AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT709
PQ, BT2020, BT2020_NCL = 16, 9, 9
COLOURS = ((200, 40, 60), (30, 160, 70), (40, 60, 190), (235, 235, 235), (20, 20, 20), (128, 128, 128))


def read(path: Path) -> list[Frame]:
    with open_driving(path) as clip:
        return list(clip)


def times_ms(frames: list[Frame]) -> list[int]:
    return [round(frame.captured_ns / 1e6) for frame in frames]


def refusal(path: Path) -> VideoError:
    with pytest.raises(VideoError) as caught:
        read(path)
    assert caught.value.remedy, "an error without a remedy"
    return caught.value


def corners(size: tuple[int, int] = (96, 64)) -> RgbImage:
    """Four differently coloured quarters."""
    width, height = size
    picture = plain((200, 40, 60), size)
    picture[: height // 2, width // 2 :] = (40, 60, 190)
    picture[height // 2 :, : width // 2] = (30, 160, 70)
    picture[height // 2 :, width // 2 :] = (235, 235, 235)
    return picture


def test_a_text_that_is_named_like_a_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "text.png"
    path.write_text("hello")
    assert refusal(path).what == "text.png is not a video in a supported format."


def test_facts_and_times_of_an_ordinary_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", rate=30, sound="aac")
    with open_driving(path) as clip:
        facts = clip.facts
        assert (facts.width_px, facts.height_px, facts.rate, facts.frames_estimate) == (64, 48, Fraction(30), 12)
        assert facts.has_audio and facts.duration_s == pytest.approx(0.4, abs=0.001)
        frames = list(clip)
        assert clip.end_s == pytest.approx(0.4, abs=0.001)
    assert [frame.sequence for frame in frames] == list(range(12))
    assert times_ms(frames) == [round(n * 1000 / 30) for n in range(12)]
    assert [frame.rgb.mean() for frame in frames] == sorted(frame.rgb.mean() for frame in frames)


def test_a_variable_frame_rate_is_kept(tmp_path: Path) -> None:
    ticks = [0, 40, 50, 60, 200, 230, 700]
    frames = read(make_clip(tmp_path / "phone.mp4", [plain(100 + n) for n in range(7)], ticks=ticks))
    assert times_ms(frames) == ticks


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_phone_held_any_way(tmp_path: Path, degrees: int) -> None:
    upright = corners()
    stored = np.rot90(upright, -degrees // 90)  # the file then says: turn counter-clockwise by `degrees`
    path = make_clip(tmp_path / "p.mp4", [np.ascontiguousarray(stored)] * 3, rotation=degrees)
    with open_driving(path) as clip:
        assert (clip.facts.width_px, clip.facts.height_px) == (96, 64)
        rgb = next(iter(clip)).rgb
    away = np.abs(rgb.astype(int) - upright)
    assert np.median(away) <= 6, "the quarters are elsewhere"


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_x", [1, -1])
@pytest.mark.parametrize("flip_y", [1, -1])
def test_every_display_matrix(transpose: bool, flip_x: int, flip_y: int) -> None:
    one = 1 << 16
    matrix = [0, flip_y * one, 0, flip_x * one, 0, 0] if transpose else [flip_x * one, 0, 0, 0, flip_y * one, 0]
    turned = orientation_of((*matrix, 0, 0, 1 << 30)).apply(corners())
    expected = corners().transpose(1, 0, 2) if transpose else corners()
    assert np.array_equal(turned, expected[::flip_y, ::flip_x])


def test_an_upright_picture_is_not_copied() -> None:
    picture = corners()
    assert Orientation().apply(picture) is picture


def test_odd_sizes(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "odd.mkv", [plain((200, 40, 60), (61, 37))] * 3, codec="ffv1", pix_fmt="yuv444p")
    assert read(path)[0].rgb.shape == (37, 61, 3)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv420p10le", "yuv444p", "bgr0"])
@pytest.mark.parametrize("space", [BT601, BT709])
def test_colours_come_out_as_they_went_in(tmp_path: Path, pix_fmt: str, space: int) -> None:
    """The maker converts by the matrix that it names in the file; a reader that ignores it is off by up to 30."""
    import av

    path = tmp_path / "c.mkv"
    pictures = [plain(colour) for colour in COLOURS]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        if pix_fmt != "bgr0":
            stream.codec_context.colorspace, stream.codec_context.color_range = space, 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if pix_fmt != "bgr0":
                frame = frame.reformat(format=pix_fmt, dst_colorspace=5 if space == BT601 else 1, dst_color_range=1)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    for frame, colour in zip(read(path), COLOURS, strict=True):
        assert np.abs(frame.rgb.mean(axis=(0, 1)) - colour).max() < 4, colour


def test_high_dynamic_range_is_brought_down(tmp_path: Path) -> None:
    """Paper white is 58 % of the PQ scale: shown as it is stored it would be a dull grey."""
    import av

    code = 64 + round(876 * 0.58)
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries = PQ, BT2020
        context.colorspace, context.color_range = BT2020_NCL, 1
        for number in range(2):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            for plane, value in zip(frame.planes, (code, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    shown = read(path)[0].rgb
    assert shown.min() > 225, f"white came out as {shown.mean():.0f}"


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "dv.mp4", [corners((72, 58))] * 3, tags={"sample_aspect_ratio": Fraction(16, 11)})
    with open_driving(path) as clip:
        assert clip.facts.width_px == round(72 * 16 / 11)
        assert next(iter(clip)).rgb.shape == (58, round(72 * 16 / 11), 3)


def test_a_stream_that_does_not_start_at_zero(tmp_path: Path) -> None:
    """A transport stream starts at 1.4 s or at any hour of a broadcast: times count from the file's start."""
    path = make_clip(tmp_path / "tv.ts", sound="aac", container_options={"output_ts_offset": "3600"})
    with open_driving(path) as clip:
        assert clip.facts.origin_s > 3599
        frames = list(clip)
    assert 0 <= frames[0].captured_ns < 0.1e9
    assert np.allclose(np.diff([frame.captured_ns for frame in frames]), 40e6, atol=20_000)


def test_a_gif_keeps_its_pauses(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 16), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=[100, 300, 50])
    with open_driving(tmp_path / "a.gif") as clip:
        read_frames = list(clip)
        assert times_ms(read_frames) == [0, 100, 400] and clip.end_s == pytest.approx(0.45)
    assert read_frames[2].rgb[8, 10].tolist() == [0, 0, 255]


def test_a_broken_packet_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    options = {"movflags": "faststart"}
    path = make_clip(tmp_path / "a.mp4", list(noise), codec_options={"bf": "0"}, container_options=options)
    data = bytearray(path.read_bytes())
    data[-len(data) // 4 :] = b"\x55" * (len(data) // 4)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "avatar.sources.video"):
        frames = read(path)
    assert 10 <= len(frames) < 20
    assert "a.mp4" in caplog.text and caplog.text.count("left out") == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv", "a.avi", "a.ts"])
def test_a_file_cut_short_gives_what_it_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    options = {"movflags": "faststart"} if name == "a.mp4" else None
    path = make_clip(tmp_path / name, list(noise), container_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with caplog.at_level(logging.WARNING, "avatar.sources.video"):
        assert 8 <= len(read(path)) < 30
    if name == "a.mp4":  # the others do not say how many frames they should hold
        assert "of 30 frames" in caplog.text or "damaged" in caplog.text
    if name in ("a.mkv", "a.flv"):  # but these how long they should last
        assert re.search(r"of 1\.[23] s", caplog.text) and caplog.text.count(name) == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.gif"])
def test_losses_are_told_once_in_a_loop(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    path = tmp_path / name
    if name == "a.gif":
        first, *rest = map(Image.fromarray, noise)
        first.save(path, save_all=True, append_images=rest, duration=50)
    else:
        options = {"movflags": "faststart"} if name == "a.mp4" else None
        make_clip(path, list(noise), container_options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with caplog.at_level(logging.WARNING, "avatar.sources"), open_driving(path) as clip:
        rounds = []
        for _ in range(3):
            rounds.append(len(list(clip)))
            assert clip.rewind()
    assert len(set(rounds)) == 1 and caplog.text.count(name) == 1, caplog.text


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
@pytest.mark.parametrize("sound_s", [None, 0.4, 3.0])
def test_a_sound_clip_is_not_called_cut_short(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, sound_s: float | None
) -> None:
    sound = "aac" if sound_s else None
    path = make_clip(tmp_path / name, [np.full((48, 64, 3), 9, np.uint8)] * 30, sound=sound, sound_s=sound_s)
    with caplog.at_level(logging.WARNING, "avatar.sources.video"):
        assert len(read(path)) == 30
    assert not caplog.text


def test_an_mp4_without_its_index(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[:-400])
    assert "index" in refusal(path).what


@pytest.mark.parametrize("name", ["a.mp4", "a.txt", "a.webm"])
def test_a_text_is_no_video(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Dear diary,\n" * 300)
    assert name in refusal(tmp_path / name).what


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    assert "a.m3u8" in refusal(tmp_path / "a.m3u8").what


def test_empty_missing_and_odd_paths(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    assert "0 bytes" in refusal(tmp_path / "a.mp4").what
    assert "no video" in refusal(tmp_path / "nowhere.mp4").what


def test_a_single_picture_is_refused(tmp_path: Path) -> None:
    assert "nothing moves" in refusal(make_clip(tmp_path / "one.mp4", [plain(90)])).what
    Image.new("RGB", (20, 20)).save(tmp_path / "still.png")
    assert "nothing moves" in refusal(tmp_path / "still.png").what


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    assert "sound but no moving pictures" in refusal(make_sound(tmp_path / "song.m4a")).what


def test_names_with_a_colon_and_other_alphabets(tmp_path: Path) -> None:
    try:
        path = make_clip(tmp_path / "tmp.mp4").rename(tmp_path / "data:ключ 顔.mp4")
    except OSError:
        pytest.skip("this file system has no such names")
    assert len(read(path)) == 12


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "long.mp4", [plain(n, (320, 240)) for n in range(200)])
    with open_driving(path) as clip:
        frames = iter(clip)
        next(frames)
        tracemalloc.start()
        try:
            for frame in frames:
                assert frame.rgb.size == 320 * 240 * 3
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 8 * 320 * 240 * 3


def test_closing_early_and_twice(tmp_path: Path) -> None:
    clip = open_driving(make_clip(tmp_path / "a.mp4"))
    next(iter(clip))
    clip.close()
    clip.close()


def pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.new("RGB", (20, 16), (number * 10,) * 3).save(folder / name)
    return folder


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "f", ["frame10.png", "frame2.png", "Frame1.png"])
    (folder / "notes.txt").write_text("not a frame")
    (folder / ".hidden.png").write_bytes(b"not a frame")
    with open_driving(folder) as clip:
        frames = list(clip)
        assert (clip.facts.rate, clip.facts.frames_estimate, clip.end_s) == (Fraction(25), 3, 0.12)
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [20, 10, 0]
    assert times_ms(frames) == [0, 40, 80]
    assert times_ms(list(open_driving(folder, folder_rate=Fraction(10)))) == [0, 100, 200]


def test_natural_order_takes_any_name() -> None:
    names = ["7", "a", "a10b2", "a2", "²", "", "07"]
    assert sorted(names, key=natural_key) == ["", "07", "7", "a", "a2", "a10b2", "²"]


def test_pictures_of_different_sizes(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "f", ["1.png", "2.png"])
    Image.new("RGB", (21, 16)).save(folder / "3.png")
    assert refusal(folder).what.startswith("3.png is 21 x 16")


def test_a_damaged_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "f", ["1.png", "2.png"])
    (folder / "3.png").write_text("no")
    with pytest.raises(ImageError, match=r"3\.png"):
        read(folder)


@pytest.mark.parametrize("names", [[], ["1.png"]])
def test_folders_without_motion(tmp_path: Path, names: list[str]) -> None:
    assert "motion needs several" in refusal(pictures(tmp_path / "f", names)).what


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.gif", "clip.avi"])
def test_a_size_over_the_budget_is_refused_before_anything_is_decoded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [plain(level, (96, 64)) for level in (40, 80, 120)]
    as_gif: dict[str, Any] = {"codec": "gif", "pix_fmt": "rgb8"} if name.endswith(".gif") else {}
    path = make_clip(tmp_path / name, pictures, **as_gif)
    for module in (video, animated_image):
        monkeypatch.setattr(module, "MAX_CLIP_PIXELS", 96 * 64)
    assert len(read(path)) == 3
    for module in (video, animated_image):
        monkeypatch.setattr(module, "MAX_CLIP_PIXELS", 96 * 64 - 1)
    monkeypatch.setattr(animated_image.AnimatedImage, "__iter__", lambda self: pytest.fail("it was decoded"))
    monkeypatch.setattr(video.VideoFile, "_decode", lambda self: pytest.fail("it was decoded"))
    assert "megapixels" in refusal(path).what


def test_oblong_pixels_count_as_they_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [plain(level, (96, 64)) for level in (40, 80)]
    path = make_clip(tmp_path / "clip.mkv", pictures, tags={"sample_aspect_ratio": Fraction(4)})
    assert read(path)[0].width_px == 4 * 96
    monkeypatch.setattr(video, "MAX_CLIP_PIXELS", 2 * 96 * 64)
    assert "384 x 64 pixels" in refusal(path).what


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_pipe_is_refused_and_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    assert "is not a file" in refusal(tmp_path / name).what


def test_a_clip_that_may_not_be_read_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4", [plain(level) for level in (40, 80)])

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("avatar.sources.probe.check_sample_counts", denied)
    monkeypatch.setattr("av.open", denied)
    assert "may not be read" in refusal(path).what
