"""Cameras and their failures on a fake driver; the list of cameras on a fake kernel."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import plain

from avatar.cv import cv2
from avatar.errors import CameraError
from avatar.sources import camera as camera_module
from avatar.sources import camera_list
from avatar.sources.camera import USUAL_SIZE, Camera
from avatar.sources.camera_list import CameraInfo, list_cameras, usual_camera
from avatar.system import v4l2
from avatar.system.v4l2 import VideoNode

INFO = CameraInfo("usb-test", "Test Camera", 7)
BRIGHT, BLACK = plain((10, 20, 200)), plain(0)  # as OpenCV has it: blue first


class Driver:
    """Stands in for cv2.VideoCapture; what `pictures` yields is sent: a picture, None for a refused read."""

    def __init__(
        self, *, opens: bool = True, raw_rate: float = 30, pictures: Callable[[], Any] = lambda: BRIGHT
    ) -> None:
        self.opens, self.raw_rate, self.next_picture = opens, raw_rate, pictures
        self.asked: dict[int, float] = {}
        self.order: list[int] = []
        self.released = threading.Event()
        self.hang = threading.Event()  # set: reads return

    def __call__(self, index: int, backend: int) -> Driver:
        assert index == INFO.index
        return self

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.opens

    def set(self, name: int, value: float) -> bool:
        self.asked[name] = value
        self.order.append(name)
        return True

    def get(self, name: int) -> float:
        if name == cv2.CAP_PROP_FPS and cv2.CAP_PROP_FOURCC not in self.asked:
            return self.raw_rate
        return self.asked.get(name, 0.0)

    def grab(self) -> bool:
        time.sleep(0.002)
        self.picture = self.next_picture()
        return self.picture is not None

    def retrieve(self) -> tuple[bool, Any]:
        return True, self.picture

    def release(self) -> None:
        self.released.set()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Camera]]:
    """Opens a camera over a driver, with short patience, and closes it twice."""
    cameras: list[Camera] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(v4l2, "query_node", lambda path: VideoNode(path, "Test Camera", "uvcvideo", True, False))
    monkeypatch.setattr(v4l2, "is_busy", lambda path: False)
    for name, value in (("FIRST_S", 0.4), ("SILENT_S", 0.25), ("BLACK_S", 0.2), ("_FAILING_S", 0.05)):
        monkeypatch.setattr(camera_module, name, value)

    def start(driver: Driver, size: tuple[int, int] = (64, 48)) -> Camera:
        monkeypatch.setattr(cv2, "VideoCapture", driver)
        cameras.append(Camera(INFO, size=size, rate=30))
        return cameras[-1]

    yield start
    for camera in cameras + cameras:
        camera.close()


def refused(camera: Camera) -> CameraError:
    """What ends the reading, within five seconds."""
    deadline_s = time.monotonic() + 5
    with pytest.raises(CameraError) as caught:
        while time.monotonic() < deadline_s:
            camera.read()
    assert caught.value.remedy
    return caught.value


def test_pictures_come_as_rgb_with_their_time(start: Any) -> None:
    camera = start(Driver())
    first, second = camera.read(), camera.read()
    assert np.array_equal(first.rgb[0, 0], [200, 20, 10])
    assert first.sequence < second.sequence and first.captured_ns < second.captured_ns <= time.monotonic_ns()


def test_the_rate_is_measured(start: Any) -> None:
    camera = start(Driver())
    assert camera.facts.rate is None
    for _ in range(40):
        camera.read()
    assert 20 < (camera.facts.rate or 0) < 500 and (camera.facts.width_px, camera.facts.height_px) == (64, 48)


@pytest.mark.parametrize(("raw_rate", "compressed"), [(30, False), (10, True), (0, False)])
def test_jpeg_is_asked_for_where_raw_is_too_slow(start: Any, raw_rate: float, compressed: bool) -> None:
    driver = Driver(raw_rate=raw_rate)
    start(driver).read()
    assert (driver.asked.get(cv2.CAP_PROP_FOURCC) == cv2.VideoWriter.fourcc(*"MJPG")) == compressed
    assert driver.asked[cv2.CAP_PROP_BUFFERSIZE] == 1 and driver.asked[cv2.CAP_PROP_FPS] == 30
    if compressed:  # the size is asked for again: another format has other sizes
        assert driver.order.index(cv2.CAP_PROP_FOURCC) < len(driver.order) - 3


@pytest.mark.parametrize(
    ("size", "told_rate", "words"),
    [
        ((64, 48), 30.0, ""),
        ((32, 24), 30.0, "Test Camera has no 64 x 48; it sends 32 x 24."),
        ((64, 48), 15.0, "Test Camera sends at most 15 frames per second at 64 x 48, not 30."),
    ],
)
def test_what_the_camera_does_not_offer_is_told(
    start: Any, size: tuple[int, int], told_rate: float, words: str
) -> None:
    picture = np.full((size[1], size[0], 3), 200, np.uint8)
    driver = Driver(pictures=lambda: picture)
    driver.get = lambda name: told_rate if name == cv2.CAP_PROP_FPS else float(size[0])  # type: ignore[method-assign]
    camera = start(driver)
    assert camera.read().rgb.shape[:2] == size[::-1]
    assert " ".join(camera.facts.notes) == words


def test_nothing_is_told_of_a_size_that_nobody_asked_for(start: Any) -> None:
    picture = np.full((48, 64, 3), 200, np.uint8)
    camera = start(Driver(pictures=lambda: picture), size=USUAL_SIZE)
    assert camera.read().rgb.shape == picture.shape and camera.facts.notes == ()


def test_an_input_without_signal_is_told_and_its_noise_is_not_read(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v4l2, "has_signal", lambda path: False)
    camera = start(Driver())
    error = refused(camera)
    assert error.what == "Test Camera has no signal." and "cable" in error.remedy
    assert camera._inbox.take(0) is None


def test_a_signal_that_is_lost_meanwhile_is_told(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    signals = [True]
    monkeypatch.setattr(v4l2, "has_signal", lambda path: signals[0])
    monkeypatch.setattr(camera_module, "_SIGNAL_S", 0.01)
    camera = start(Driver())
    camera.read()
    signals[0] = False
    assert refused(camera).what == "Test Camera has no signal."


def test_an_input_that_tells_nothing_of_signals_is_asked_once(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(v4l2, "has_signal", asked.append)
    monkeypatch.setattr(camera_module, "_SIGNAL_S", 0.0)
    camera = start(Driver())
    for _ in range(5):
        camera.read()
    assert len(asked) == 1


def raising(error: OSError) -> Callable[[Path], VideoNode]:
    def raise_it(path: Path) -> VideoNode:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "busy", "what", "remedy"),
    [
        (FileNotFoundError(), False, "is not plugged in", "Plug it in"),
        (PermissionError(), False, "may not be opened", "usermod -aG video"),
        (OSError(errno.EIO, "Input/output error"), False, "Input/output error", "another camera"),
        (None, True, "in use by another program", "Close other programs"),
        (None, False, "offers no pictures", "another camera"),
    ],
)
def test_a_camera_that_does_not_open_says_why(
    start: Any, monkeypatch: pytest.MonkeyPatch, error: OSError | None, busy: bool, what: str, remedy: str
) -> None:
    monkeypatch.setattr(v4l2, "is_busy", lambda path: busy)
    if error is not None:
        monkeypatch.setattr(v4l2, "query_node", raising(error))
    driver = Driver(opens=False)
    told = refused(start(driver))
    assert what in told.what and remedy in told.remedy and driver.released.is_set()


@pytest.mark.parametrize(("system", "words"), [("darwin", "Privacy & Security > Camera"), ("win32", "desktop apps")])
def test_other_systems_ask_for_permission(start: Any, monkeypatch: pytest.MonkeyPatch, system: str, words: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert words in refused(start(Driver(opens=False))).remedy


def test_a_camera_that_opens_and_sends_nothing(start: Any) -> None:
    driver = Driver()
    driver.grab = lambda: driver.hang.wait(20)  # type: ignore[method-assign]
    told = refused(start(driver))
    driver.hang.set()
    assert "opened but sent no picture" in told.what


def test_a_camera_that_stops(start: Any) -> None:
    driver, sent = Driver(), iter([BRIGHT] * 3)
    driver.next_picture = lambda: next(sent, None) if not driver.hang.is_set() else None

    def then_hang() -> bool:
        driver.picture = next(sent, None)
        return True if driver.picture is not None else not driver.hang.wait(20)

    driver.grab = then_hang  # type: ignore[method-assign]
    camera = start(driver)
    camera.read()
    told = refused(camera)
    driver.hang.set()
    assert "stopped sending" in told.what


def test_a_camera_that_is_unplugged(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = iter([BRIGHT] * 5)
    camera = start(Driver(pictures=lambda: next(sent, None)))
    camera.read()
    monkeypatch.setattr(v4l2, "query_node", raising(FileNotFoundError()))
    told = refused(camera)
    assert "unplugged" in told.what and "Plug it in again" in told.remedy


def test_a_refused_read_now_and_then_is_passed_over(start: Any) -> None:
    sent = iter([BRIGHT, None, BRIGHT, None, None, BRIGHT] + [BRIGHT] * 1000)
    camera = start(Driver(pictures=lambda: next(sent)))
    assert [camera.read().sequence for _ in range(10)][-1] >= 9


def test_black_pictures_are_told_and_never_handed_out_before_another(start: Any) -> None:
    camera = start(Driver(pictures=lambda: BLACK))
    told = refused(camera)
    assert "only black" in told.what and "shutter" in told.remedy


def test_a_few_black_pictures_at_the_start_are_passed_over(start: Any) -> None:
    sent = iter([BLACK] * 5 + [BRIGHT] * 5000)
    camera = start(Driver(pictures=lambda: next(sent)))
    assert camera.read().rgb.mean() > 50


def test_a_shutter_closed_meanwhile_is_told_after_a_while(start: Any) -> None:
    sent = iter([BRIGHT] * 3)
    camera = start(Driver(pictures=lambda: next(sent, BLACK)))
    assert camera.read().rgb.mean() > 50
    assert "only black" in refused(camera).what


def test_closing_ends_a_wait_and_releases_the_device(start: Any) -> None:
    driver = Driver(pictures=lambda: None)
    camera_module._FAILING_S = 10.0
    camera, errors = start(driver), []

    def read() -> None:
        try:
            camera.read()
        except CameraError as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    camera.interrupt()
    reader.join(5)
    camera.close()
    assert not reader.is_alive() and "was closed" in errors[0].what and driver.released.is_set()


def test_a_driver_that_hangs_does_not_hold_up_the_close(start: Any) -> None:
    driver, entered = Driver(), threading.Event()
    driver.grab = lambda: entered.set() or driver.hang.wait(20)  # type: ignore[method-assign]
    camera = start(driver)
    assert entered.wait(5)
    began_s = time.monotonic()
    camera.close()
    assert time.monotonic() - began_s < 5 and not driver.released.is_set()
    driver.hang.set()
    assert driver.released.wait(5), "the device goes when the driver returns"


def test_a_driver_that_raises_is_reported_on_the_reading_thread(start: Any) -> None:
    def fail() -> Any:
        raise RuntimeError("internal driver error")

    assert "internal driver error" in refused(start(Driver(pictures=fail))).what


NODES = {
    "video0": VideoNode(Path("video0"), "Integrated Camera", "uvcvideo", True, False),
    "video1": VideoNode(Path("video1"), "Integrated Camera", "uvcvideo", False, False),  # its metadata
    "video2": VideoNode(Path("video2"), "Integrated Camera", "uvcvideo", True, False),  # another of the kind
    "video9": VideoNode(Path("video9"), "Phone", v4l2.LOOPBACK_DRIVER, True, False),
    "video10": VideoNode(Path("video10"), "Masque", v4l2.LOOPBACK_DRIVER, True, True),
    "video11": VideoNode(Path("video11"), "OBS", v4l2.LOOPBACK_DRIVER, False, True),  # nobody sends to it
    "video12": VideoNode(Path("video12"), "Dummy", v4l2.LOOPBACK_DRIVER, True, True),  # we send to it
    "video16": VideoNode(Path("video16"), "Grabber", "tc358743", True, False),  # nothing is connected to it
}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A /dev of files and a kernel that knows them."""
    for name in (*NODES, "video13", "video14", "video15", "videophone"):
        (tmp_path / name).touch()

    def query(path: Path) -> VideoNode:
        if path.name in ("video13", "video15"):
            raise PermissionError
        if path.name not in NODES:
            raise OSError(errno.ENOTTY, "not a video device")
        return NODES[path.name]

    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "usb-5986_Integrated-video-index0").symlink_to(tmp_path / "video0")
    for number, name in ((13, "Forbidden Camera"), (15, v4l2.CARD_LABEL)):
        (tmp_path / "sys" / f"video{number}").mkdir(parents=True)
        (tmp_path / "sys" / f"video{number}" / "index").write_text("0\n")
        (tmp_path / "sys" / f"video{number}" / "name").write_text(f"{name}\n")
    monkeypatch.setattr(v4l2, "DEVICES", tmp_path)
    monkeypatch.setattr(v4l2, "query_node", query)
    monkeypatch.setattr(v4l2, "written_by_us", lambda path: path.name == "video12")
    monkeypatch.setattr(v4l2, "has_signal", lambda path: False if path.name == "video16" else None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(camera_list, "_BY_ID", (tmp_path / "by-id", tmp_path / "by-path"))
    monkeypatch.setattr(camera_list, "_SYSFS", tmp_path / "sys")
    return tmp_path


def test_linux_lists_cameras_by_name_and_stable_id(kernel: Path) -> None:
    assert list_cameras() == (
        CameraInfo("usb-5986_Integrated-video-index0", "Integrated Camera", 0),
        CameraInfo("video2", "Integrated Camera (2)", 2),
        CameraInfo("video9", "Phone", 9, is_virtual=True),
        CameraInfo("video13", "Forbidden Camera", 13),
        CameraInfo("video16", "Grabber", 16, has_signal=False),
    )


def test_our_own_device_is_no_camera_even_if_it_may_not_be_opened(kernel: Path) -> None:
    assert v4l2.CARD_LABEL not in [camera.name for camera in list_cameras()]


def test_a_virtual_camera_that_may_not_be_opened_is_known_by_where_the_system_keeps_it(kernel: Path) -> None:
    real = kernel / "sys" / "devices" / "virtual" / "video4linux" / "video13"
    real.parent.mkdir(parents=True)
    (kernel / "sys" / "video13").rename(real)
    (kernel / "sys" / "video13").symlink_to(real)
    assert [camera.name for camera in list_cameras() if camera.is_virtual] == ["Phone", "Forbidden Camera"]


def test_the_usual_camera_is_a_real_one_with_a_signal() -> None:
    phone, grabber = CameraInfo("1", "Phone", 1, is_virtual=True), CameraInfo("2", "Grabber", 2, has_signal=False)
    webcam = CameraInfo("3", "Webcam", 3)
    assert usual_camera([phone, grabber, webcam]) == webcam
    assert usual_camera([phone, grabber]) == grabber
    assert usual_camera([phone]) is None and usual_camera([]) is None


def test_a_driver_that_hangs_costs_the_list_and_not_the_program(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(v4l2, "query_node", lambda path: gate.wait(20) and NODES["video0"])
    assert list_cameras(timeout_s=0.1) == ()
    gate.set()


class Device:
    def __init__(self, name: str, description: str, *media_types: str) -> None:
        self.name, self.description, self.media_types = name, description, media_types


def test_windows_asks_directshow(monkeypatch: pytest.MonkeyPatch) -> None:
    import av

    devices = [
        Device("@1", "Webcam", "video"),
        Device("@2", "Microphone", "audio"),
        Device("@3", "OBS Virtual Camera", "video"),
        Device("@4", "Webcam", "video"),
    ]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(av, "enumerate_input_devices", lambda kind: devices if kind == "dshow" else [])
    assert list_cameras() == (CameraInfo("@1", "Webcam", 0), CameraInfo("@4", "Webcam (2)", 2))


def test_macos_asks_the_system_and_sorts_as_opencv_does(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer:
        stdout = (
            b'{"SPCameraDataType": [{"_name": "iPhone", "spcamera_unique-id": "B"},'
            b'{"_name": "FaceTime HD Camera", "spcamera_unique-id": "A"}]}'
        )

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: Answer)
    assert list_cameras() == (CameraInfo("A", "FaceTime HD Camera", 0), CameraInfo("B", "iPhone", 1))


def test_names_that_cannot_be_had_leave_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", raising(FileNotFoundError(2, "no system_profiler")))
    assert [camera.name for camera in list_cameras()] == ["Camera 0", "Camera 1", "Camera 2", "Camera 3"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_other_programs_that_hold_a_device_are_counted(tmp_path: Path) -> None:
    device = tmp_path / "video10"
    device.touch()
    assert v4l2.programs_at(device) == 0
    with device.open("rb"):  # this program is no other
        assert v4l2.programs_at(device) == 0
        hold = "import sys; held = open(sys.argv[1], 'rb'); print(flush=True); sys.stdin.read()"
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-c", hold, str(device)], stdin=pipe, stdout=pipe) as other:
            assert other.stdout is not None and other.stdout.readline()
            assert v4l2.programs_at(device) == 1
            other.communicate()
    assert v4l2.programs_at(device) == 0
