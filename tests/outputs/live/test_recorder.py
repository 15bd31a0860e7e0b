"""Live recording: rate, times, sound, and files that can be played however the recording ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import plain
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from recordings import PERIOD_NS, START_NS, FakeMicrophone, clap_time_s, playable, small_disk, sound

from avatar.errors import OutputError, UsageError
from avatar.frames import Frame
from avatar.images.load import load_image
from avatar.outputs.canvas import CanvasOptions
from avatar.outputs.files.sound_lane import SoundLane
from avatar.outputs.live.recorder import Recorder
from avatar.outputs.live.replay import ReplayRing
from avatar.outputs.live.snapshot import save_snapshot
from avatar.outputs.live.steady import SteadyRate
from avatar.sources.microphone import RATE_HZ

SMALL = (160, 90)


def frame_at(time_s: float, level: int) -> Frame:
    return Frame(plain(level, (160, 90)), level, START_NS + round(time_s * 1e9))


def noise_at(number: int) -> Frame:
    noise = np.random.default_rng(number).integers(0, 256, (360, 640, 3), np.uint8)
    return Frame(noise, number, START_NS + round(number * PERIOD_NS))


def pictures(path: Path) -> list[tuple[float, float]]:
    """(time in s, brightness) of every frame that can be decoded."""
    with av.open(str(path)) as file:
        return [
            (float(frame.pts * frame.time_base), float(frame.to_ndarray(format="rgb24").mean()))
            for frame in file.decode(video=0)
        ]


@given(st.lists(st.floats(-0.24, 0.24), min_size=1, max_size=80))
def test_jitter_costs_no_frame(jitter: list[float]) -> None:
    steady = SteadyRate(30)
    places = [steady.place(START_NS + round((n + early) * PERIOD_NS)) for n, early in enumerate(jitter)]
    assert places == list(range(len(jitter)))


@given(st.lists(st.integers(0, 200_000_000), min_size=1, max_size=80), st.sampled_from([24, 25, 30, 60]))
def test_places_only_grow_and_stay_within_a_frame_of_their_time(gaps_ns: list[int], rate: int) -> None:
    steady, time_ns, last = SteadyRate(rate), START_NS, -1
    for gap_ns in gaps_ns:
        place = steady.place(time_ns)
        if place is not None:
            assert place > last and abs(place - (time_ns - START_NS) * rate / 1e9) < 1
            last = place
        time_ns += gap_ns


def test_a_source_twice_as_fast_loses_every_other_frame() -> None:
    steady = SteadyRate(30)
    kept = [n for n in range(120) if steady.place(START_NS + round(n * PERIOD_NS / 2)) is not None]
    assert 60 <= len(kept) <= 61


def test_every_frame_of_a_clean_recording_is_in_the_file(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    for number in range(50):
        recorder.send(frame_at(number / 30 + 0.004 * (-1) ** number, 2 * number + 20))
    recorder.close()
    recorder.close()
    found = pictures(tmp_path / "show.mp4")
    assert np.allclose([time for time, _ in found], np.arange(50) / 30, atol=1e-3)
    assert np.allclose([level for _, level in found], np.arange(50) * 2 + 20, atol=2.5)


def test_gaps_are_filled_with_the_frame_before(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    for time_s, level in ((0.0, 50), (1 / 30, 100), (0.5, 150), (0.5 + 1 / 30, 200)):
        recorder.send(frame_at(time_s, level))
    recorder.close()
    levels = [round(level / 50) * 50 for _, level in pictures(tmp_path / "show.mp4")]
    assert levels == [50] + [100] * 14 + [150, 200]


def test_an_hours_sleep_is_one_long_frame_and_not_a_hundred_thousand(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    recorder.send(frame_at(0, 50))
    recorder.send(frame_at(3600, 100))
    recorder.close()
    found = pictures(tmp_path / "show.mp4")
    assert len(found) == 302 and found[-1][0] == pytest.approx(3600)


def camera_at(place: int, passage: int = 1) -> Frame:
    return replace(avatar_at(place, 220), passed_through=True, passage=passage)


def avatar_at(place: int, level: int) -> Frame:
    return Frame(plain(level, (160, 90)), place, START_NS + round(place * PERIOD_NS))


def levels_of(path: Path) -> list[int]:
    """The brightness of every frame, rounded to tens."""
    return [round(level / 10) * 10 for _, level in pictures(path)]


def test_a_gap_is_filled_with_the_camera_only_within_one_pass_through(tmp_path: Path) -> None:
    shown = [avatar_at(0, 50), camera_at(1), camera_at(4), camera_at(6, 2), avatar_at(9, 100), avatar_at(11, 150)]
    expected = [50, 220, 220, 220, 220, 50, 220, 50, 50, 100, 100, 150]
    recorder, ring = Recorder(tmp_path / "show.mp4", SMALL), ReplayRing(SMALL)
    for frame in [*shown, avatar_at(12, 150)]:
        recorder.send(frame)
        ring.send(frame)
    recorder.close()
    ring.save(tmp_path / "again.mp4")
    ring.close()
    assert levels_of(tmp_path / "show.mp4") == [*expected, 150]
    assert levels_of(tmp_path / "again.mp4") == expected  # the newest frame waits for its length


def test_a_gap_after_the_camera_is_grey_where_there_was_no_avatar(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    for frame in (camera_at(0), camera_at(3, 2), avatar_at(5, 100)):
        recorder.send(frame)
    recorder.close()
    assert levels_of(tmp_path / "show.mp4") == [220, 40, 40, 220, 40, 100]


def test_a_cover_for_which_there_is_no_place_fills_the_gap(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    for frame in (camera_at(0), camera_at(1), avatar_at(0, 100), avatar_at(4, 150)):
        recorder.send(frame)
    recorder.close()
    assert levels_of(tmp_path / "show.mp4") == [220, 220, 100, 100, 150]


def test_the_camera_is_not_stretched_over_an_hours_sleep(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    recorder.send(avatar_at(0, 50))
    recorder.send(camera_at(1))
    recorder.send(frame_at(3600, 100))
    recorder.close()
    found = pictures(tmp_path / "show.mp4")
    assert [round(level, -1) for _, level in found[:3]] == [50, 220, 50]
    assert found[2][0] == pytest.approx(2 / 30) and found[-1][0] == pytest.approx(3600)


def test_colours_are_kept_and_the_file_says_who_made_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    recorder.send(Frame(plain((200, 40, 60)), 0, START_NS))
    recorder.close()
    with av.open(str(tmp_path / "show.mp4")) as file:
        assert "Masque" in file.metadata["comment"]
        context = file.streams.video[0].codec_context
        assert [context.color_range, context.colorspace, context.color_primaries, context.color_trc] == [1, 1, 1, 1]
        middle = next(file.decode(video=0)).to_ndarray(format="rgb24")[45, 80].astype(int)
    assert np.abs(middle - (200, 40, 60)).max() <= 6


def test_a_finished_file_is_an_ordinary_mp4(tmp_path: Path) -> None:
    """Editors and some players show no length for fragments, and seek badly."""
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    for number in range(70):
        recorder.send(frame_at(number / 30, 100))
    recorder.close()
    with av.open(str(tmp_path / "show.mp4")) as file:
        assert file.streams.video[0].frames == 70 and file.duration == pytest.approx(70e6 / 30, rel=0.01)


KILLED = """
import os, signal, sys
sys.path[:0] = ["tests/outputs/live", "tests/support"]
from pathlib import Path
from test_recorder import FakeMicrophone, SMALL, Recorder, frame_at
recorder = Recorder(Path(sys.argv[1]), SMALL, microphone=FakeMicrophone if sys.argv[2] else None)
for number in range(165):
    recorder.send(frame_at(number / 30, 20 + number))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
@pytest.mark.parametrize("with_sound", ["", "sound"])
def test_a_killed_recording_can_be_played_up_to_its_last_second(tmp_path: Path, with_sound: str) -> None:
    path = tmp_path / "show.mp4"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), with_sound], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = pictures(path)
    assert len(found) >= 165 - 31 - 5
    assert np.allclose([level for _, level in found], np.arange(len(found)) + 20, atol=2.5)
    if with_sound:
        assert len(sound(path)) / RATE_HZ > len(found) / 30 - 1.1


OLDER = 200  # brightness of the recording that is there before


def older(path: Path) -> bytes:
    """Put a recording there and return its bytes."""
    recorder = Recorder(path, SMALL)
    for number in range(3):
        recorder.send(frame_at(number / 30, OLDER))
    recorder.close()
    return path.read_bytes()


def test_an_older_recording_stays_until_the_new_one_can_be_played(tmp_path: Path) -> None:
    path = tmp_path / "show.mp4"
    before = older(path)
    recorder = Recorder(path, SMALL)
    assert path.read_bytes() == before
    recorder.send(frame_at(0, 50))
    assert path.read_bytes() == before
    recorder.send(frame_at(1 / 30, 50))
    assert path.read_bytes() != before and [round(level) for _, level in pictures(path)] == [50]
    recorder.close()
    assert len(pictures(path)) == 2 and [each.name for each in tmp_path.iterdir()] == ["show.mp4"]


def test_an_older_recording_survives_a_new_one_that_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "show.mp4"
    before = older(path)
    recorder = Recorder(path, SMALL)

    def fail(*_: object, **__: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avatar.outputs.live.live_file.LiveFile.add", fail)
    with pytest.raises(OutputError, match="disk is full") as caught:
        recorder.send(frame_at(0, 50))
    assert "as it was before" in caught.value.remedy and path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["show.mp4"]


def test_one_frame_makes_a_recording_too(tmp_path: Path) -> None:
    older(tmp_path / "show.mp4")
    recorder = Recorder(tmp_path / "show.mp4", SMALL)
    recorder.send(frame_at(0, 50))
    recorder.close()
    assert [round(level) for _, level in pictures(tmp_path / "show.mp4")] == [50]


KILLED_EARLY = """
import os, signal, sys, time
sys.path[:0] = ["tests/outputs/live", "tests/support"]
from pathlib import Path
from test_recorder import FakeMicrophone, SMALL, Recorder, frame_at
recorder = Recorder(Path(sys.argv[1]), SMALL, microphone=FakeMicrophone if sys.argv[3] else None)
for number in range(int(sys.argv[2])):
    recorder.send(frame_at(number / 30, 50))
if sys.argv[4]:
    print("recording", flush=True)
    while True:
        number += 1
        recorder.send(frame_at(number / 30, 50))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
@pytest.mark.parametrize("with_sound", ["", "sound"])
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 20, 31, 45])
def test_a_recording_killed_in_its_first_second_leaves_the_older_file_or_one_that_plays(
    tmp_path: Path, frames: int, with_sound: str
) -> None:
    path = tmp_path / "show.mp4"
    older(path)
    command = [sys.executable, "-c", KILLED_EARLY, str(path), str(frames), with_sound, ""]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    levels = {round(level) for _, level in pictures(path)}
    assert levels == {OLDER if frames < 2 else 50} or (with_sound and levels in ({OLDER}, {50}))
    Recorder(path, SMALL).close()  # its claim ended with it


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="only POSIX has SIGKILL")
@pytest.mark.parametrize("delay_ms", [0, 1, 3, 10, 40])
def test_a_recording_killed_at_any_moment_can_be_played(tmp_path: Path, delay_ms: int) -> None:
    path = tmp_path / "show.mp4"
    older(path)
    command = [sys.executable, "-c", KILLED_EARLY, str(path), "1", "", "on"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == "recording\n"
        time.sleep(delay_ms / 1000)
        process.kill()
    assert {round(level) for _, level in pictures(path)} in ({OLDER}, {50})


def test_a_second_recording_to_one_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "show.mp4"
    older(path)
    (tmp_path / "link.mp4").symlink_to(path)
    (tmp_path / "other way").symlink_to(tmp_path / "folder")
    first = Recorder(path, SMALL)
    for same in (path, tmp_path / "link.mp4", tmp_path / "other way" / "show.mp4"):
        with pytest.raises(OutputError, match="is being recorded already") as caught:
            Recorder(same, SMALL)
        assert caught.value.remedy
    first.send(frame_at(0, 50))
    Recorder(path.with_name("another.mp4"), SMALL).close()
    first.close()
    Recorder(path, SMALL).close()
    assert [each.name for each in path.parent.iterdir()] == ["show.mp4"]


def test_another_process_that_records_to_a_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "show.mp4"
    command = [sys.executable, "-c", KILLED_EARLY, str(path), "2", "", "on"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "recording\n"
            with pytest.raises(OutputError, match="is being recorded already"):
                Recorder(path, SMALL)
        finally:
            process.kill()
    Recorder(path, SMALL).close()
    assert [each.name for each in tmp_path.iterdir()] == ["show.mp4"]


def test_a_name_in_another_case_is_the_same_where_the_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "case").touch()
    same_here = (tmp_path / "CASE").exists()
    first = Recorder(tmp_path / "Show.mp4", SMALL)
    for ignores_case in (same_here, True):
        monkeypatch.setattr("avatar.outputs.live.growing_file._ignores_case", lambda folder, told=ignores_case: told)
        claimed = Recorder(tmp_path / "Grün.mp4", SMALL)
        refused = contextlib.nullcontext() if not ignores_case else pytest.raises(OutputError)
        with refused:
            Recorder(tmp_path / "GRÜN.MP4", SMALL).close()
        claimed.close()
    first.close()


def test_without_its_microphone_it_records_the_pictures_and_says_so(tmp_path: Path) -> None:
    def broken() -> FakeMicrophone:
        raise OutputError("No microphone.", remedy="Plug one in.")

    recorder = Recorder(tmp_path / "show.mp4", SMALL, microphone=broken)
    assert recorder.problem is not None and recorder.problem.what == "No microphone."
    assert "sound" not in recorder.facts
    for number in range(10):
        recorder.send(frame_at(number / 30, 100))
    recorder.close()
    with av.open(str(tmp_path / "show.mp4")) as file:
        assert len(list(file.decode(video=0))) == 10 and not file.streams.audio


def test_a_claim_ends_where_opening_the_microphone_is_a_mistake_of_ours(tmp_path: Path) -> None:
    def broken() -> FakeMicrophone:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Recorder(tmp_path / "show.mp4", SMALL, microphone=broken)
    Recorder(tmp_path / "show.mp4", SMALL).close()


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has pipes with names")
def test_a_pipe_is_not_replaced_by_a_recording(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(OutputError, match="not a file but"):
        Recorder(tmp_path / "pipe.mp4", SMALL)


def test_a_write_protected_recording_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = older(tmp_path / "show.mp4")
    # Root may write to anything.
    monkeypatch.setattr("avatar.outputs.live.recording_target.os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="write-protected"):
        Recorder(tmp_path / "show.mp4", SMALL)
    assert (tmp_path / "show.mp4").read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_full_disk_ends_the_recording_and_what_was_recorded_can_be_played(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "6m") as disk:
        recorder = Recorder(disk / "show.mp4", (640, 360))
        with pytest.raises(OutputError, match="disk is full") as caught:
            for number in range(300):
                recorder.send(noise_at(number))
        assert "can be played" in caught.value.remedy and "Make room" in caught.value.remedy
        with pytest.raises(OutputError, match="has ended"):
            recorder.send(noise_at(300))
        recorder.close()
        assert playable(disk / "show.mp4") >= 45


@pytest.mark.skipif(os.name != "posix", reason="the limit on file sizes is a POSIX one")
def test_a_limit_on_file_sizes_ends_the_recording_too(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder = Recorder(tmp_path / "show.mp4", (640, 360))
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, hard))
    try:
        with pytest.raises(OutputError, match="grew as large"):
            for number in range(300):
                recorder.send(noise_at(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert playable(tmp_path / "show.mp4") >= 45


def test_a_disk_that_fills_up_at_the_very_end_is_told_and_costs_no_picture(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("tmpfs is Linux's")
    with small_disk(tmp_path / "disk", "2m") as disk:
        recorder = Recorder(disk / "show.mp4", SMALL)
        for number in range(60):
            recorder.send(frame_at(number / 30, 100))
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        with contextlib.suppress(OutputError):
            recorder.close()
        recorder.close()
        assert len(pictures(disk / "show.mp4")) >= 30


def test_nothing_sent_leaves_an_older_recording_alone(tmp_path: Path) -> None:
    path = tmp_path / "show.mp4"
    Recorder(path, SMALL).close()
    assert not path.exists()
    path.write_bytes(b"older")
    Recorder(path, SMALL).close()
    assert path.read_bytes() == b"older"


def test_impossible_places_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4") as wrong:
        Recorder(tmp_path / "show.avi")
    with pytest.raises(OutputError, match="no folder") as missing:
        Recorder(tmp_path / "none" / "show.mp4", microphone=FakeMicrophone)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder") as folder:
        Recorder(tmp_path / "folder.mp4")
    assert all(caught.value.remedy for caught in (wrong, missing, folder))


@pytest.mark.parametrize("begins_s", [-0.5, -0.013, 0.3])
def test_sound_and_picture_of_one_moment_stay_together(tmp_path: Path, begins_s: float) -> None:
    """The picture comes 150 ms after the sound, as the engine needs its time; both were taken at 1 s."""
    microphone = FakeMicrophone(1.0, begins_s=begins_s)
    recorder = Recorder(tmp_path / "show.mp4", SMALL, microphone=lambda: microphone)
    assert "with sound" in recorder.facts
    for number in range(75):
        microphone.heard_until_s = number / 30 + 0.15
        recorder.send(frame_at(number / 30, 220 if number == 30 else 20))
    recorder.close()
    assert microphone.closed
    flash_s = max(pictures(tmp_path / "show.mp4"), key=lambda each: each[1])[0]
    samples = sound(tmp_path / "show.mp4")
    assert flash_s == pytest.approx(1.0) and clap_time_s(samples) == pytest.approx(1.0, abs=0.025)
    assert len(samples) / RATE_HZ == pytest.approx(2.5, abs=0.05)


def test_a_microphone_that_dies_leaves_silence_and_the_pictures_go_on(tmp_path: Path) -> None:
    microphone = FakeMicrophone(0.5, dies_s=1.0)
    recorder = Recorder(tmp_path / "show.mp4", SMALL, microphone=lambda: microphone)
    for number in range(150):
        recorder.send(frame_at(number / 30, 100))
    recorder.close()
    samples = sound(tmp_path / "show.mp4")
    assert len(pictures(tmp_path / "show.mp4")) == 150
    assert len(samples) / RATE_HZ == pytest.approx(5.0, abs=0.05)
    assert clap_time_s(samples) == pytest.approx(0.5, abs=0.025) and np.abs(samples[2 * RATE_HZ :]).max() < 0.01


@pytest.mark.parametrize("drift", [0.999, 1.001])
def test_a_sound_card_with_a_clock_of_its_own_never_strays_far(drift: float) -> None:
    """A tenth of a percent would be 60 ms after a minute."""
    lane = SoundLane(FakeMicrophone(60.0, drift=drift))
    samples = np.concatenate([lane.until(START_NS + round(number * 0.25e9)) for number in range(280)])
    assert clap_time_s(samples) == pytest.approx(60.0 * drift, abs=0.045)


def test_a_replay_holds_the_last_seconds_and_begins_with_a_whole_picture(tmp_path: Path) -> None:
    ring = ReplayRing(SMALL, seconds=2)
    for number in range(200):
        ring.send(frame_at(number / 30, 20 + number))
    length_s = ring.save(tmp_path / "replay.mp4")
    found = pictures(tmp_path / "replay.mp4")
    assert 60 <= len(found) <= 90 and length_s == pytest.approx(len(found) / 30)
    assert found[0][0] == 0 and np.allclose(np.diff([time for time, _ in found]), 1 / 30, atol=1e-3)
    levels = np.array([level for _, level in found])
    assert levels[-1] == pytest.approx(20 + 198, abs=2.5) and np.allclose(np.diff(levels), 1, atol=1.5)
    ring.close()
    ring.close()


def test_a_replay_forgets_what_it_has_when_its_size_changes(tmp_path: Path) -> None:
    ring = ReplayRing(SMALL, seconds=2)
    for number in range(60):
        ring.send(frame_at(number / 30, 100))
    assert ring.save(tmp_path / "both.mp4") == pytest.approx(2, abs=0.05)
    ring.resize((96, 54))
    with pytest.raises(OutputError, match="nothing to save"):
        ring.save(tmp_path / "none.mp4")
    for number in range(60, 75):
        ring.send(Frame(plain(100, (96, 54)), number, START_NS + round(number * PERIOD_NS)))
    assert ring.save(tmp_path / "new.mp4") == pytest.approx(0.5, abs=0.05)
    with av.open(str(tmp_path / "new.mp4")) as film:
        assert film.streams.video[0].width == 96
    ring.close()


def test_the_memory_of_a_replay_does_not_grow() -> None:
    ring = ReplayRing(SMALL, seconds=1)
    sizes = []
    for number in range(300):
        ring.send(Frame(noise_at(number % 7).rgb, number, START_NS + round(number * PERIOD_NS)))
        sizes.append(sum(len(each.data) for each in ring._kept))
    assert max(sizes[100:]) < 1.2 * max(sizes[:100])
    ring.close()


def test_a_replay_is_saved_while_frames_come(tmp_path: Path) -> None:
    ring, stopping = ReplayRing(SMALL, seconds=1), threading.Event()

    def feed() -> None:
        number = 0
        while not stopping.is_set():
            ring.send(frame_at(number / 30, 20 + number % 200))
            number += 1

    feeder = threading.Thread(target=feed)
    for number in range(40):
        ring.send(frame_at(number / 30, 100))
    feeder.start()
    try:
        lengths = [ring.save(tmp_path / f"{number}.mp4") for number in range(5)]
    finally:
        stopping.set()
        feeder.join()
    assert all(1 <= length_s <= 2 for length_s in lengths)
    assert all(len(pictures(tmp_path / f"{number}.mp4")) == round(30 * s) for number, s in enumerate(lengths))
    ring.close()


def test_an_empty_replay_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    ring = ReplayRing(SMALL)
    with pytest.raises(OutputError, match="nothing to save") as caught:
        ring.save(tmp_path / "replay.mp4")
    assert caught.value.remedy and list(tmp_path.iterdir()) == []
    ring.send(frame_at(0, 50))
    ring.send(frame_at(0.04, 50))
    with pytest.raises(OutputError):
        ring.save(tmp_path / "none" / "replay.mp4")
    ring.close()


def test_a_snapshot_is_what_others_see(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "me.png", frame_at(0, 90), CanvasOptions(320, 320, fit="fit", label=False))
    picture = load_image(tmp_path / "me.png")
    assert picture.shape == (320, 320, 3) and np.array_equal(np.unique(picture), [0, 90])
    with pytest.raises(UsageError, match=r"\.png"):
        save_snapshot(tmp_path / "me.jpg", frame_at(0, 90))
