"""Virtual camera, recording, snapshot and replay: outputs that the window switches."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt5.QtCore import QObject, QStandardPaths, pyqtSignal

from avatar.errors import AvatarError
from avatar.frames import Frame
from avatar.live.events import Event, OutputFailed, OutputLacks, OutputRefused, OutputStarted
from avatar.outputs.base import Output
from avatar.outputs.live.encoder import EncoderPool
from avatar.settings import CanvasSettings, Settings
from avatar.sources.microphone import SoundMonitor
from avatar.system.message import together
from ui.background import Lane
from ui.look.language import tr
from ui.session import Notice, Session

if TYPE_CHECKING:
    from avatar.outputs.live.browser_source import BrowserSource
    from avatar.outputs.live.replay import ReplayRing

_SUFFIXES = {"mp4": ".mp4", "webm": ".webm", "png": ""}  # by kind of recording; a folder's name has no ending
CAMERA, RECORDING, REPLAY, BROWSER = "virtual-camera", "recording", "replay", "browser-source"


@dataclasses.dataclass(frozen=True)
class CaptureState:
    """State of the outputs; one that is on without facts is being opened."""

    camera: bool = False
    camera_facts: str = ""
    camera_problem: AvatarError | None = None
    recording: Path | None = None
    recording_since_s: float = 0.0  # monotonic
    replay: bool = False
    browser: bool = False
    browser_address: str = ""
    browser_problem: AvatarError | None = None

    @property
    def camera_text(self) -> str:
        """Label of the button for the camera, so that colour is not the only indication."""
        return tr("Virtual camera: on") if self.camera else tr("Virtual camera")


class Captures(QObject):
    """Switches the outputs, which open on their own threads and report the result by an event."""

    changed = pyqtSignal(object)  # CaptureState

    def __init__(self, session: Session, files: Lane) -> None:
        super().__init__(session)
        self.state = CaptureState()
        self._session, self._files = session, files
        self._ring: ReplayRing | None = None
        self._page: BrowserSource | None = None
        self._device = ""  # that the virtual camera was opened on
        self._encoders = EncoderPool()  # recording and replay share one stream
        self.monitor = SoundMonitor(muted=session.settings.sound.muted)
        session.happened.connect(self._take_in)
        session.changed.connect(self._follow)
        if session.settings.window.replay:
            self._start_replay()

    @property
    def live(self) -> bool:
        """True if an output is on, so that others may be watching or a file is being written."""
        return self.state.camera or self.state.browser or self.state.recording is not None

    def set_camera(self, on: bool) -> None:
        """Switch the virtual camera."""
        if on:
            self._set(camera=True, camera_facts="", camera_problem=None)
            self._session.cleared.emit(CAMERA)
            self._session.pipeline.add_output(CAMERA, self._open_camera())
        else:
            self._session.pipeline.remove_output(CAMERA)
            self._set(camera=False, camera_facts="")

    def set_browser(self, on: bool) -> None:
        """Switch the page for OBS's browser source; its address stays the same."""
        if not on:
            self._session.pipeline.remove_output(BROWSER)
            self._page = None
            self._set(browser=False, browser_address="")
            return
        from avatar.outputs.live.browser_source import BrowserSource, new_path

        if not self._session.settings.browser.path:
            self._session.change("browser", path=new_path())
        browser = self._session.settings.browser

        def open_page() -> Output:
            self._page = BrowserSource(browser.port, browser.path)
            return self._page

        self._set(browser=True, browser_address="", browser_problem=None)
        self._session.pipeline.add_output(BROWSER, open_page)

    def browser_viewers(self) -> tuple[int, float | None]:
        """Return how many look at the page, and the 95th percentile of their latency in milliseconds."""
        return (0, None) if self._page is None else (self._page.viewers, self._page.latency_ms())

    def set_recording(self, on: bool) -> None:
        """Start a recording with a new name, or end it."""
        if on and self.state.recording is None:
            suffix = _SUFFIXES[kind_of_recording(self._session.settings)]
            self._files.run(lambda: _new_file(self.folder(), suffix), self._record, self._complain)
        elif not on and self.state.recording is not None:
            path = self.state.recording
            self._session.pipeline.remove_output(RECORDING)
            self._set(recording=None)
            self._told_where(tr("Recorded: {name}", name=path.name), path)

    def snapshot(self, frame: Frame | None) -> None:
        """Save the current frame as an image, as others see it."""
        if frame is None:
            self._session.notice(Notice(tr("There is no picture yet."), level="warning"))
            return
        frame = self._session.pipeline.in_place_of(frame)  # the window may not know yet that pass-through has ended
        canvas = self._session.settings.canvas

        def save() -> Path:
            from avatar.outputs.live.snapshot import save_snapshot

            path = _new_file(self.folder(), ".png")
            save_snapshot(path, frame, canvas)
            return path

        self._files.run(save, lambda path: self._told_where(tr("Saved: {name}", name=path.name), path), self._complain)

    def save_replay(self) -> None:
        """Save the last half minute; if it was not kept so far, keep it from now on."""
        if self._ring is None:
            self._session.change("window", replay=True)
            text = tr("From now on the last 30 seconds are kept. Press again to save them.")
            self._session.notice(Notice(text))
            return
        ring = self._ring

        def save() -> Path:
            path = _new_file(self.folder(), ".mp4")
            ring.save(path)
            return path

        self._files.run(save, lambda path: self._told_where(tr("Saved: {name}", name=path.name), path), self._complain)

    def folder(self) -> Path:
        """Return the folder of recordings and snapshots."""
        chosen = self._session.settings.window.captures
        videos = QStandardPaths.writableLocation(QStandardPaths.MoviesLocation) or str(Path.home())
        return Path(chosen) if chosen else Path(videos) / "Masque"

    def _record(self, path: Path) -> None:
        settings, monitor = self._session.settings, self.monitor
        size, sound, name = settings.canvas.size, settings.window.microphone, settings.sound.microphone or None

        def open_recorder() -> Output:
            from avatar.outputs.live.recorder import open_recording

            if not sound:
                return open_recording(path, size, encoders=self._encoders)
            from avatar.sources.microphone import Microphone

            microphone = lambda: Microphone(name, monitor=monitor)  # noqa: E731
            return open_recording(path, size, microphone=microphone, encoders=self._encoders)

        self._set(recording=path, recording_since_s=time.monotonic())
        self._session.pipeline.add_output(RECORDING, open_recorder, at_once=True)

    def _open_camera(self) -> Callable[[], Output]:
        size, self._device = self._session.settings.canvas.size, self._session.settings.virtual_camera.device
        device = self._device

        def open_camera() -> Output:
            from avatar.outputs.live.virtual_camera import VirtualCamera

            return VirtualCamera(size, named=device)

        return open_camera

    def _start_replay(self) -> None:
        size = self._session.settings.canvas.size

        def open_ring() -> Output:
            from avatar.outputs.live.replay import ReplayRing

            self._ring = ReplayRing(size, encoders=self._encoders)
            return self._ring

        self._set(replay=True)
        self._session.pipeline.add_output(REPLAY, open_ring)

    def _follow(self, settings: Settings) -> None:
        if self.state.camera and settings.virtual_camera.device != self._device:
            self.set_camera(True)
        if settings.window.replay != self.state.replay:
            if settings.window.replay:
                self._start_replay()
            else:
                self._session.pipeline.remove_output(REPLAY)
                self._ring = None
                self._set(replay=False)

    def _take_in(self, event: Event) -> None:
        match event:
            case OutputStarted(name="virtual-camera", facts=facts):
                self._set(camera_facts=facts or tr("open"))
                self._session.cleared.emit(CAMERA)
            case OutputRefused(name="virtual-camera", error=error, wanted=wanted, kept=kept):
                self._session.notice(Notice(error.what, error.remedy, "warning", CAMERA))
                self._keep_size(wanted, kept)
            case OutputFailed(name="virtual-camera", error=error):
                self._set(camera=False, camera_facts="", camera_problem=error)
                self._session.notice(Notice(error.what, error.remedy, "error", CAMERA, "virtual_camera"))
            case OutputStarted(name="browser-source", facts=facts):
                self._set(browser_address=facts)
                self._session.cleared.emit(BROWSER)
            case OutputFailed(name="browser-source", error=error):
                self._page = None
                self._set(browser=False, browser_address="", browser_problem=error)
                self._session.notice(Notice(error.what, error.remedy, "error", BROWSER))
            case OutputLacks(name="recording", error=error):
                what = together("This recording has no sound.", error.what)
                self._session.notice(Notice(what, error.remedy, "warning", RECORDING))
            case OutputFailed(name="recording", error=error):
                self._set(recording=None)
                self._session.notice(Notice(error.what, error.remedy, "error", RECORDING))
            case OutputFailed(name="replay", error=error):
                self._ring = None
                self._session.change("window", replay=False)
                self._complain(error)

    def _keep_size(self, wanted: CanvasSettings, kept: CanvasSettings) -> None:
        """Restore the previous size after a refusal, unless another one was chosen meanwhile."""
        canvas = self._session.settings.canvas
        if (canvas.width_px, canvas.height_px) == (wanted.width_px, wanted.height_px):
            self._session.change("canvas", width_px=kept.width_px, height_px=kept.height_px)

    def _set(self, **values: object) -> None:
        self.state = dataclasses.replace(self.state, **values)  # type: ignore[arg-type]
        self.changed.emit(self.state)

    def _told_where(self, text: str, path: Path) -> None:
        self._session.notice(Notice(text, str(path.parent), "good", action="open_captures"))

    def _complain(self, error: AvatarError) -> None:
        self._session.notice(Notice(error.what, error.remedy, "error"))


def kind_of_recording(settings: Settings) -> str:
    """Return the kind of the next recording: "mp4", "webm" or "png"."""
    chosen = settings.window.recording
    if chosen != "auto":
        return chosen
    return "webm" if settings.canvas.background == "transparent" else "mp4"


def _new_file(folder: Path, suffix: str) -> Path:
    """Return a path named by the current time; creates the folder that it is in. Raises: AvatarError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = tr("{folder} cannot be made: {why}.", folder=folder, why=error.strerror)
        raise AvatarError(what, remedy=tr("Choose another folder under Output.")) from error
    stem = f"Masque {datetime.now():%Y-%m-%d %H.%M.%S}"
    stem = stem if suffix else stem.replace(".", "-")  # seconds would be the ending of a folder's name
    names = (folder / f"{stem}{number}{suffix}" for number in ["", *(f" {n}" for n in range(2, 1000))])
    return next(path for path in names if not path.exists())


def other_programs_see(settings: Settings) -> str:
    """Return the name under which other programs on this system list the virtual camera."""
    if settings.virtual_camera.device:
        return settings.virtual_camera.device
    return {"win32": "OBS Virtual Camera", "darwin": "OBS Virtual Camera"}.get(sys.platform, "Masque")
