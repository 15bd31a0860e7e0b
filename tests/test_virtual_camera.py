"""The virtual camera: pyvirtualcam's own backend writing to a played device, and what each failure is told as."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pyvirtualcam
from fakes import plain
from v4l2_shim import Shim

from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs import loopback
from avatar.outputs.base import PacedOutput
from avatar.outputs.canvas import CanvasOptions
from avatar.outputs.loopback import Loopback
from avatar.outputs.test_card import BARS
from avatar.outputs.virtual_camera import VirtualCamera, explain
from avatar.v4l2 import VideoNode

ROOT = Path(__file__).resolve().parent.parent
SMALL = CanvasOptions(320, 180, label=False)

SENDER = """
import sys
import numpy as np
from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs.canvas import CanvasOptions
from avatar.outputs.virtual_camera import VirtualCamera
try:
    camera = VirtualCamera(CanvasOptions({width}, {height}, label=False))
    print(camera.facts)
    camera.repeat()
    for number, colour in enumerate([(220, 30, 20), (20, 200, 40), (30, 40, 210)]):
        camera.send(Frame(np.full((90, 160, 3), colour, np.uint8), number, 0))
    camera.repeat()
    camera.close()
    camera.close()
except OutputError as error:
    print(error.what, error.remedy, sep="\\n")
    sys.exit(3)
"""


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    return Shim.build(tmp_path)


def run_sender(shim: Shim, fault: str = "", size: tuple[int, int] = (1280, 720)) -> subprocess.CompletedProcess[str]:
    code = SENDER.format(width=size[0], height=size[1])
    return subprocess.run(
        [sys.executable, "-c", code], env=shim.environment(fault), cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("size", [(1280, 720), (854, 480), (320, 242)])
def test_frames_arrive_with_their_size_and_colours(shim: Shim, size: tuple[int, int]) -> None:
    done = run_sender(shim, size=size)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"/dev/video10, {size[0]} x {size[1]} at 30\n"
    card, red, green, blue, again = shim.frames(*size)
    for number, colour in enumerate(BARS):
        spot = card[size[1] // 3, round((number + 0.5) * size[0] / len(BARS))].astype(int)
        assert np.abs(spot - colour).max() <= 6, (number, spot, colour)
    for frame, colour in ((red, (220, 30, 20)), (green, (20, 200, 40)), (blue, (30, 40, 210)), (again, (30, 40, 210))):
        middle = frame[size[1] // 2, size[0] // 2].astype(int)
        assert np.abs(middle - colour).max() <= 6, "red must not come out blue"


@pytest.mark.parametrize(
    ("fault", "what", "remedy"),
    [
        ("forbidden", "may not be opened by this user", "usermod -aG video"),
        ("busy", "in use by another program", "Close programs"),
        ("held", "held at 320 x 240", "Close its picture there"),
    ],
)
def test_a_device_that_refuses_is_explained(shim: Shim, fault: str, what: str, remedy: str) -> None:
    done = run_sender(shim, fault)
    assert done.returncode == 3, done.stderr
    told = done.stdout.splitlines()[-2:]
    assert what in told[0] and remedy in told[1]


def test_no_device_tells_the_command_that_makes_one(shim: Shim) -> None:
    shim.unplug()
    done = run_sender(shim)
    assert done.returncode == 3 and "There is no virtual camera." in done.stdout
    assert 'exclusive_caps=1 card_label="Masque"' in done.stdout


class MemoryBackend:
    """Keeps frames, and says what it is told to say when it is opened."""

    error: ClassVar[Exception | None] = None
    opened: ClassVar[list[MemoryBackend]] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **rest: Any) -> None:
        if self.error is not None:
            raise self.error
        self.size, self.rate, self.closed = (width, height), fps, 0
        self.name = device or "memory"
        self.sent: list[np.ndarray] = []
        self.opened.append(self)

    def send(self, frame: np.ndarray) -> None:
        self.sent.append(frame.reshape(self.size[1], self.size[0], 3).copy())

    def close(self) -> None:
        self.closed += 1

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> None:
        return None


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[MemoryBackend]]:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"memory": MemoryBackend})
    monkeypatch.setattr(loopback, "look", state)
    monkeypatch.setattr(MemoryBackend, "opened", [])
    monkeypatch.setattr(MemoryBackend, "error", None)
    yield MemoryBackend


def state(*devices: VideoNode, installed: bool = True, loaded: bool = True, **facts: Any) -> Loopback:
    return Loopback(installed, loaded, devices, facts.get("forbidden", 0), facts.get("exclusive", True))


def node(number: int, name: str = "Masque", *, takes: bool = True, driver: str = "v4l2 loopback") -> VideoNode:
    return VideoNode(Path(f"/dev/video{number}"), name, driver, captures=not takes, takes=takes)


def test_the_test_card_stands_until_the_first_frame_and_the_last_frame_after_it(memory: type[MemoryBackend]) -> None:
    camera = VirtualCamera(SMALL, rate=25)
    assert isinstance(camera, PacedOutput) and camera.rate == 25
    camera.repeat()
    camera.send(Frame(plain(77), 0, 0))
    camera.repeat()
    backend = memory.opened[0]
    assert (backend.size, backend.rate) == ((320, 180), 25)
    assert np.array_equal(backend.sent[0][60, 22], BARS[0])
    assert [frame[90, 160, 0] for frame in backend.sent[1:]] == [77, 77]
    camera.close()
    camera.close()
    assert backend.closed == 1


def test_an_odd_size_is_refused_with_the_next_even_one(memory: type[MemoryBackend]) -> None:
    with pytest.raises(OutputError, match="321 x 181") as caught:
        VirtualCamera(CanvasOptions(321, 181))
    assert "322 x 182" in caught.value.remedy and memory.opened == []


def test_an_unknown_backend_is_refused(memory: type[MemoryBackend]) -> None:
    with pytest.raises(OutputError, match="called obs") as caught:
        VirtualCamera(SMALL, backend="obs")
    assert "memory" in caught.value.remedy


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(OutputError, match="pyvirtualcam") as caught:
        VirtualCamera(SMALL)
    assert "-m pip install pyvirtualcam" in caught.value.remedy


def test_a_device_that_vanishes_ends_the_output(
    memory: type[MemoryBackend], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"v4l2loopback": memory})
    monkeypatch.setattr("avatar.outputs.virtual_camera._WATCH_S", 0.0)
    camera = VirtualCamera(SMALL, device=str(tmp_path / "video10"))
    with pytest.raises(OutputError, match="is gone"):
        camera.repeat()
    camera.close()


def test_our_own_device_goes_before_others_and_busy_ones_do_not_count() -> None:
    assert loopback.choose((node(3, "OBS"), node(10), node(4, "OBS"))) == Path("/dev/video10")
    assert loopback.choose((node(4, "OBS"), node(10, takes=False))) == Path("/dev/video4")
    assert loopback.choose(()) is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (state(installed=False, loaded=False), ["v4l2loopback", "then: sudo modprobe"]),
        (state(loaded=False), ["Type: sudo modprobe v4l2loopback video_nr=10 exclusive_caps=1"]),
        (state(), ["modprobe -r v4l2loopback && sudo modprobe"]),
        (state(forbidden=2), ["usermod -aG video"]),
        (state(node(10), exclusive=False), ["Close the programs", "modprobe -r"]),
        (state(node(10)), [""]),
    ],
)
def test_what_linux_lacks_is_told_with_the_command(found: Loopback, words: list[str]) -> None:
    assert all(word in found.remedy for word in words) and bool(found.remedy) == bool(words[0])


@pytest.mark.parametrize(
    ("system", "said", "what", "remedy"),
    [
        ("win32", "'obs' backend: OBS Virtual Camera device not found!", "no virtual", "obsproject"),
        ("win32", "'obs' backend: virtual camera output could not be started", "in use", "Stop Virtual Camera"),
        ("darwin", "'obs' backend: OBS Virtual Camera is not installed in your system.", "no virtual", "Extensions"),
        ("linux", "'v4l2loopback' backend: Device /dev/video3 is not a V4L2 device.", "not a virtual", "modprobe"),
        ("linux", "'v4l2loopback' backend: something new", "something new", "modprobe -r"),
    ],
)
def test_each_system_has_its_own_remedy(system: str, said: str, what: str, remedy: str) -> None:
    error = explain(said, system)
    assert what in error.what and remedy in error.remedy


def test_a_second_writer_is_told_from_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "look", lambda: state(node(10, takes=False)))
    error = explain("'v4l2loopback' backend: No v4l2 loopback device found at /dev/video[0-99].", "linux")
    assert "already sends" in error.what
