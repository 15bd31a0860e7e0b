"""One live session as the window sees it: what is set, what is on, and the one place that changes either."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from avatar.live.events import (
    AvatarReady,
    AvatarRefused,
    CalibrationDone,
    CalibrationRefused,
    DriftHint,
    EngineFailed,
    EngineReady,
    Event,
    FaceFound,
    FaceLost,
    SourceBack,
    SourceLost,
    SourceNote,
)
from avatar.live.options import IDLE, LiveOptions
from avatar.pipeline import Pipeline
from avatar.settings import CropSettings, Settings
from ui.bridge import PipelineBridge
from ui.language import later, tr

SAVE_AFTER_MS = 400  # several changes in a row are written once
ZOOM_STEP, PAN_STEP, FINE = 1.08, 0.08, 0.25


@dataclass(frozen=True)
class Notice:
    """Something to tell the user. A notice with a key stays until it is cleared or replaced, others pass."""

    text: str
    remedy: str = ""
    level: str = "info"  # "info", "good", "warning", "error"
    key: str = ""
    action: str = ""  # name of the window's action that helps
    action_text: str = ""  # what it is called here; empty: as everywhere


@dataclass(frozen=True)
class LiveState:
    """What is on at this moment and is not kept for the next start."""

    frozen: bool = False
    passing: bool = False
    calibrating: bool = False
    score: float | None = None  # of the reference frame, 0..1; None: not calibrated yet
    source: str = ""  # name of the source that delivers; empty: none does
    face: bool = False
    engine: EngineReady | None = None
    engine_problem: str = ""  # why the engine is not the one that was chosen
    avatar: str = ""  # the one that is shown
    preparing: str = ""  # the one that was asked for and is not shown yet


def live_options(settings: Settings) -> LiveOptions:
    """How a pipeline starts from what is set."""
    camera, engine = settings.camera, settings.engine
    return LiveOptions(
        source=camera.source or IDLE,
        avatar=settings.avatar,
        engine=engine.name,
        model=engine.model or None,
        device=engine.device,
        mirror_driving=camera.mirror,
        camera_size=(camera.width_px, camera.height_px),
        camera_rate=camera.rate,
        motion=settings.motion,
        crop=settings.crop,
        canvas=settings.canvas,
        calibration=settings.calibration,
    )


class Session(QObject):
    """Changes settings and pipeline together, and tells the widgets. Lives on the window's thread; never waits."""

    changed = pyqtSignal(object)  # Settings
    state_changed = pyqtSignal(object)  # LiveState
    noticed = pyqtSignal(object)  # Notice
    cleared = pyqtSignal(str)  # key of a notice that is over
    happened = pyqtSignal(object)  # an Event of the pipeline, after the state took it in

    def __init__(
        self, pipeline: Pipeline, bridge: PipelineBridge, settings: Settings, save: Callable[[Settings], None]
    ) -> None:
        super().__init__()
        self.pipeline, self.bridge, self.settings, self.state = pipeline, bridge, settings, LiveState()
        self._save = save
        self._save_soon = QTimer(self)
        self._save_soon.setSingleShot(True)
        self._save_soon.setInterval(SAVE_AFTER_MS)
        self._save_soon.timeout.connect(lambda: self._save(self.settings))
        bridge.happened.connect(self._take_in)

    # what is set

    def change(self, table: str, **values: Any) -> None:
        """Set fields of one table of the settings, of `Settings` itself where `table` is empty."""
        if table:
            values = {table: dataclasses.replace(getattr(self.settings, table), **values)}
        settings = dataclasses.replace(self.settings, **values)
        if settings != self.settings:
            before, self.settings = self.settings, settings
            self._carry_out(before, settings)
            self._save_soon.start()
            self.changed.emit(settings)

    def replace_all(self, settings: Settings) -> None:
        """Take settings as a whole, as an import gives them."""
        self.change("", **{each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)})

    def save_now(self) -> None:
        """Write what is still to be written."""
        if self._save_soon.isActive():
            self._save_soon.stop()
            self._save(self.settings)

    def _carry_out(self, before: Settings, now: Settings) -> None:
        pipeline = self.pipeline
        if now.avatar != before.avatar:
            self._set_state(preparing=now.avatar)
            pipeline.set_avatar(now.avatar)
        if now.camera.source != before.camera.source:
            self._set_state(source="", face=False)
            self.cleared.emit("source")
            self.cleared.emit("face")
            pipeline.set_source(now.camera.source or IDLE)
        if now.camera.mirror != before.camera.mirror:
            pipeline.set_mirror_driving(now.camera.mirror)
        if now.motion != before.motion:
            pipeline.set_motion(now.motion)
        if now.crop != before.crop:
            pipeline.set_crop(now.crop)
        if now.calibration.search != before.calibration.search:
            pipeline.set_search(now.calibration.search)
        if now.engine != before.engine:
            self._set_state(engine=None, engine_problem="")
            pipeline.set_engine(now.engine.name, now.engine.model or None, now.engine.device)

    # the crop by hand

    def zoom(self, steps: float) -> None:
        """Look closer (> 0) or wider at the camera's picture; the crop is then by hand."""
        crop = self._crop_by_hand()
        zoom = min(4.0, max(1.0, crop.zoom * ZOOM_STEP**steps))
        self.change("crop", auto=False, zoom=round(zoom, 4), pan_x=crop.pan_x, pan_y=crop.pan_y)

    def pan(self, right: float, down: float) -> None:
        """Move the crop by steps; it is then by hand."""
        crop = self._crop_by_hand()
        pan_x, pan_y = (
            round(min(1.0, max(-1.0, old + PAN_STEP * steps)), 4)
            for old, steps in ((crop.pan_x, right), (crop.pan_y, down))
        )
        self.change("crop", auto=False, zoom=crop.zoom, pan_x=pan_x, pan_y=pan_y)

    def reset_crop(self) -> None:
        """Back to the crop that follows the face."""
        self.change("crop", **dataclasses.asdict(CropSettings()))

    def _crop_by_hand(self) -> CropSettings:
        crop = self.settings.crop
        return crop if not crop.auto else CropSettings(auto=False)

    # what is on

    def freeze(self, on: bool) -> None:
        """Panic: hold the output as it is, at once."""
        self.pipeline.freeze(on)  # before anything that takes time
        self._set_state(frozen=on, passing=False if on else self.state.passing)
        if on:
            self._notice(
                later("Frozen. Others see the last picture, whatever you do."), "freeze", "warning",
                action="freeze", action_text=later("Go on"),
            )
            self.cleared.emit("pass")
        else:
            self.cleared.emit("freeze")

    def pass_through(self, on: bool) -> None:
        """Show the camera itself instead of the avatar, or stop that."""
        if on and self.state.frozen:
            self._notice(later("The output is frozen. Go on first, then show your real face."))
            return
        if on and self.settings.camera.source in ("", IDLE):
            self._notice(later("There is no camera to show: the idle motion drives the avatar."))
            return
        self.pipeline.pass_through(on)
        self._set_state(passing=on)
        if on:
            self._notice(
                later("Your real face is shown, in the virtual camera and in recordings too."), "pass", "error",
                action="pass_through", action_text=later("Stop"),
            )
        else:
            self.cleared.emit("pass")

    def calibrate(self, *, guided: bool) -> None:
        """Take a new reference frame: now, or after a countdown."""
        if self.settings.camera.source in ("", IDLE):
            self._notice(
                later("There is nothing to calibrate without a camera: the idle motion drives the avatar."),
                action="choose_camera",
            )
            return
        if guided:
            self._set_state(calibrating=True)
            self.pipeline.start_guided_calibration()
        else:
            self.pipeline.calibrate()

    def _set_state(self, **values: Any) -> None:
        state = dataclasses.replace(self.state, **values)
        if state != self.state:
            self.state = state
            self.state_changed.emit(state)

    def notice(self, notice: Notice) -> None:
        """Tell the user something."""
        self.noticed.emit(notice)

    def _notice(
        self, text: str, key: str = "", level: str = "info", *, remedy: str = "", action: str = "",
        action_text: str = "",
    ) -> None:  # fmt: skip
        words = [tr(each) if each else "" for each in (text, remedy, action_text)]
        self.noticed.emit(Notice(words[0], words[1], level, key, action, words[2]))

    # what the pipeline tells

    def _take_in(self, event: Event) -> None:
        self._note_state(event)
        self._tell(event)
        self.happened.emit(event)

    def _note_state(self, event: Event) -> None:
        match event:
            case SourceBack(name=name):
                self._set_state(source=name)
            case SourceLost():
                self._set_state(source="", face=False)
            case FaceFound():
                self._set_state(face=True)
            case FaceLost():
                self._set_state(face=False)
            case AvatarReady(name=name):
                self._set_state(avatar=name, preparing=self._still_preparing(name))
            case AvatarRefused(name=name):
                self._set_state(preparing=self._still_preparing(name))
            case CalibrationDone(score=score):
                self._set_state(calibrating=False, score=score)
            case CalibrationRefused():
                self._set_state(calibrating=False)
            case EngineReady():
                self._set_state(engine=event)
            case EngineFailed(error=error):
                self._set_state(engine_problem=error.what)

    def _still_preparing(self, settled: str) -> str:
        """What is awaited once an avatar is there or refused: nothing, unless another was asked for meanwhile."""
        return "" if settled == self.settings.avatar else self.state.preparing

    def _tell(self, event: Event) -> None:
        match event:
            case SourceLost(what=what, remedy=remedy):
                self.noticed.emit(Notice(what, remedy, "error", "source", "choose_camera"))
            case SourceBack():
                self.cleared.emit("source")
            case SourceNote(text=text):
                self.noticed.emit(Notice(tr(text)))
            case FaceLost():
                self._notice(
                    later("No face in the picture: the avatar idles."), "face", "warning",
                    remedy=later("Sit before the camera with light on your face."),
                )  # fmt: skip
            case FaceFound():
                self.cleared.emit("face")
            case AvatarReady():
                self.cleared.emit("avatar")
            case AvatarRefused(name=name, error=error):
                text = tr("{name} cannot be shown: {why}", name=name, why=error.what)
                self.noticed.emit(Notice(text, error.remedy, "error", "avatar"))
            case CalibrationDone(how="guided" | "instant" | "undo" | "recentre"):
                self.cleared.emit("drift")
                self.cleared.emit("calibration")
                self._notice(later("Calibrated. The avatar now moves as you do."), level="good")
            case CalibrationRefused(why=why):
                self.noticed.emit(Notice(tr("Not calibrated."), why, "warning", "calibration", "guided"))
            case DriftHint():
                self._notice(
                    later("You sit differently than at calibration."), "drift", "info", action="recentre"
                )
            case EngineFailed(error=error, fallback=fallback):
                text = tr("The engine failed: {why}", why=error.what)
                remedy = tr("{name} draws instead.", name=fallback) if fallback else error.remedy
                self.noticed.emit(Notice(text, remedy, "error", "engine"))
