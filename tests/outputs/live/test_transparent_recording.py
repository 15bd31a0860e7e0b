"""Recordings with transparency: WebM and folders of PNG pictures, read back by decoders of other programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fakes import plain
from places import ROOT
from recordings import PERIOD_NS, START_NS, FakeMicrophone, clap_time_s, playable, small_disk, sound

from avatar.cv import cv2
from avatar.errors import OutputError, UsageError
from avatar.frames import Frame, RgbImage
from avatar.outputs.live.encoder import EncoderPool
from avatar.outputs.live.png_recorder import PngRecorder
from avatar.outputs.live.recorder import Recorder, open_recording
from avatar.outputs.live.replay import ReplayRing
from avatar.outputs.yuv import straight_rgba

SIZE = (160, 90)
GREY = 180


def person(number: int, level: int = GREY, size: tuple[int, int] = SIZE) -> Frame:
    """A disk of one grey with a soft edge, premultiplied, over nothing."""
    alpha = np.zeros(size[::-1], np.uint8)
    cv2.circle(alpha, (size[0] // 2, size[1] // 2), size[1] // 3, 255, -1)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 2))
    rgb = (plain(level, size) * (alpha[..., None] / 255)).round().astype(np.uint8)
    return Frame(rgb, number, START_NS + round(number * PERIOD_NS), alpha=alpha)


def decoded(path: Path) -> list[tuple[float, RgbImage]]:
    """(time in s, (H, W, 4)) of every frame, with libvpx's decoder, which reads the alpha."""
    found = []
    with av.open(str(path)) as file:
        context: Any = av.CodecContext.create("libvpx-vp9", "r")
        context.pix_fmt = "yuva420p"
        for packet in file.demux(video=0):
            if packet.size:
                time_s = float(packet.pts * packet.time_base)
                found += [(time_s, each.to_ndarray(format="rgba")) for each in context.decode(packet)]
    return found


def rgba_of(path: Path) -> RgbImage:
    """(H, W, 4) of a picture."""
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)), cv2.COLOR_BGRA2RGBA))


def levels(path: Path) -> list[float]:
    """Brightness in the middle of every frame of a film or a folder."""
    if path.is_dir():
        names = sorted(each for each in path.iterdir() if each.suffix == ".png")
        assert [each.name for each in names] == [f"{number:06d}.png" for number in range(len(names))]
        return [round(float(rgba_of(each)[45, 80, 0])) for each in names]
    return [round(float(image[45, 80, 0])) for _, image in decoded(path)]


@pytest.mark.parametrize("name", ["show.webm", "frames"])
def test_the_corner_is_transparent_the_person_opaque_and_the_edge_not_dark(tmp_path: Path, name: str) -> None:
    recorder = open_recording(tmp_path / name, SIZE)
    for number in range(45):
        recorder.send(person(number))
    recorder.close()
    if name == "frames":
        assert isinstance(recorder, PngRecorder) and len(levels(tmp_path / name)) == 45
        image = rgba_of(tmp_path / name / "000044.png")
    else:
        times_s = [time_s for time_s, _ in decoded(tmp_path / name)]
        assert np.allclose(times_s, np.arange(45) / 30, atol=0.001)  # WebM counts milliseconds
        with av.open(str(tmp_path / name)) as file:
            assert file.streams.video[0].average_rate == 30 and file.duration == pytest.approx(1.5e6, abs=2000)
            assert "Masque" in file.metadata["COMMENT"]
        image = decoded(tmp_path / name)[-1][1]
    alpha, expected = image[..., 3].astype(int), person(0).alpha
    assert expected is not None
    assert alpha[0, 0] <= 2 and alpha[45, 80] >= 253 and np.abs(alpha - expected).mean() < 2
    edge = (expected > 100) & (expected < 200)
    assert np.abs(image[..., :3][edge].astype(int).mean() - GREY) < 10  # straight: no black in it
    assert np.abs(image[45, 80, :3].astype(int) - GREY).max() < 5


def test_another_program_lays_the_film_over_red(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg")
    recorder = Recorder(tmp_path / "show.webm", SIZE)
    for number in range(10):
        recorder.send(person(number))
    recorder.close()
    over = tmp_path / "over.png"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:s=160x90", "-c:v", "libvpx-vp9"]
    command += ["-i", str(tmp_path / "show.webm"), "-filter_complex", "overlay=format=rgb", "-frames:v", "1", str(over)]
    subprocess.run(command, check=True, timeout=60)
    image = np.asarray(cv2.imread(str(over)))
    assert image[2, 2].tolist() == pytest.approx([0, 0, 254], abs=6)
    assert image[45, 80].tolist() == pytest.approx([GREY] * 3, abs=6)


def test_a_frame_without_alpha_is_opaque_there_too(tmp_path: Path) -> None:
    """The camera's picture, an avatar without a face, another background chosen meanwhile."""
    recorder = Recorder(tmp_path / "show.webm", SIZE)
    for number in range(4):
        frame = person(number) if number % 2 else Frame(plain(90, SIZE), number, person(number).captured_ns)
        recorder.send(frame)
    recorder.close()
    corners = [int(image[0, 0, 3]) for _, image in decoded(tmp_path / "show.webm")]
    assert corners == pytest.approx([255, 0, 255, 0], abs=3)


def test_sound_and_picture_of_one_moment_stay_together(tmp_path: Path) -> None:
    microphone = FakeMicrophone(1.0)
    recorder = Recorder(tmp_path / "show.webm", SIZE, microphone=lambda: microphone)
    for number in range(75):
        microphone.heard_until_s = number / 30 + 0.15
        recorder.send(person(number, 230 if number == 30 else 60))
    recorder.close()
    time_s, _ = max(decoded(tmp_path / "show.webm"), key=lambda each: int(each[1][45, 80, 0]))
    with av.open(str(tmp_path / "show.webm")) as file:
        audio = file.streams.audio[0]
        begins_s = float((audio.start_time or 0) * (audio.time_base or 0))  # Opus begins before 0; decoders skip it
        assert audio.codec_context.name in ("opus", "libopus") and -0.01 <= begins_s <= 0
    samples = sound(tmp_path / "show.webm")
    assert time_s == pytest.approx(1.0, abs=0.001) and clap_time_s(samples) == pytest.approx(1.0, abs=0.02)
    assert samples.shape[-1] / 48_000 == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize(("name", "expected"), [("show.webm", 4), ("frames", 13)])
def test_a_gap_keeps_the_time(tmp_path: Path, name: str, expected: int) -> None:
    """WebM shows the frame before it for longer; a folder has no times, so that picture is there again."""
    recorder = open_recording(tmp_path / name, SIZE)
    for number in (0, 1, 11, 12):
        recorder.send(person(number, 60 if number < 2 else 200))
    recorder.close()
    found = levels(tmp_path / name)
    assert len(found) == expected and found[:2] == pytest.approx([60, 60], abs=4)
    assert found[-2:] == pytest.approx([200, 200], abs=4)
    if name == "frames":
        assert found[2:11] == pytest.approx([60] * 9, abs=2)
    else:
        assert decoded(tmp_path / name)[2][0] == pytest.approx(11 / 30, abs=0.001)


def test_frames_that_come_too_fast_are_dropped(tmp_path: Path) -> None:
    recorder = open_recording(tmp_path / "frames", SIZE)
    for number in range(60):
        recorder.send(replace(person(number), captured_ns=START_NS + round(number * PERIOD_NS / 2)))
    recorder.close()
    assert len(levels(tmp_path / "frames")) == pytest.approx(30, abs=1)


@pytest.mark.parametrize("name", ["show.webm", "frames"])
def test_the_camera_is_not_shown_over_a_gap_after_which_it_was_forbidden(tmp_path: Path, name: str) -> None:
    """Nothing is repeated in WebM, so that a camera frame would stay until the next one."""
    recorder = open_recording(tmp_path / name, SIZE)
    recorder.send(person(0, 60))
    camera = Frame(plain(250, SIZE), 1, START_NS + round(PERIOD_NS), passed_through=True, passage=1)
    recorder.send(camera)
    recorder.send(person(10, 60))
    recorder.close()
    found = levels(tmp_path / name)
    assert found[:3] == pytest.approx([60, 250, 60], abs=5) and max(found[2:]) < 70
    if name == "show.webm":
        assert decoded(tmp_path / name)[2][0] == pytest.approx(2 / 30, abs=0.001)


def test_a_replay_beside_it_stays_opaque_and_has_its_own_stream(tmp_path: Path) -> None:
    pool = EncoderPool()
    ring, recorder = ReplayRing(SIZE, encoders=pool), Recorder(tmp_path / "show.webm", SIZE, encoders=pool)
    for number in range(1, 40):
        for output in (ring, recorder):
            output.send(replace(person(number), published=number))
    ring.save(tmp_path / "again.mp4")
    recorder.close()
    ring.close()
    assert len(levels(tmp_path / "show.webm")) == 39
    with av.open(str(tmp_path / "again.mp4")) as file:
        assert file.streams.video[0].codec_context.name == "h264"


KILLED = """
import os, signal, sys
sys.path[:0] = ["tests/outputs/live", "tests/support"]
from pathlib import Path
from test_transparent_recording import SIZE, FakeMicrophone, open_recording, person
recorder = open_recording(Path(sys.argv[1]), SIZE, microphone=FakeMicrophone if sys.argv[3] else None)
for number in range(int(sys.argv[2])):
    recorder.send(person(number, 20 + number))
os.kill(os.getpid(), signal.SIGKILL)
"""


def record_and_be_killed(path: Path, frames: int, with_sound: str = "") -> None:
    command = [sys.executable, "-c", KILLED, str(path), str(frames), with_sound]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
@pytest.mark.parametrize(("name", "with_sound"), [("show.webm", ""), ("show.webm", "sound"), ("frames", "")])
def test_a_killed_recording_can_be_played_up_to_its_last_second(tmp_path: Path, name: str, with_sound: str) -> None:
    record_and_be_killed(tmp_path / name, 165, with_sound)
    found = levels(tmp_path / name)
    assert len(found) >= (165 if name == "frames" else 165 - 31 - 5)
    assert np.allclose(found, np.arange(len(found)) + 20, atol=4)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    if name != "frames":
        assert playable(tmp_path / name) == len(found)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
@pytest.mark.parametrize("name", ["show.webm", "frames"])
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 20])
def test_a_recording_killed_in_its_first_second_leaves_the_older_one_or_one_that_plays(
    tmp_path: Path, name: str, frames: int
) -> None:
    older = open_recording(tmp_path / name, SIZE)
    for number in range(3):
        older.send(person(number, 220))
    older.close()
    record_and_be_killed(tmp_path / name, frames)
    found = levels(tmp_path / name)
    assert found and (max(found) < 60 or found == pytest.approx([220] * 3, abs=4))
    open_recording(tmp_path / name, SIZE).close()  # its claim ended with it


def noise(number: int) -> Frame:
    rng = np.random.default_rng(number)
    rgb = rng.integers(0, 256, (360, 640, 3), np.uint8)
    return Frame(rgb, number, START_NS + round(number * PERIOD_NS), alpha=np.full((360, 640), 255, np.uint8))


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
@pytest.mark.parametrize(("name", "said"), [("show.webm", "can be played"), ("frames", "pictures up to there")])
def test_a_full_disk_ends_the_recording_and_keeps_what_there_is(tmp_path: Path, name: str, said: str) -> None:
    with small_disk(tmp_path / "disk", "8m") as disk:
        recorder = open_recording(disk / name, (640, 360))
        with pytest.raises(OutputError, match="disk is full") as caught:
            for number in range(300):
                recorder.send(noise(number))
        assert said in caught.value.remedy
        with pytest.raises(OutputError, match="has ended"):
            recorder.send(noise(300))
        recorder.close()
        if name == "frames":
            assert all(cv2.imread(str(each)) is not None for each in (disk / name).iterdir())
            assert len(list((disk / name).iterdir())) >= 5
        else:
            assert playable(disk / name) >= 20


@pytest.mark.parametrize("name", ["show.webm", "frames"])
def test_nothing_sent_leaves_nothing_and_an_older_one_alone(tmp_path: Path, name: str) -> None:
    open_recording(tmp_path / name, SIZE).close()
    assert list(tmp_path.iterdir()) == []
    recorder = open_recording(tmp_path / name, SIZE)
    recorder.send(person(0))
    recorder.close()
    open_recording(tmp_path / name, SIZE).close()
    assert len(levels(tmp_path / name)) == 1


def other_things(folder: Path) -> Path:
    (folder / "holiday").mkdir()
    (folder / "holiday" / "beach.jpg").touch()
    return folder / "holiday"


def a_file(folder: Path) -> Path:
    (folder / "notes").write_text("x")
    return folder / "notes"


def a_folder(folder: Path) -> Path:
    (folder / "show.webm").mkdir()
    return folder / "show.webm"


def a_link(folder: Path) -> Path:
    (folder / "show.webm").symlink_to(folder / "other.mp4")
    return folder / "show.webm"


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        (lambda folder: folder / "show.avi", UsageError, "not a kind of recording"),
        (lambda folder: folder / "show.gif", UsageError, "not a kind of recording"),
        (lambda folder: folder / "none" / "show.webm", OutputError, "no folder"),
        (lambda folder: folder / "none" / "frames", OutputError, "no folder"),
        (other_things, OutputError, "holds other things"), (a_file, OutputError, "is a file, not a folder"),
        (a_folder, OutputError, "is a folder, not a file"), (a_link, UsageError, "does not end in .webm"),
    ],
)  # fmt: skip
def test_impossible_places_are_refused(
    tmp_path: Path, place: Callable[[Path], Path], error: type[Exception], said: str
) -> None:
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=said) as caught:
        open_recording(path, SIZE)
    assert getattr(caught.value, "remedy", "") and sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root can become somebody else")
def test_a_folder_without_leave_to_write_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        Path(folder).chmod(0o755)
        os.seteuid(65534)
        try:
            for name in ("show.webm", "frames"):
                with pytest.raises(OutputError, match="may not be written"):
                    open_recording(Path(folder) / name, SIZE)
        finally:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["show.webm", "frames"])
def test_a_second_recording_to_one_name_is_refused(tmp_path: Path, name: str) -> None:
    first = open_recording(tmp_path / name, SIZE)
    first.send(person(0))
    with pytest.raises(OutputError, match="being recorded already"):
        open_recording(tmp_path / name, SIZE)
    first.close()
    open_recording(tmp_path / name, SIZE).close()


def test_a_folder_says_that_it_has_no_sound(tmp_path: Path) -> None:
    recorder = open_recording(tmp_path / "frames", SIZE, microphone=FakeMicrophone)
    assert recorder.problem is not None and "cannot hold sound" in recorder.problem.what
    recorder.close()


def test_colours_go_on_outside_the_edge_and_opaque_pixels_are_untouched() -> None:
    frame = person(0)
    assert frame.alpha is not None
    rgba = straight_rgba(frame.rgb, frame.alpha)
    assert np.array_equal(rgba[..., 3], frame.alpha) and abs(int(rgba[45, 80, 0]) - GREY) <= 1
    beside = (frame.alpha > 0) & (frame.alpha < 8)
    assert np.abs(rgba[..., 0][beside].astype(int) - GREY).mean() < 15 and rgba[0, 0].tolist() == [0, 0, 0, 0]
    assert straight_rgba(frame.rgb, None)[0, 0].tolist() == [0, 0, 0, 255]
