"""Fakes for the window's tests: a pipeline that records calls, services that wait at gates."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from motion_samples import make_face

from avatar.doctor.check import OK, Check
from avatar.errors import AvatarError
from avatar.frames import Frame, PortraitLayers, RgbImage
from avatar.images.box import Box
from avatar.live.broadcast import Broadcast, Preview
from avatar.live.config import LiveConfig
from avatar.live.events import Event
from avatar.live.statistics import LiveStatistics, OutputStatistics
from avatar.sources.camera_list import CameraInfo
from avatar.sources.microphone import SoundBlock, SoundMonitor
from avatar.system.v4l2_modes import CameraMode
from avatar.tracking import Face
from avatar.weights import ModelState
from avatar.weights.manifest import FOMM, Weight
from avatar.weights.stored import MISSING, READY
from ui.dialogs.doctor_report import Report
from ui.services import Services

CAMERA = CameraInfo(
    "usb-1", "Desk Camera", 0, modes=(CameraMode(640, 480, (15, 30)), CameraMode(1920, 1080, (5, 10, 60)))
)


class FakePipeline:
    """The public face of `avatar.live.pipeline.Pipeline`; `calls` holds (method, arguments)."""

    def __init__(self, config: LiveConfig, tell: Callable[[Event], None]) -> None:
        self.config, self.tell = config, tell
        self.avatar_frames: Broadcast[Frame] = Broadcast()
        self.camera_frames: Broadcast[Preview] = Broadcast()
        self.calls: list[tuple[str, Any]] = []
        self.outputs: dict[str, Any] = {}
        self.stopped = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("_"):
            raise AttributeError(name)

        def note(*arguments: Any) -> None:
            self.calls.append((name, arguments[0] if len(arguments) == 1 else arguments))

        return note

    def apply(self, config: LiveConfig) -> None:
        self.config = config

    def add_output(self, name: str, output: Callable[[], Any], *, at_once: bool = False) -> None:
        self.calls.append(("add_output", name))
        self.outputs[name] = output

    def in_place_of(self, frame: Frame) -> Frame:
        return frame

    def remove_output(self, name: str) -> None:
        self.calls.append(("remove_output", name))
        self.outputs.pop(name, None)

    def stop(self, timeout_s: float = 2.0) -> bool:
        self.stopped = True
        return True

    def statistics(self) -> LiveStatistics:
        outputs = {name: OutputStatistics(None, 29.6, 1, 0, 0) for name in self.outputs}
        return LiveStatistics(engine_rate=27.4, outputs=outputs)

    def last(self, name: str) -> Any:
        """Return the arguments of a method's last call."""
        return next(argument for called, argument in reversed(self.calls) if called == name)

    def called(self, name: str) -> int:
        """Return the number of calls of a method."""
        return sum(called == name for called, _ in self.calls)

    def show(self, level: int = 128, sequence: int = 0) -> Frame:
        """Deliver one avatar frame."""
        layers = PortraitLayers(self.config.avatar, (0.5, 0.4), face_size=(0.4, 0.5))
        frame = Frame(np.full((64, 64, 3), level, np.uint8), sequence, 0, layers=layers)
        self.avatar_frames.put(frame)
        return frame

    def show_camera(self) -> None:
        """Deliver one camera frame."""
        frame = Frame(np.full((48, 64, 3), 90, np.uint8), 0, 0)
        self.camera_frames.put(Preview(frame, make_face().landmarks, Box(8, 0, 48, 48)))


class PlayedSound:
    """An open microphone in which a test makes noise."""

    def __init__(self, name: str, monitor: SoundMonitor) -> None:
        self.name, self.monitor, self.closed = name, monitor, False

    def take(self) -> list[SoundBlock]:
        return []

    def close(self) -> None:
        self.closed = True


class GatedServices:
    """Services whose slow parts wait until a test opens their gate."""

    def __init__(self) -> None:
        self.cameras: tuple[CameraInfo, ...] = (CAMERA,)
        self.camera_gate, self.download_gate = threading.Event(), threading.Event()
        self.camera_gate.set()
        self.pulled: list[str] = []
        self.microphones: tuple[str, ...] | AvatarError = ("Built-in", "Headset")
        self.opened: list[PlayedSound] = []
        self.viewers = 0
        self.virtual_cameras: tuple[str, ...] = ("Masque",)
        self.report = Report((Check("python", OK, "Python is fine."),))
        vox = Weight("vox", "vox.tar", "First Order Motion Model, faces (256 px)", "MIT", FOMM, "faces",
                     bytes=4_000_000, sha256="0" * 64, urls=("https://example.org/vox",))  # fmt: skip
        bodies = Weight("tai", "tai.tar", "whose words say nothing", "MIT", FOMM, "whole pictures")
        self.states = [ModelState(vox, Path("vox.tar"), MISSING), ModelState(bodies, Path("tai.tar"), READY)]

    def services(self) -> Services:
        return Services(
            list_microphones=self._list_microphones, open_microphone=self._open_microphone,
            list_cameras=self._list_cameras, list_models=lambda: self.states, pull_model=self._pull,
            import_model=lambda name, path: path, doctor_report=lambda unwanted: self.report,
            list_virtual_cameras=lambda: self.virtual_cameras, count_viewers=lambda: self.viewers,
            engines=("warp", "fomm"),
        )  # fmt: skip

    def _list_microphones(self) -> tuple[str, ...]:
        if isinstance(self.microphones, AvatarError):
            raise self.microphones
        return self.microphones

    def _open_microphone(self, name: str, monitor: SoundMonitor) -> PlayedSound:
        self.opened.append(PlayedSound(name, monitor))
        return self.opened[-1]

    def _list_cameras(self) -> tuple[CameraInfo, ...]:
        assert self.camera_gate.wait(30)
        return self.cameras

    def _pull(self, name: str, progress: Callable[[int, int | None], None]) -> Path:
        for have in range(0, 5_000_000, 1_000_000):
            progress(have, 4_000_000)
            if have == 1_000_000:
                assert self.download_gate.wait(30)
        self.pulled.append(name)
        return Path("vox.tar")


def face_where_bright(rgb: RgbImage) -> list[Face]:
    """One face in a bright picture, two in a very bright one, none in a dark one."""
    level = float(rgb.mean())
    if level < 40:
        return []
    faces = [make_face(centre=(rgb.shape[1] / 2, rgb.shape[0] / 2))]
    return faces * 2 if level > 240 else faces


class Desk:
    """The whole app on a fake pipeline; what most of the window's tests begin with."""

    def __init__(self, app: Any, bot: Any, services: GatedServices) -> None:
        self.app, self.bot, self.services = app, bot, services
        self.session, self.captures, self.avatars = app.session, app.captures, app.avatars
        self.pipeline: FakePipeline = app.pipeline

    @property
    def window(self) -> Any:
        """The window that is open now."""
        return self.app.window

    def until(self, true: Callable[[], Any]) -> None:
        """Let Qt work until something holds."""
        self.bot.waitUntil(lambda: bool(true()), timeout=10_000)

    def press(self, key: Any, modifiers: Any = None) -> None:
        """Press a key in the widget that has the focus."""
        from PyQt5.QtCore import Qt
        from PyQt5.QtTest import QTest

        QTest.keyClick(self.window, key, modifiers or Qt.NoModifier)

    def names(self) -> list[str]:
        """The avatars of the strip, in order."""
        return [entry.avatar.name for entry in self.window.strip.list.model_.entries]

    def notices(self) -> list[str]:
        """The notices that are shown over the avatar."""
        return [banner.notice.text for banner in self.window.stage.banners.banners()]

    def use_camera(self) -> None:
        """Choose a camera, so that there is something to calibrate and to pass through."""
        self.session.change("camera", source=CAMERA.id)


@contextlib.contextmanager
def open_desk(qapp: Any, qtbot: Any, open_pipeline: Callable[..., Any]) -> Iterator[Desk]:
    """Open the app and pass its first-run guide."""
    from avatar.settings import Settings, WindowSettings, save_settings
    from ui.app import App

    save_settings(Settings(window=WindowSettings(guide_done=True)))
    services = GatedServices()
    app = App(qapp, services=services.services(), detect=face_where_bright, open_pipeline=open_pipeline)
    qapp.setQuitOnLastWindowClosed(False)
    app.window.closed.disconnect()  # it ends the application, which the next test wants to use
    app.show()
    desk = Desk(app, qtbot, services)
    try:
        desk.until(lambda: desk.names() and desk.window.panel.camera.cameras())
        desk.window.activateWindow()
        yield desk
    finally:
        services.camera_gate.set()
        services.download_gate.set()
        closed = app.close()  # after a failure, too: its threads would be reported in place of it
        app.window.replace_quietly()
        qapp.processEvents()
    assert closed
