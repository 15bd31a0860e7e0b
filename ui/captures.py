"""Virtual camera, recording, snapshot and replay: outputs of the pipeline that the window switches."""

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
from avatar.live.events import Event, OutputFailed, OutputRefused, OutputStarted
from avatar.outputs.base import Output
from avatar.outputs.canvas import CanvasOptions
from avatar.settings import CanvasSettings, Settings
from ui.background import Lane
from ui.language import tr
from ui.session import Notice, Session

if TYPE_CHECKING:
    from avatar.outputs.replay import ReplayRing

CAMERA, RECORDING, REPLAY = "virtual-camera", "recording", "replay"


def canvas_options(canvas: CanvasSettings) -> CanvasOptions:
    """What outputs are to make of an avatar frame."""
    return CanvasOptions(**dataclasses.asdict(canvas))


@dataclasses.dataclass(frozen=True)
class CaptureState:
    """Which outputs are on; an output that is on and has no facts yet is being opened."""

    camera: bool = False
    camera_facts: str = ""
    camera_problem: AvatarError | None = None
    recording: Path | None = None
    recording_since_s: float = 0.0  # monotonic
    replay: bool = False

    @property
    def camera_text(self) -> str:
        """What a button that switches the camera says: its colour is not the only sign."""
        return tr("Virtual camera: on") if self.camera else tr("Virtual camera")


class Captures(QObject):
    """Switches outputs. They open on threads of their own; how that went comes as an event."""

    changed = pyqtSignal(object)  # CaptureState

    def __init__(self, session: Session, files: Lane) -> None:
        super().__init__(session)
        self.state = CaptureState()
        self._session, self._files = session, files
        self._ring: ReplayRing | None = None
        self._canvas = session.settings.canvas
        session.happened.connect(self._take_in)
        session.changed.connect(self._follow)
        if session.settings.window.replay:
            self._start_replay()

    @property
    def live(self) -> bool:
        """Whether somebody may be watching, or a file is being written."""
        return self.state.camera or self.state.recording is not None

    def set_camera(self, on: bool) -> None:
        """Switch the virtual camera."""
        if on:
            self._set(camera=True, camera_facts="", camera_problem=None)
            self._session.cleared.emit(CAMERA)
            self._session.pipeline.add_output(CAMERA, self._open_camera())
        else:
            self._session.pipeline.remove_output(CAMERA)
            self._set(camera=False, camera_facts="")

    def set_recording(self, on: bool) -> None:
        """Start a recording under a new name, or end it."""
        if on and self.state.recording is None:
            self._files.run(lambda: _new_file(self.folder(), ".mp4"), self._record, self._complain)
        elif not on and self.state.recording is not None:
            path = self.state.recording
            self._session.pipeline.remove_output(RECORDING)
            self._set(recording=None)
            self._told_where(tr("Recorded: {name}", name=path.name), path)

    def snapshot(self, frame: Frame | None) -> None:
        """Write the frame that is shown as a picture, as others see it."""
        if frame is None:
            self._session.notice(Notice(tr("There is no picture yet."), level="warning"))
            return
        frame = self._session.pipeline.in_place_of(frame)  # the window may not have heard yet that others see no camera
        canvas = canvas_options(self._session.settings.canvas)

        def save() -> Path:
            from avatar.outputs.snapshot import save_snapshot

            path = _new_file(self.folder(), ".png")
            save_snapshot(path, frame, canvas)
            return path

        self._files.run(save, lambda path: self._told_where(tr("Saved: {name}", name=path.name), path), self._complain)

    def save_replay(self) -> None:
        """Write the last half minute; where it was not kept so far, keep it from now on."""
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
        """Where recordings and snapshots go."""
        chosen = self._session.settings.window.captures
        videos = QStandardPaths.writableLocation(QStandardPaths.MoviesLocation) or str(Path.home())
        return Path(chosen) if chosen else Path(videos) / "Masque"

    def _record(self, path: Path) -> None:
        canvas, sound = canvas_options(self._session.settings.canvas), self._session.settings.window.microphone

        def open_recorder() -> Output:
            from avatar.outputs.recorder import Recorder

            if not sound:
                return Recorder(path, canvas)
            from avatar.outputs.microphone import Microphone

            return Recorder(path, canvas, microphone=Microphone)

        self._set(recording=path, recording_since_s=time.monotonic())
        self._session.pipeline.add_output(RECORDING, open_recorder, at_once=True)

    def _open_camera(self) -> Callable[[], Output]:
        canvas = canvas_options(self._session.settings.canvas)

        def open_camera() -> Output:
            from avatar.outputs.virtual_camera import VirtualCamera

            return VirtualCamera(canvas)

        return open_camera

    def _start_replay(self) -> None:
        canvas = canvas_options(self._session.settings.canvas)

        def open_ring() -> Output:
            from avatar.outputs.replay import ReplayRing

            self._ring = ReplayRing(canvas)
            return self._ring

        self._set(replay=True)
        self._session.pipeline.add_output(REPLAY, open_ring)

    def _follow(self, settings: Settings) -> None:
        if settings.window.replay != self.state.replay:
            if settings.window.replay:
                self._start_replay()
            else:
                self._session.pipeline.remove_output(REPLAY)
                self._ring = None
                self._set(replay=False)
        if settings.canvas != self._canvas:
            self._canvas = settings.canvas
            for name in (CAMERA, REPLAY):  # a recording keeps the canvas that it began with
                self._session.pipeline.set_canvas(name, settings.canvas)

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
            case OutputFailed(name="recording", error=error):
                self._set(recording=None)
                self._session.notice(Notice(error.what, error.remedy, "error", RECORDING))
            case OutputFailed(name="replay", error=error):
                self._ring = None
                self._session.change("window", replay=False)
                self._complain(error)

    def _keep_size(self, wanted: CanvasSettings, kept: CanvasSettings) -> None:
        """Set the size back that was refused, unless another one was chosen meanwhile."""
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


def _new_file(folder: Path, suffix: str) -> Path:
    """A name that says when, in a folder that is made if need be. Raises: AvatarError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = tr("{folder} cannot be made: {why}.", folder=folder, why=error.strerror)
        raise AvatarError(what, remedy=tr("Choose another folder under Output.")) from error
    stem = f"Masque {datetime.now():%Y-%m-%d %H.%M.%S}"
    names = (folder / f"{stem}{number}{suffix}" for number in ["", *(f" {n}" for n in range(2, 1000))])
    return next(path for path in names if not path.exists())


def other_programs_see(canvas: CanvasSettings) -> str:
    """What a virtual camera is called in other programs on this system."""
    return {"win32": "OBS Virtual Camera", "darwin": "OBS Virtual Camera"}.get(sys.platform, "Masque")
