"""Files that play as a camera, and the resolution of source names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import make_clip, plain
from PIL import Image

from avatar.errors import CameraError, ImageError, UsageError, VideoError
from avatar.images.load import save_png
from avatar.sources import open as opening
from avatar.sources import playback
from avatar.sources.base import FrameSource
from avatar.sources.camera_list import CameraInfo
from avatar.sources.open import find_camera, open_source
from avatar.sources.playback import Clip, Still
from avatar.sources.video import open_driving


@pytest.fixture
def opened() -> Iterator[Callable[[FrameSource], FrameSource]]:
    """Closes what a test opens, twice."""
    sources: list[FrameSource] = []
    yield lambda source: sources.append(source) or source
    for source in sources + sources:
        source.close()


def levels(source: FrameSource, count: int) -> list[int]:
    return [round(float(source.read().rgb.mean())) for _ in range(count)]


def test_a_clip_loops_and_counts_on(tmp_path: Path, opened: Callable[[FrameSource], FrameSource]) -> None:
    path = make_clip(tmp_path / "clip.mp4", [plain(40), plain(120), plain(200)], rate=100)
    clip = opened(Clip(path))
    assert (clip.name, clip.facts.width_px, clip.facts.height_px, clip.facts.rate) == ("clip.mp4", 64, 48, 100)
    frames = [clip.read() for _ in range(8)]
    assert np.allclose([frame.rgb.mean() for frame in frames], [40, 120, 200, 40, 120, 200, 40, 120], atol=3)
    assert [frame.sequence for frame in frames] == list(range(8))


def test_a_clip_that_loops_is_opened_once(
    tmp_path: Path, opened: Callable[[FrameSource], FrameSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = opened(Clip(make_clip(tmp_path / "clip.mp4", [plain(40), plain(120)], rate=100)))
    monkeypatch.setattr(playback, "open_driving", lambda path: pytest.fail("each opening leaves buffers behind"))
    assert len(levels(clip, 12)) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov", ".gif"])
def test_a_rewound_video_begins_as_it_began(suffix: str, tmp_path: Path) -> None:
    coded: dict[str, Any] = {"codec": "gif", "pix_fmt": "rgb8"} if suffix == ".gif" else {}
    path = make_clip(tmp_path / f"clip{suffix}", [plain(level) for level in (40, 120, 200)], **coded)
    with open_driving(path) as video:
        first = [(frame.captured_ns, float(frame.rgb.mean())) for frame in video]
        for _ in range(2):
            if not video.rewind():  # then it is opened afresh
                assert suffix == ".gif"
                return
            assert [(frame.captured_ns, float(frame.rgb.mean())) for frame in video] == first


def test_a_clip_keeps_its_own_pace_over_its_end(tmp_path: Path, opened: Callable[[FrameSource], FrameSource]) -> None:
    """Nothing comes early; how late it comes is the machine's affair."""
    clip = opened(Clip(make_clip(tmp_path / "clip.mp4", [plain(90)] * 4, rate=20)))
    times_s = np.array([clip.read().captured_ns for _ in range(9)]) * 1e-9
    assert (times_s - times_s[0] >= np.arange(9) / 20 - 0.002).all()
    assert abs(clip.read().captured_ns - time.monotonic_ns()) < 1e9


def test_a_reader_that_was_away_finds_no_crowd_of_old_frames(
    tmp_path: Path, opened: Callable[[FrameSource], FrameSource]
) -> None:
    clip = opened(Clip(make_clip(tmp_path / "clip.mp4", [plain(90)] * 4, rate=50)))
    clip.read()
    time.sleep(0.5)  # 25 pictures
    times_s = np.array([clip.read().captured_ns for _ in range(4)]) * 1e-9
    assert times_s[-1] - times_s[0] >= 0.058, "the clock was moved on rather than hurried after"


def test_a_folder_plays_as_a_clip_does(tmp_path: Path, opened: Callable[[FrameSource], FrameSource]) -> None:
    for number, level in enumerate((10, 60, 110)):
        save_png(tmp_path / f"{number}.png", plain(level))
    assert levels(opened(open_source(str(tmp_path))), 4) == [10, 60, 110, 10]


def test_a_still_is_sent_again_and_again(tmp_path: Path, opened: Callable[[FrameSource], FrameSource]) -> None:
    save_png(tmp_path / "me.png", plain(77))
    still = opened(open_source(str(tmp_path / "me.png")))
    frames = [still.read() for _ in range(3)]
    assert isinstance(still, Still) and [frame.sequence for frame in frames] == [0, 1, 2]
    assert frames[2].captured_ns - frames[0].captured_ns >= 190_000_000
    assert np.array_equal(frames[2].rgb, plain(77))


def test_a_gif_moves_where_it_can(tmp_path: Path, opened: Callable[[FrameSource], FrameSource]) -> None:
    pictures = [Image.fromarray(plain(level)) for level in (20, 220)]
    pictures[0].save(tmp_path / "two.gif", save_all=True, append_images=pictures[1:], duration=20)
    pictures[0].save(tmp_path / "one.gif")
    assert isinstance(opened(open_source(str(tmp_path / "two.gif"))), Clip)
    assert isinstance(opened(open_source(str(tmp_path / "one.gif"))), Still)


@pytest.mark.parametrize("name", ["clip.mp4", "me.png"])
def test_interrupting_ends_a_wait_at_once(
    tmp_path: Path, name: str, opened: Callable[[FrameSource], FrameSource]
) -> None:
    path = tmp_path / name
    if name == "clip.mp4":
        make_clip(path, [plain(1), plain(2)], ticks=[0, 60_000])
    else:
        save_png(path, plain(1))
    source, ended = opened(open_source(str(path))), threading.Event()

    def read_on() -> None:
        with pytest.raises(CameraError, match="was closed"):
            while True:
                source.read()
        ended.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    source.interrupt()
    reader.join(5)
    assert ended.is_set()


def test_a_clip_that_is_deleted_and_must_be_opened_again_ends_after_its_round(
    tmp_path: Path, opened: Callable[[FrameSource], FrameSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "clip.mp4", [plain(40), plain(120)], rate=100)
    clip = Clip(path)
    opened(clip)
    assert np.allclose(levels(clip, 2), [40, 120], atol=3)
    path.unlink()
    monkeypatch.setattr(clip._clip, "rewind", lambda: False)  # as files do that cannot be sought in
    with pytest.raises(CameraError, match="no video"):
        clip.read()


def test_files_that_cannot_be_used_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    (tmp_path / "no.png").write_bytes(b"nothing")
    with pytest.raises(VideoError):
        open_source(str(tmp_path / "no.mp4"))
    with pytest.raises(ImageError):
        open_source(str(tmp_path / "no.png"))
    with pytest.raises(UsageError):
        open_source("idle")


TWO = (
    CameraInfo("usb-046d_C920-video-index0", "HD Pro Webcam C920", 2),
    CameraInfo("usb-5986_Integrated-video-index0", "Integrated Camera", 0),
    CameraInfo("video4", "Integrated Camera (2)", 4),
)


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        ("2", 2), ("/dev/video0", 0), ("usb-046d_C920-video-index0", 2), ("HD Pro Webcam C920", 2),
        ("integrated camera", 0), ("c920", 2), ("(2)", 4), ("9", 9),
    ],
)  # fmt: skip
def test_a_camera_is_found_by_number_id_name_or_part_of_it(spec: str, index: int) -> None:
    assert find_camera(spec, TWO).index == index


@pytest.mark.parametrize(
    ("spec", "what", "remedy"),
    [
        ("Integrated", "Several", "in full"),
        ("Logi", "no camera and no file", "HD Pro Webcam C920"),
        ("", "no camera", ""),
    ],
)
def test_a_name_that_fits_none_or_several_is_told_with_those_there_are(spec: str, what: str, remedy: str) -> None:
    with pytest.raises(CameraError, match=what) as caught:
        find_camera(spec, TWO)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("spec", ["my cam", "", "~nobody-of-that-name/x", "long" * 200, "null\0"])
def test_without_cameras_it_says_so(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    monkeypatch.setattr(opening, "list_cameras", tuple)
    with pytest.raises(CameraError, match="no camera and no file") as caught:
        open_source(spec)
    assert "No camera is plugged in" in caught.value.remedy
