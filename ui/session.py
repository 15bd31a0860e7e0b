"""One live session from the window's view: settings and state, and the only code that changes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from avatar.errors import WeightsError
from avatar.live.config import IDLE, VOICE, LiveConfig
from avatar.live.events import (
    AvatarReady,
    AvatarRefused,
    CalibrationDone,
    CalibrationRefused,
    DriftHint,
    EngineFailed,
    EngineReady,
    EngineSlow,
    Event,
    FaceFound,
    FaceLost,
    SourceBack,
    SourceLost,
    SourceNote,
)
from avatar.live.pipeline import Pipeline
from avatar.settings import CropSettings, Place, Settings
from ui.bridge import PipelineBridge
from ui.look.language import later, tr
from ui.remedies import mend_of

WARP = "warp"  # the engine that is there at once
SAVE_AFTER_MS = 400  # delay that combines several changes into one write
ZOOM_STEP, PAN_STEP, FINE = 1.08, 0.08, 0.25


@dataclass(frozen=True)
class Notice:
    """A notification for the user. With a key it stays until it is cleared or replaced; otherwise it expires."""

    text: str
    remedy: str = ""
    level: str = "info"  # "info", "good", "warning", "error"
    key: str = ""
    action: str = ""  # name of an action that helps
    action_text: str = ""  # text of its button; empty: the action's own
    model: str = ""  # the model to fetch, where the action is "models"


@dataclass(frozen=True)
class LiveState:
    """Current state that is not saved for the next start."""

    frozen: bool = False
    passing: bool = False
    calibrating: bool = False
    score: float | None = None  # 0..1, score of the reference frame; None: not calibrated yet
    source_problem: str = ""  # why the source does not deliver, with the remedy
    source: str = ""  # name of the source that delivers frames; empty: none
    sends: tuple[int, int] = (0, 0)  # width and height of its pictures; zeros: not known
    face: bool = False
    engine: EngineReady | None = None
    engine_problem: str = ""  # reason why another engine than the chosen one is running
    expression: str = ""  # name of the expression that is put on; empty: none
    avatar: str = ""  # name of the shown avatar
    preparing: str = ""  # name of the requested avatar, until it is shown


class Session(QObject):
    """Changes settings and pipeline together, and notifies the widgets. Used on the window's thread; never blocks."""

    changed = pyqtSignal(object)  # Settings
    state_changed = pyqtSignal(object)  # LiveState
    noticed = pyqtSignal(object)  # Notice
    cleared = pyqtSignal(str)  # key of an expired notice
    happened = pyqtSignal(object)  # an Event of the pipeline, after the state was updated

    def __init__(
        self, pipeline: Pipeline, bridge: PipelineBridge, settings: Settings, save: Callable[[Settings], None]
    ) -> None:
        super().__init__()
        self.pipeline, self.bridge, self.settings, self.state = pipeline, bridge, settings, LiveState()
        self._save = save
        self._ahead: list[str] = []  # avatars that were asked for to be prepared
        self._save_soon = QTimer(self)
        self._save_soon.setSingleShot(True)
        self._save_soon.setInterval(SAVE_AFTER_MS)
        self._save_soon.timeout.connect(lambda: self._save(self.settings))
        bridge.happened.connect(self._take_in)

    # settings

    @property
    def has_camera(self) -> bool:
        """True if something drives that can be looked at: no idle motion, and no voice."""
        return self.settings.camera.source not in ("", IDLE, VOICE)

    def change(self, table: str, **values: Any) -> None:
        """Set fields of one table of the settings, or of `Settings` itself if `table` is empty."""
        if table:
            values = {table: dataclasses.replace(getattr(self.settings, table), **values)}
        settings = dataclasses.replace(self.settings, **values)
        if settings != self.settings:
            before, self.settings = self.settings, settings
            self._carry_out(LiveConfig.of(before), LiveConfig.of(settings))
            self._save_soon.start()
            self.changed.emit(settings)

    def replace_all(self, settings: Settings) -> None:
        """Replace all settings, as after an import."""
        self.change("", **{each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)})

    def save_now(self) -> None:
        """Write pending changes of the settings."""
        if self._save_soon.isActive():
            self._save_soon.stop()
            self._save(self.settings)

    def _carry_out(self, before: LiveConfig, now: LiveConfig) -> None:
        if now.avatar != before.avatar:
            self._set_state(preparing=now.avatar)
        if now.source != before.source:
            self._set_state(source="", face=False, source_problem="")
            self.cleared.emit("source")
            self.cleared.emit("face")
        opened_by = [(config.engine, config.model, config.device, config.render) for config in (before, now)]
        if opened_by[0] != opened_by[1]:
            self._set_state(engine=None, engine_problem="")
            self.cleared.emit("engine")
            self.cleared.emit("slow")
            if now.engine != WARP:
                self._notice(
                    later("Loading the engine. On a processor it takes up to 20 s and then draws a few pictures a "
                          "second; until it is there the avatar goes on as before."),
                    "slow", remedy=later("A graphics card draws in real time."), action="use_warp",
                )  # fmt: skip
        self.pipeline.apply(now)

    # the crop by hand

    def zoom(self, steps: float) -> None:
        """Zoom in (> 0) or out on the camera image, which makes the crop manual."""
        crop = self._crop_by_hand()
        zoom = min(4.0, max(1.0, crop.zoom * ZOOM_STEP**steps))
        self.change("crop", auto=False, zoom=round(zoom, 4), pan_x=crop.pan_x, pan_y=crop.pan_y)

    def pan(self, right: float, down: float) -> None:
        """Move the crop by steps, which makes it manual."""
        crop = self._crop_by_hand()
        pan_x, pan_y = (
            round(min(1.0, max(-1.0, old + PAN_STEP * steps)), 4)
            for old, steps in ((crop.pan_x, right), (crop.pan_y, down))
        )
        self.change("crop", auto=False, zoom=crop.zoom, pan_x=pan_x, pan_y=pan_y)

    def reset_crop(self) -> None:
        """Restore the crop that follows the face."""
        self.change("crop", **dataclasses.asdict(CropSettings()))

    def _crop_by_hand(self) -> CropSettings:
        crop = self.settings.crop
        return crop if not crop.auto else CropSettings(auto=False)

    # the avatar on the canvas

    def place(self, avatar: str, place: Place) -> None:
        """Put an avatar at another place, now and whenever it is shown."""
        self.change("canvas", places=self.settings.canvas.with_place(avatar, place).places)

    def rename_place(self, old: str, new: str) -> None:
        """Keep the place of an avatar that has another name now."""
        canvas = self.settings.canvas
        if canvas.place(old) != Place():
            moved = canvas.with_place(old, Place()).with_place(new, canvas.place(old))
            self.change("canvas", places=moved.places)

    def prepare_ahead(self, names: list[str]) -> None:
        """Have avatars prepared that may be wanted next, the likeliest first."""
        if names != self._ahead:
            self._ahead = names
            self.pipeline.prepare_ahead(names)

    # switches

    def freeze(self, on: bool) -> None:
        """Freeze all outputs at once, or continue."""
        self.pipeline.freeze(on)  # before anything that takes time
        self._set_state(frozen=on, passing=False if on else self.state.passing)
        if on:
            self._notice(
                later("Frozen. Others see the last picture, whatever you do."),
                "freeze",
                "warning",
                action="freeze",
                action_text=later("Resume"),
            )
            self.cleared.emit("pass")
        else:
            self.cleared.emit("freeze")

    def pass_through(self, on: bool) -> None:
        """Show the camera image instead of the avatar, or stop that."""
        if on and self.state.frozen:
            self._notice(later("The output is frozen. Resume it first, then show your real face."))
            return
        if on and not self.has_camera:
            self._notice(later("There is no camera to show. Choose one under Camera first."))
            return
        self.pipeline.pass_through(on)
        self._set_state(passing=on)
        if on:
            self._notice(
                later("Your real face is shown, in the virtual camera and in recordings too."),
                "pass",
                "error",
                action="pass_through",
                action_text=later("Stop"),
            )
        else:
            self.cleared.emit("pass")

    def express(self, name: str, expression: Mapping[str, float]) -> None:
        """Put an expression on under a name, in place of the one that is on; "" and {}: none."""
        self.pipeline.express(expression)
        self._set_state(expression=name)

    def calibrate(self, *, guided: bool) -> None:
        """Calibrate: at once, or after a countdown."""
        if not self.has_camera:
            self._notice(
                later("There is nothing to calibrate without a camera."),
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
        """Show a notice to the user."""
        self.noticed.emit(notice)

    def _notice(
        self, text: str, key: str = "", level: str = "info", *, remedy: str = "", action: str = "",
        action_text: str = "",
    ) -> None:  # fmt: skip
        words = [tr(each) if each else "" for each in (text, remedy, action_text)]
        self.noticed.emit(Notice(words[0], words[1], level, key, action, words[2]))

    # events of the pipeline

    def _take_in(self, event: Event) -> None:
        before = self.state.engine
        self._note_state(event)
        self._tell(event)
        if isinstance(event, EngineReady):
            self._tell_lost_chip(before, event)
        self.happened.emit(event)

    def _tell_lost_chip(self, before: EngineReady | None, now: EngineReady) -> None:
        if before is not None and (before.device, now.device) == ("gpu", "cpu"):
            text = later("The processor draws in place of the graphics chip.")
            self._notice(text, "graphics", "warning", remedy=now.why)
        else:
            self.cleared.emit("graphics")

    def _note_state(self, event: Event) -> None:
        match event:
            case SourceBack(name=name, facts=facts):
                self._set_state(source=name, source_problem="", sends=(facts.width_px, facts.height_px))
            case SourceLost(what=what, remedy=remedy):
                problem = " ".join(explained_text for explained_text in (tr(what), tr(remedy)) if explained_text)
                self._set_state(source="", face=False, source_problem=problem)
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
        """Return the avatar still being prepared after one is ready or refused; empty unless another was requested."""
        return "" if settled == self.settings.avatar else self.state.preparing

    def _tell_face(self, *, found: bool) -> None:
        """Say that no face is seen; not of a source that does not deliver: one cause has one notice."""
        if found or not self.state.source:
            self.cleared.emit("face")
            return
        self._notice(
            later("No face found: the avatar idles."), "face", "warning",
            remedy=later("Sit in front of the camera with light on your face."),
        )  # fmt: skip

    def _tell(self, event: Event) -> None:
        match event:
            case SourceLost(what=what, remedy=remedy):
                self.cleared.emit("face")
                self.noticed.emit(Notice(what, remedy, "error", "source", "choose_camera"))
            case SourceBack():
                self.cleared.emit("source")
            case SourceNote(text=text):
                self.noticed.emit(Notice(text))
            case FaceLost() | FaceFound():
                self._tell_face(found=isinstance(event, FaceFound))
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
                self._notice(later("You sit differently than during calibration."), "drift", "info", action="recentre")
            case EngineReady() | EngineSlow() | EngineFailed():
                self._tell_of_engine(event)

    def _tell_of_engine(self, event: EngineReady | EngineSlow | EngineFailed) -> None:
        match event:
            case EngineReady(engine=engine):
                self.cleared.emit("slow")
                if engine == self.settings.engine.name != WARP:
                    self._notice(
                        later("The engine is loaded."), "slow", "good", remedy=later("Warp is faster on a processor."),
                        action="use_warp",
                    )  # fmt: skip
            case EngineSlow(engine=engine, frame_s=frame_s):
                text = (
                    tr("{engine} draws on the processor here, and takes seconds for a frame.", engine=engine)
                    if frame_s is None
                    else tr("{engine} takes {seconds:.1f} s for a frame here.", engine=engine, seconds=frame_s)
                )
                if engine == WARP:
                    self.noticed.emit(Notice(text, tr("Other programs keep the processor busy."), "warning", "slow"))
                else:
                    self.noticed.emit(Notice(text, tr("Warp draws in real time."), "warning", "slow", "use_warp"))
            case EngineFailed(error=error, fallback=fallback):
                text = tr("The engine failed: {why}", why=error.what)
                remedy = tr("{name} is used instead.", name=fallback) if fallback else error.remedy
                mend = mend_of(error.remedy)
                action = "models" if isinstance(error, WeightsError) else mend.action if mend else ""
                self.cleared.emit("slow")  # one cause has one notice
                self.noticed.emit(Notice(text, remedy, "error", "engine", action, model=mend.model if mend else ""))
