"""`run.py live`: its options, immediate refusals, and external stop requests."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from live_fakes import Rig
from places import ROOT

from avatar import cli
from avatar.commands import live
from avatar.errors import CameraError, UsageError
from avatar.live.config import LiveConfig
from avatar.live.events import Event, OutputFailed
from avatar.live.pipeline import Pipeline
from avatar.live.session import SessionResult, run_session
from avatar.live.statistics import LiveStatistics
from avatar.outputs.live.recorder import Recorder
from avatar.settings import BrowserSettings, CameraSettings, CanvasSettings, EngineSettings, Settings
from avatar.sources.camera_list import CameraInfo
from avatar.sources.open import check_source
from avatar.sources.video import open_driving


def parsed(words: Sequence[str], settings: Settings | None = None) -> LiveConfig:
    parser = argparse.ArgumentParser()
    live.add_parser(parser.add_subparsers())
    return live.config_of(parser.parse_args(["live", *words]), settings or Settings())


def test_what_the_command_line_leaves_open_comes_from_the_settings() -> None:
    settings = Settings(
        avatar="Mona", camera=CameraSettings("Webcam", 640, 480, 60, mirror=True), canvas=CanvasSettings(fit="fill")
    )
    config = parsed([], settings)
    assert (config.source, config.avatar, config.mirror_driving) == ("Webcam", "Mona", True)
    assert (config.camera_size, config.camera_rate, config.canvas.fit) == ((640, 480), 60, "fill")
    words = ["--camera", "idle", "--avatar", "astronaut", "--no-mirror", "--fit", "fit", "--no-label", "--search"]
    config = parsed(words, settings)
    assert (config.source, config.avatar, config.mirror_driving) == ("idle", "astronaut", False)
    assert (config.canvas.fit, config.canvas.label, config.calibration.search) == ("fit", False, True)


def drawn_by(words: Sequence[str], chosen: EngineSettings) -> tuple[str, str | None, str]:
    config = parsed(["--camera", "idle", *words], Settings(engine=chosen))
    return config.engine, config.model, config.device


def test_the_engine_chosen_in_the_window_draws_unless_another_is_named() -> None:
    chosen = EngineSettings("fomm", "vox", "cpu")
    assert drawn_by([], chosen) == drawn_by(["--engine", "fomm"], chosen) == ("fomm", "vox", "cpu")
    assert drawn_by(["--model", "taichi"], chosen) == ("fomm", "taichi", "cpu")
    assert drawn_by(["--device", "cuda:1"], chosen) == ("fomm", "vox", "cuda:1")
    assert drawn_by(["--engine", "warp"], chosen) == drawn_by([], EngineSettings()) == ("warp", None, "auto")
    assert drawn_by(["--engine", "fomm"], EngineSettings("warp", device="cpu")) == ("fomm", None, "auto")
    assert drawn_by([], EngineSettings("warp", "vox", "cuda")) == ("warp", None, "auto"), "left over from fomm"
    with pytest.raises(UsageError, match="belongs to --engine fomm"):
        drawn_by(["--engine", "warp", "--model", "vox"], chosen)
    with pytest.raises(UsageError, match="no device called gpu"):
        drawn_by([], EngineSettings("fomm", device="gpu"))


@pytest.mark.parametrize(("words", "port"), [([], 9999), (["9998"], 9998)])
def test_the_browser_source_is_opened_at_the_port_that_is_asked_for(
    words: list[str], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []
    monkeypatch.setattr("avatar.outputs.live.browser_source.BrowserSource", lambda *given: asked.append(given))
    parser = argparse.ArgumentParser()
    live.add_parser(parser.add_subparsers())
    args = parser.parse_args(["live", "--camera", "idle", "--browser-source", *words])
    settings = Settings(browser=BrowserSettings(9999, "abc"))
    live._outputs(args, live.config_of(args, settings), settings)["browser source"]()
    assert asked == [(port, "abc")]


def test_a_background_is_taken_over() -> None:
    assert parsed(["--camera", "idle", "--background", "#ff8000"]).canvas.background_rgb == (255, 128, 0)
    assert parsed(["--camera", "idle"], Settings(canvas=CanvasSettings(background="blur"))).canvas.background == "blur"
    with pytest.raises(UsageError):
        parsed(["--camera", "idle", "--background", "gone.jpg"])


def test_parts_and_smoothing_are_taken_over_where_the_engine_has_them() -> None:
    words = ["--camera", "idle", "--strength-brows", "0.25", "--strength-mouth", "1.5", "--no-smoothing"]
    motion = parsed(words).motion
    assert (motion.strength_brows, motion.strength_mouth, motion.strength_eyes, motion.smoothing) == (
        0.25, 1.5, 1.0, False,
    )  # fmt: skip
    assert parsed(["--camera", "idle", "--engine", "liveportrait", *words[2:4]]).motion.strength_brows == 0.25
    with pytest.raises(UsageError, match=r"--strength-eyes belongs to --engine warp or liveportrait"):
        parsed(["--camera", "idle", "--engine", "fomm", "--strength-eyes", "1"])
    with pytest.raises(UsageError, match="--region belongs to --engine liveportrait"):
        parsed(["--camera", "idle", "--region", "lip"])


def test_camera_size_and_rate_are_asked_for() -> None:
    usual = Settings(camera=CameraSettings("idle", 640, 480, 15))
    assert (parsed([], usual).camera_size, parsed([], usual).camera_rate) == ((640, 480), 15)
    asked = parsed(["--camera-size", "1920x1080", "--camera-rate", "60"], usual)
    assert (asked.camera_size, asked.camera_rate) == ((1920, 1080), 60)
    for words in (["--camera-size", "8x8"], ["--camera-size", "big"], ["--camera-rate", "0"], ["--camera-rate", "1.5"]):
        with pytest.raises(SystemExit):
            parsed(words, usual)
    with pytest.raises(UsageError, match="--virtual-camera-device belongs to --virtual-camera"):
        parsed(["--virtual-camera-device", "OBS"], usual)


def test_the_settings_say_how_many_threads() -> None:
    assert parsed(["--camera", "idle"], Settings(threads=5)).threads == 5


def test_the_first_camera_drives_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras: tuple[CameraInfo, ...] = (CameraInfo("usb-1", "Webcam", 0), CameraInfo("usb-2", "Other", 2))
    monkeypatch.setattr("avatar.sources.camera_list.list_cameras", lambda: cameras)
    assert parsed([]).source == "usb-1"
    cameras = ()
    assert parsed([]).source == "idle" and "no camera" in capsys.readouterr().err
    cameras = (CameraInfo("video9", "OBS", 9, is_virtual=True),)  # perhaps what we send to
    assert parsed([]).source == "idle" and "only camera is virtual (OBS)" in capsys.readouterr().err
    cameras = (*cameras, CameraInfo("usb-2", "Other", 2))
    assert parsed([]).source == "usb-2"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--seconds", "0"], 2, "not a number of seconds"),
        (["--seconds", "soon"], 2, "not a number of seconds"),
        (["--fit", "stretch"], 2, "invalid choice"),
        (["--model", "vox"], 2, "belongs to --engine fomm"),
        (["--device", "gpu"], 2, "no device called gpu"),
        (["--device", "cuda"], 1, "draws on the processor"),
        (["--sound"], 2, "--record FILE.mp4"),
        (["--size", "8"], 2, "out of range"),
        (["--report", "nowhere/report.json"], 2, "cannot be written"),
        (["--record", "show.avi"], 2, "not a kind of recording"),
        (["--record", "frames", "--sound"], 2, "cannot hold sound"),
        (["--record", "nowhere/show.mp4"], 1, "no folder"),
        (["--avatar", "astronot"], 1, "Astronaut"),
        (["--avatar", "nobody.png"], 1, "no picture"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_opened(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    assert cli.main(["live", "--camera", "idle", *words]) == code
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("notes.txt", "not a video"),
        ("empty.mp4", "is empty"),
        ("folder", "no pictures"),
        ("typo.mp4", "no file called"),
    ],
)
def test_a_driver_that_can_never_be_one_ends_it_at_once(
    driver: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    assert cli.main(["live", "--camera", str(tmp_path / driver), "--seconds", "1"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["WRONG", "usb-nobody-video-index0", "97", "/dev/video97", "WRONG.mp4"])
def test_a_camera_that_nobody_knows_ends_it_at_once(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    monkeypatch.setattr("avatar.sources.open.list_cameras", lambda: (CameraInfo("usb-1", "Webcam", 0),))
    if name.endswith("97"):
        monkeypatch.setattr("avatar.sources.open.sys.platform", "linux")
    assert cli.main(["live", "--camera", name, "--seconds", "1"]) == 1
    said = capsys.readouterr().err
    assert "There is no camera" in said and "Cameras here: Webcam." in said


def test_the_camera_of_the_settings_may_be_plugged_in_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.sources.open.list_cameras", lambda: (CameraInfo("usb-1", "Webcam", 0),))
    monkeypatch.setattr("avatar.sources.open.sys.platform", "linux")
    for name in ("usb-2", "98", "/dev/video97"):
        check_source(name, remembered=name)
        with pytest.raises(CameraError):
            check_source(name, remembered="usb-1")
    for name in ("usb-1", "webcam", "0", "idle"):
        check_source(name)
    with pytest.raises(CameraError):  # a clip that was moved does not come back
        check_source("/nowhere/clip.mp4", remembered="/nowhere/clip.mp4")


def test_a_file_that_is_being_recorded_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    first = Recorder(tmp_path / "show.mp4")
    try:
        assert cli.main(["live", "--camera", "idle", "--record", str(tmp_path / "show.mp4"), "--seconds", "1"]) == 1
    finally:
        first.close()
    assert "show.mp4 is being recorded already." in capsys.readouterr().err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("background", "name", "said"),
    [("transparent", "show.mp4", True), ("green", "show.mp4", False), ("transparent", "show.webm", False)],
)
def test_a_recording_that_cannot_be_transparent_says_so(
    background: str,
    name: str,
    said: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(cli, "_fetch_needed", lambda: None)
    words = ["live", "--camera", "idle", "--background", background, "--record", str(tmp_path / name)]
    assert cli.main([*words, "--seconds", "0.5"]) in (0, 1)  # it may end before the avatar is ready
    assert ("shows the portrait's own background" in "".join(capsys.readouterr())) == said


class Evening:
    """A session on fakes."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.stop = rig, False
        self.seen: list[LiveStatistics] = []
        self.told: list[Event] = []

    def run(self, *, seconds: float | None = None, outputs: Sequence[str] = ("fake",)) -> SessionResult:
        def pipeline_of(tell: Callable[[Event], None]) -> Pipeline:
            self.rig.listener = tell
            return self.rig.pipeline

        return run_session(
            pipeline_of,
            {name: lambda: self.rig.output for name in outputs},
            seconds=seconds,
            asked_to_stop=lambda: self.stop,
            tell=self.told.append,
            each_second=self._see,
        )

    def _see(self, statistics: LiveStatistics) -> None:
        self.seen.append(statistics)


def test_a_session_ends_when_its_time_is_up(tmp_path: Path) -> None:
    evening = Evening(Rig(tmp_path))
    result = evening.run(seconds=1.2)
    assert result.clean and result.problems == () and 1.2 <= result.seconds < 5
    assert evening.rig.output.closed and evening.seen and result.cpu_cores > 0
    assert json.loads(json.dumps(result.as_json()))["statistics"]["outputs"]["fake"]["sent"] > 0


def test_a_session_ends_when_its_last_output_is_gone(tmp_path: Path) -> None:
    evening = Evening(Rig(tmp_path))
    evening.rig.output.error = RuntimeError("gone")
    result = evening.run()
    assert [type(problem).__name__ for problem in result.problems] == ["OutputError"]
    assert any(isinstance(event, OutputFailed) for event in evening.told)


def test_a_session_without_a_portrait_ends(tmp_path: Path) -> None:
    rig = Rig(tmp_path, avatar=str(tmp_path / "dark.png"))
    result = Evening(rig).run(outputs=())
    assert len(result.problems) == 1 and result.statistics.drawn == 0 and result.seconds == 0


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`live` in another process, once it has recorded for a second: a fragment after the first one is there."""
    film = folder / "show.mp4"
    command = [sys.executable, "run.py", "--no-setup", "live", "--camera", "idle", "--record", str(film), *words]
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}  # a child inherits what is ignored
    process = subprocess.Popen(
        [*command, "--report", str(folder / "report.json")], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    for number, handler in before.items():
        signal.signal(number, handler)
    deadline_s, first_bytes = time.monotonic() + 120, 0
    while not (film.exists() and film.stat().st_size > first_bytes > 0):
        first_bytes = first_bytes or (film.stat().st_size if film.exists() else 0)
        assert process.poll() is None and time.monotonic() < deadline_s, process.communicate()[0]
        time.sleep(0.05)
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("how", ["Ctrl-C", "kill", "hang-up", "closed pipe"])
def test_whoever_started_it_can_end_it(how: str, face_model: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "--size", "200")
    began_s = time.monotonic()
    if how == "closed pipe":
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.send_signal({"Ctrl-C": signal.SIGINT, "kill": signal.SIGTERM, "hang-up": signal.SIGHUP}[how])
    code = process.wait(20)
    lasted_s = time.monotonic() - began_s
    said = process.stdout.read() if process.stdout else ""
    assert code == 0, said
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clean_stop"] and report["problems"] == [] and lasted_s < 10, lasted_s
    assert report["encoder"].endswith(")") and "264" in report["encoder"]
    with open_driving(tmp_path / "show.mp4") as film:
        count = sum(1 for _ in film)
    assert count >= 0.8 * report["statistics"]["outputs"]["recording"]["sent"] > 0
    assert "Traceback" not in said and "frames in" in said
