"""The virtual camera: pyvirtualcam's own backend on a simulated device, and the message for each failure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
import pyvirtualcam
from fakes import plain
from places import ROOT
from v4l2_shim import Shim

from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs.base import ChangeRefusedError, PacedOutput, ResizableOutput
from avatar.outputs.canvas import CanvasOptions, compose
from avatar.outputs.live import loopback
from avatar.outputs.live.card import BARS
from avatar.outputs.live.loopback import Loopback
from avatar.outputs.live.virtual_camera import VirtualCamera, explain
from avatar.system.v4l2 import LOOPBACK_DRIVER, VideoNode

SMALL = (320, 180)

SENDER = """
import sys
import numpy as np
from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs.live.virtual_camera import VirtualCamera
try:
    camera = VirtualCamera(({width}, {height}))
    print(camera.facts)
    camera.repeat()
    for number, colour in enumerate([(220, 30, 20), (20, 200, 40), (30, 40, 210)]):
        camera.send(Frame(np.full(({height}, {width}, 3), colour, np.uint8), number, 0))
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


# What follows plays the device for several programs: ours, others that send, and others that look.

OLD, NEW = "0.12.7", "0.15.0"
PRELUDE = """
import os, sys, time
from pathlib import Path
import numpy as np
import pyvirtualcam
from avatar.system import v4l2
from avatar.doctor.devices import look_at_virtual_camera
from avatar.errors import OutputError
from avatar.frames import Frame
from avatar.outputs.live import loopback
from avatar.outputs.live.virtual_camera import VirtualCamera

DEVICE = Path(os.environ["MASQUE_SHIM_DEVICE"])
v4l2.DEVICES = DEVICE.parent
loopback._MODULE = DEVICE.parent / "module"

def start(width=64, height=36):
    "Send two frames and stop; tell why if that cannot be."
    try:
        camera = VirtualCamera((width, height))
        camera.repeat()
        camera.repeat()
        camera.close()
        print("sent")
    except OutputError as error:
        print(error.what, error.remedy)

def doctor():
    print(*(check.what for check in look_at_virtual_camera()))

def send_as_others(width=64, height=36):
    "As pyvirtualcam alone does."
    camera = pyvirtualcam.Camera(width, height, 30, device=str(DEVICE))
    camera.send(np.zeros((height, width, 3), np.uint8))
    return camera

def look():
    "As a call: the device stays open."
    device = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    os.read(device, 1)
    return device

def say(text):
    print(text, flush=True)
"""


class Played:
    """A played device and programs that use it."""

    def __init__(self, folder: Path, module: str, **more: Any) -> None:
        devices = folder / "dev"
        devices.mkdir()
        (devices / "video10").touch()
        (devices / "module").mkdir()
        if module != OLD:  # which does not tell
            (devices / "module" / "version").write_text(f"{module}\n")
        self.shim = Shim.build(folder, str(devices / "video10"))
        self.environment = self.shim.environment(module=module, **more) | {"QT_QPA_PLATFORM": "offscreen"}

    def run(self, code: str) -> list[str]:
        """What a program says."""
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code], env=self.environment, cwd=ROOT, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    @contextlib.contextmanager
    def beside(self, code: str) -> Iterator[subprocess.Popen[str]]:
        """A program that has said its first line and runs on until its input ends, or it is killed."""
        with subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code], env=self.environment, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as program:  # fmt: skip
            assert program.stdout is not None and program.stdout.readline().strip() == "ready"
            try:
                yield program
            finally:
                if program.poll() is None:
                    program.communicate()


HOLDS = "held = look(); say('ready'); sys.stdin.read()"
SENDS = """
camera = send_as_others()
say("ready")
import select
while not select.select([sys.stdin], [], [], 0.03)[0]:
    camera.send(np.zeros((36, 64, 3), np.uint8))
"""


@pytest.fixture(params=[OLD, NEW])
def module(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_stand_in_of_0_12_takes_nothing_after_a_sender_that_only_wrote(tmp_path: Path) -> None:
    said = Played(tmp_path, OLD).run("""
send_as_others().close()
node = v4l2.query_node(DEVICE)
print(node.captures, node.takes, node.is_stuck)
""")
    assert said == ["False False True"]


def test_a_device_takes_frames_again_after_each_stop(tmp_path: Path, module: str) -> None:
    played = Played(tmp_path, module)
    assert played.run("start(); start(96, 54); start()") + played.run("start()") == ["sent"] * 4
    assert played.shim.sizes() == [(64, 36)] * 2 + [(96, 54)] * 2 + [(64, 36)] * 4


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_a_device_takes_frames_again_after_a_sender_was_killed(tmp_path: Path, module: str) -> None:
    played = Played(tmp_path, module)
    sends = "camera = VirtualCamera((64, 36)); camera.repeat(); say('ready'); sys.stdin.read()"
    with played.beside(sends) as program:
        program.kill()
        program.wait()
    assert played.run("doctor(); start()") == ["1 there and free.", "sent"]


def test_a_start_while_a_call_still_looks(tmp_path: Path, module: str) -> None:
    played = Played(tmp_path, module)
    code = """
camera = VirtualCamera((64, 36))
camera.repeat()
held = look()
camera.close()
start()
start(96, 54)
"""
    sent, refused = played.run(code)
    assert sent == "sent"
    assert "held at 64 x 36 by a program that reads" in refused and "Close its picture there" in refused


def test_a_device_that_is_held_in_another_format_gets_no_shreds(tmp_path: Path, module: str) -> None:
    played = Played(tmp_path, module)
    code = """
camera = pyvirtualcam.Camera(64, 36, 30, fmt=pyvirtualcam.PixelFormat.GRAY, device=str(DEVICE))
camera.send(np.zeros((36, 64), np.uint8))
held = look()
camera.close()
v4l2.revive(DEVICE)
start()
"""
    assert "held at 64 x 36 in the format GREY" in played.run(code)[0] and len(played.shim.sizes()) == 1


def test_a_device_that_another_program_left_stuck_is_set_free(tmp_path: Path) -> None:
    assert Played(tmp_path, OLD).run("send_as_others().close(); start()") == ["sent"]


def test_a_device_that_stays_stuck_is_told_from_one_that_others_use(tmp_path: Path) -> None:
    doctor, start = Played(tmp_path, OLD, fault="stuck").run("doctor(); start()")
    for said in (doctor, start):
        assert "stuck: it neither captures nor accepts" in said
    assert f"reload the module: {loopback.RELOAD}" in start


def test_a_stuck_device_that_somebody_reads_is_stuck_too(tmp_path: Path) -> None:
    played = Played(tmp_path, OLD)
    doctor, start = played.run("camera = send_as_others(); held = look(); camera.close(); doctor(); start()")
    assert "is stuck" in doctor and "is stuck" in start and "have it open" in start


@pytest.mark.parametrize(
    ("status", "signal"), [("0", "None"), ("1", "False"), ("2", "False"), ("0x10000", "False"), ("0x10", "None")]
)
def test_the_input_of_a_device_tells_whether_it_has_a_signal(tmp_path: Path, status: str, signal: str) -> None:
    assert Played(tmp_path, NEW, input=status).run("print(v4l2.has_signal(DEVICE))") == [signal]


@pytest.mark.parametrize("caps", ["", "all"], ids=["exclusive", "not-exclusive"])
def test_a_second_sender_is_refused(tmp_path: Path, module: str, caps: str) -> None:
    played = Played(tmp_path, module, caps=caps)
    with played.beside(SENDS):
        before = len(played.shim.times_s())
        told, said = played.run("doctor(); start(96, 54)")
    assert told == "Another program sends to every virtual camera."
    assert said.startswith("Another program already sends to the virtual camera."), said
    assert len(played.shim.times_s()) > before and set(played.shim.sizes()) == {(64, 36)}


def test_without_exclusive_caps_a_reader_is_no_sender(tmp_path: Path, module: str) -> None:
    played = Played(tmp_path, module, caps="all")
    said = played.run("camera = send_as_others(); held = look(); camera.close(); start(); doctor()")
    assert said[0] == "sent"


@pytest.mark.parametrize(("caps", "words"), [("", "1 there and free."), ("all", "without exclusive_caps")])
def test_whether_a_device_is_exclusive_is_asked_of_itself(tmp_path: Path, module: str, caps: str, words: str) -> None:
    played = Played(tmp_path, module, caps=caps)
    parameters = tmp_path / "dev" / "module" / "parameters"
    parameters.mkdir()
    (parameters / "exclusive_caps").write_text("N,Y\n" if caps == "" else "Y,N\n")  # of another device, in its order
    assert words in played.run("doctor()")[0]


def test_an_exclusive_device_that_a_call_still_reads_gets_no_warning(tmp_path: Path) -> None:
    code = """
camera = VirtualCamera((64, 36))
camera.repeat()
held = look()
camera.close()
node = v4l2.query_node(DEVICE)
print(node.captures and node.takes)
doctor()
"""
    assert Played(tmp_path, OLD).run(code) == ["True", "1 there and free."]


def test_another_size_opens_the_camera_again(tmp_path: Path, module: str) -> None:
    code = """
def half(width, height):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2] = 200
    return Frame(picture, 0, 0)

camera = VirtualCamera((64, 36), device=str(DEVICE))
camera.send(half(64, 36))
print(camera.facts.split(", ", 1)[1])
camera.resize((96, 54))
camera.send(half(96, 54))
print(camera.facts.split(", ", 1)[1])
camera.close()
"""
    played = Played(tmp_path, module)
    assert played.run(code) == ["64 x 36 at 30", "96 x 54 at 30"]
    assert played.shim.sizes() == [(64, 36), (96, 54)]
    data = played.shim.file.read_bytes()
    bright = [[data[at + 18 * width + x] > 100 for x in (width // 4, 3 * width // 4)]
              for at, width in ((0, 64), (64 * 36 * 3 // 2, 96))]  # fmt: skip
    assert bright == [[True, False], [True, False]]


def test_a_size_that_a_reader_holds_is_refused_and_the_old_one_goes_on(tmp_path: Path, module: str) -> None:
    code = """
from avatar.outputs.base import ChangeRefusedError
camera = VirtualCamera((64, 36))
camera.repeat()
held = look()
try:
    camera.resize((96, 54))
except ChangeRefusedError as error:
    print(error.what, error.remedy)
camera.repeat()
print(camera.facts.split(", ", 1)[1])
os.close(held)
camera.resize((96, 54))
camera.repeat()
camera.close()
"""
    played = Played(tmp_path, module)
    refused, facts = played.run(code)
    assert refused.startswith("The virtual camera is held at 64 x 36 by a program that reads it. It stays at 64")
    assert "then choose the size again" in refused and facts == "64 x 36 at 30"
    assert played.shim.sizes() == [(64, 36), (64, 36), (96, 54)]


@pytest.mark.parametrize("held", [False, True], ids=["nobody-looks", "a-call-looks"])
def test_a_hundred_changes_in_the_window_lose_neither_camera_nor_recording(
    tmp_path: Path, module: str, held: bool
) -> None:
    pytest.importorskip("PyQt5")
    played = Played(tmp_path, module)
    script = [sys.executable, str(ROOT / "tests" / "support" / "window_outputs.py"), str(tmp_path / "captures")]
    environment = played.environment | {"PYTHONPATH": os.pathsep.join(sys.path), "MASQUE_SHIM_DEVICE": "/dev/video10"}
    played.environment["MASQUE_SHIM_DEVICE"] = "/dev/video10"  # which pyvirtualcam looks for by itself
    with subprocess.Popen(
        [*script, "11", *(["held"] if held else [])], env=environment, cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as window, contextlib.ExitStack() as stack:  # fmt: skip
        assert window.stdin is not None and window.stdout is not None
        assert window.stdout.readline().strip() == "sends"
        if held:
            stack.enter_context(played.beside(HOLDS))
        said, errors = window.communicate("go on\n", timeout=120)
    assert window.returncode == 0, errors
    told = json.loads(said)
    assert told["ended"] == [] and told["settled"], told
    canvas = CanvasOptions(**told["canvas"])
    refused = [notice for notice in told["notices"] if "is held at 64 x 36" in notice]
    if held:
        assert refused and set(played.shim.sizes()) == {(64, 36)} == {(canvas.width_px, canvas.height_px)}
    else:
        assert not refused and len(set(played.shim.sizes())) == 3
    size = canvas.width_px * canvas.height_px
    luma = np.frombuffer(played.shim.file.read_bytes()[-size * 3 // 2 :][:size], np.uint8).astype(int)
    painted = compose(plain(tuple(told["paint"]), (32, 32)), canvas).astype(float) @ (0.257, 0.504, 0.098) + 16
    assert np.abs(luma - painted.ravel()).mean() < 3, "what is sent at the end is what was set last"
    with av.open(told["recording"]) as film:
        assert film.streams.video[0].width == 64 and sum(1 for _ in film.decode(video=0)) > 30


class MemoryBackend:
    """Keeps frames, and says what it is told to say when it is opened."""

    error: ClassVar[Exception | None] = None
    refused_px: ClassVar[int] = 0  # a width
    opened: ClassVar[list[MemoryBackend]] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **rest: Any) -> None:
        if self.error is not None:
            raise self.error
        if width == self.refused_px:
            raise RuntimeError("could not be configured: Device or resource busy")
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
    monkeypatch.setattr(MemoryBackend, "refused_px", 0)
    yield MemoryBackend


def state(*devices: VideoNode, installed: bool = True, loaded: bool = True, **facts: Any) -> Loopback:
    return Loopback(installed, loaded, devices, facts.get("forbidden", 0))


def node(number: int, name: str = "Masque", *, takes: bool = True, captures: bool | None = None) -> VideoNode:
    captures = not takes if captures is None else captures
    return VideoNode(Path(f"/dev/video{number}"), name, LOOPBACK_DRIVER, captures=captures, takes=takes)


def test_the_test_card_stands_until_the_first_frame_and_the_last_frame_after_it(memory: type[MemoryBackend]) -> None:
    camera = VirtualCamera(SMALL, rate=25)
    assert isinstance(camera, PacedOutput) and isinstance(camera, ResizableOutput) and camera.rate == 25
    camera.repeat()
    camera.send(Frame(plain(77, SMALL), 0, 0))
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
        VirtualCamera((321, 181))
    assert "322 x 182" in caught.value.remedy and memory.opened == []


def test_a_change_to_an_odd_size_is_refused_and_nothing_is_closed(memory: type[MemoryBackend]) -> None:
    camera = VirtualCamera(SMALL)
    with pytest.raises(ChangeRefusedError, match="321 x 181"):
        camera.resize((321, 181))
    camera.repeat()
    assert len(memory.opened) == 1 and memory.opened[0].closed == 0 and len(memory.opened[0].sent) == 1


def test_a_size_that_the_driver_refuses_leaves_the_old_one(memory: type[MemoryBackend]) -> None:
    """As v4l2loopback 0.13.2 does, which says that it is busy."""
    camera = VirtualCamera(SMALL)
    memory.refused_px = 640
    with pytest.raises(ChangeRefusedError, match="held at 320 x 180 by a program that reads"):
        camera.resize((640, 360))
    camera.repeat()
    assert [backend.closed for backend in memory.opened] == [1, 0] and len(memory.opened[1].sent) == 1
    memory.error = RuntimeError("gone")
    with pytest.raises(OutputError) as caught:
        camera.resize((640, 360))
    assert not isinstance(caught.value, ChangeRefusedError), "it is over"
    camera.close()


def test_an_unknown_backend_is_refused(memory: type[MemoryBackend]) -> None:
    with pytest.raises(OutputError, match="called obs") as caught:
        VirtualCamera(SMALL, backend="obs")
    assert "memory" in caught.value.remedy


def test_without_the_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(OutputError, match="pyvirtualcam") as caught:
        VirtualCamera(SMALL)
    assert "-m pip install -r requirements.txt" in caught.value.remedy


def test_a_device_that_vanishes_ends_the_output(
    memory: type[MemoryBackend], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"v4l2loopback": memory})
    monkeypatch.setattr("avatar.outputs.live.virtual_camera._WATCH_S", 0.0)
    camera = VirtualCamera(SMALL, device=str(tmp_path / "video10"))
    with pytest.raises(OutputError, match="is gone"):
        camera.repeat()
    camera.close()


@pytest.fixture(autouse=True)
def newest_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "_module_version", lambda: (0, 15, 0))


def test_one_of_several_is_found_by_its_name_or_path(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = tuple(
        VideoNode(Path(f"/dev/video{number}"), name, LOOPBACK_DRIVER, captures, True)
        for number, name, captures in (
            (9, "OBS", False),
            (10, "Masque", False),
            (11, "Masque", False),
            (12, "Cam", True),
        )
    )
    monkeypatch.setattr("avatar.system.v4l2.is_busy", lambda path, *, output: path.name == "video12")
    monkeypatch.setattr(loopback, "_module_version", lambda: (0, 15, 0))
    assert list(loopback.named(nodes)) == ["Masque", "Masque (/dev/video11)", "OBS", "Cam"]
    for wanted, number in (("OBS", 9), ("Masque (/dev/video11)", 11), ("/dev/video10", 10)):
        assert loopback.find(nodes, wanted) == Path(f"/dev/video{number}")
    with pytest.raises(OutputError, match="already sends to the virtual camera Cam"):
        loopback.find(nodes, "Cam")
    with pytest.raises(OutputError, match="There is no virtual camera called Nobody") as caught:
        loopback.find(nodes, "Nobody")
    assert caught.value.remedy == "There are: Masque, Masque (/dev/video11), OBS, Cam."
    with pytest.raises(OutputError) as caught:
        loopback.find((), "Nobody")
    assert "modprobe v4l2loopback" in caught.value.remedy


def test_the_chosen_device_is_opened(shim: Shim) -> None:
    listed = (
        "from pathlib import Path\nfrom avatar.system import v4l2\nv4l2.video_paths = lambda: [Path('/dev/video10')]\n"
    )
    code = listed + SENDER.format(width=320, height=180).replace("(320, 180))", "(320, 180), named='Masque')", 1)
    other = code.replace("named='Masque'", "named='Second'")
    for text, words in ((code, "/dev/video10, 320 x 180 at 30"), (other, "There is no virtual camera called Second.")):
        done = subprocess.run(
            [sys.executable, "-c", text], env=shim.environment(), cwd=ROOT, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.stdout.startswith(words), done.stdout + done.stderr


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
        (state(node(10, captures=True)), ["Close the programs", "modprobe -r"]),
        (state(node(3, "Other", captures=True), node(10)), [""]),
        (state(node(3, "Other"), node(10, captures=True)), ["Close the programs", "modprobe -r"]),
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
