"""Trial opening in a child process of files that would crash the process; the fakes crash only the child."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from fakes import make_clip

from avatar import cli
from avatar.errors import VideoError
from avatar.frames import LatestFrame
from avatar.live.capture import CaptureThread
from avatar.live.events import Event, SourceLost
from avatar.offline.driving_motion import read_clip
from avatar.sources import probe
from avatar.sources.open import check_source, open_source
from avatar.sources.probe import Verdict, check_opens, child_command, open_input
from avatar.sources.video import open_driving

DIES = "import os, signal; {said}; os.kill(os.getpid(), signal.{name})"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals end processes otherwise on Windows")

Stand = Callable[[str], list[str]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that were tried, and nothing remembered."""
    tried: list[str] = []
    real = probe.child_command

    def noted(path: str) -> list[str]:
        tried.append(path)
        return real(path)

    monkeypatch.setattr(probe, "_known", {})
    monkeypatch.setattr(probe, "child_command", noted)
    yield tried


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a line of Python in the child's place."""

    def put(code: str) -> None:
        monkeypatch.setattr(probe, "_known", {})
        monkeypatch.setattr(probe, "child_command", lambda path: [sys.executable, "-I", "-c", code])

    return put


@POSIX
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_child_that_dies_costs_one_sentence(
    tmp_path: Path, name: str, stand_in: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_clip(tmp_path / "bad.mp4")
    stand_in(DIES.format(said="pass", name=name))
    attempts: tuple[Callable[[Path], object], ...] = (
        open_driving, open_input, lambda each: check_source(str(each)), lambda each: open_source(str(each)),
    )  # fmt: skip
    for attempt in attempts:
        with pytest.raises(VideoError, match=r"bad\.mp4 cannot be read safely") as caught:
            attempt(path)
        assert name in caught.value.what and caught.value.remedy
    assert cli.main(["template", str(path), "-o", str(tmp_path / "a.masque")]) == 1
    said = capsys.readouterr().err
    assert "cannot be read safely" in said and "Traceback" not in said


@POSIX
def test_a_child_that_dies_of_the_sound_costs_the_sound(tmp_path: Path, stand_in: Callable[[str], None]) -> None:
    path = make_clip(tmp_path / "a.mp4", sound="aac")
    stand_in(DIES.format(said="print('video', flush=True)", name="SIGABRT"))
    clip = read_clip(path, lambda *_: None)
    assert len(clip.times_ns) == 12 and not clip.facts.has_audio
    assert len(clip.notes) == 1 and "sound of a.mp4 was left out" in clip.notes[0]
    silent = read_clip(make_clip(tmp_path / "silent.mp4"), lambda *_: None)
    assert not silent.notes, "there was none to leave out"


def test_a_child_that_hangs_is_ended(
    tmp_path: Path, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.5)
    stand_in("import time; time.sleep(600)")
    with pytest.raises(VideoError, match="longer than"):
        check_opens(path)


def test_a_file_is_tried_once_until_it_changes(tmp_path: Path, runs: list[str]) -> None:
    path = make_clip(tmp_path / "a.mp4", sound="aac")
    for _ in range(3):
        with open_driving(path) as clip:
            assert clip.facts.has_audio
    assert len(runs) == 1
    make_clip(path, rate=30)
    open_driving(path).close()
    assert len(runs) == 2


def test_a_hang_is_tried_again(
    tmp_path: Path, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(probe, "TIMEOUT_S", 0.2)
        stand_in("import time; time.sleep(600)")
        with pytest.raises(VideoError):
            check_opens(path)
    patch.setattr(probe, "child_command", lambda name: [sys.executable, "-I", "-c", "pass"])
    assert check_opens(path) == Verdict()


def test_where_no_child_can_be_started_the_file_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(probe, "_known", {})
    monkeypatch.setattr(probe, "child_command", lambda path: [str(tmp_path / "no-such-python")])
    assert check_opens(path) == Verdict()


@pytest.mark.parametrize("words", [[], ["video"], ["video", "sound"]])
def test_the_child_goes_through_video_and_sound(tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / "a.mkv"
    if words:
        make_clip(path, sound="aac" if "sound" in words else None)
    else:
        path.write_text("no video")
    done = subprocess.run(child_command(str(path)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.split()[: len(words)] == words
    assert not done.stderr


def test_the_child_decodes_every_track_and_imports_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatar.sources import probe_child

    path = make_clip(tmp_path / "a.mp4", sound="aac")
    seen: list[str] = []
    real = probe_child.decoded

    def noted(packet: av.Packet[av.video.stream.VideoStream]) -> list[object]:
        frames = real(packet)
        seen.extend(type(frame).__name__ for frame in frames)
        return frames

    monkeypatch.setattr(probe_child, "decoded", noted)
    probe_child.main(str(path), "mov,mp4", "1000000")
    assert seen.count("VideoFrame") >= 3 and seen.count("AudioFrame") >= 1
    words = ["probe_child.py", str(path), "mov,mp4", "1000000"]
    code = f"import runpy, sys; sys.argv = {words!r}; runpy.run_path({probe_child.__file__!r}, run_name='__main__')"
    command = [sys.executable, "-I", "-c", f"{code}; print(*sys.modules)"]
    modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "av.container" in modules and not {"numpy", "PIL", "avatar", "cv2", "torch"} & set(modules)


@POSIX
def test_live_a_child_that_dies_is_told_and_nothing_waits_for_it(
    tmp_path: Path, stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The capture thread tries the file, so the window answers meanwhile; what it tells is one sentence."""
    path = make_clip(tmp_path / "bad.mp4")
    stand_in(DIES.format(said="pass", name="SIGSEGV"))
    threads: list[str] = []
    real = probe._try
    monkeypatch.setattr(probe, "_try", lambda name: threads.append(threading.current_thread().name) or real(name))
    told: queue.Queue[Event] = queue.Queue()
    capture = CaptureThread(lambda: open_source(str(path)), LatestFrame(), told.put)
    capture.start()
    event = told.get(timeout=30)
    capture.ask_to_stop()
    assert capture.join(10)
    assert isinstance(event, SourceLost) and "bad.mp4 cannot be read safely" in event.what
    assert threads == ["masque-capture"], "and it is tried once, however often it is opened"
