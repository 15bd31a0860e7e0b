"""The active engine and portrait, those that are being prepared, and recovery from engine failures."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from avatar.engines.base import Arrival
from avatar.engines.crop import FACE_MESH, Framing
from avatar.engines.registry import ENTRIES
from avatar.errors import AvatarError, EngineError
from avatar.frames import PortraitLayers, RgbImage
from avatar.library.library import Library
from avatar.live.changes import Change, Need, change_between
from avatar.live.config import LiveConfig
from avatar.live.events import AvatarReady, AvatarRefused, EngineFailed, EngineReady, EngineSlow, Event
from avatar.live.live_engine import LiveEngine, NothingNewError
from avatar.live.motion_source import DrivingState
from avatar.live.portrait_cache import PortraitCache, cache_key
from avatar.live.preparation import PreparationThread, yield_to_others
from avatar.live.tools import LiveTools
from avatar.portrait.source import read_portrait
from avatar.system.message import Message

logger = logging.getLogger(__name__)

FALLBACK = "warp"
HEALTHY_S = 60.0  # after drawing for this long, earlier failures of an engine are forgotten
QUIET_S = 3.0  # without another wish, before portraits are prepared that may be wanted next
SLOW_S = 0.4  # for one frame: what is drawn is then no longer live
PAUSES_S = (0.0, 2.0, 10.0)  # delay before an engine is reopened, by the number of its failures


class _GivesWayError(Exception):
    """A portrait is prepared no further: another one is wanted before it, or the program ends."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Result of the preparation thread."""

    wanted: LiveConfig
    engine: LiveEngine
    portrait: Any
    is_new: bool  # whether the engine was opened for this portrait
    notes: tuple[str, ...] = ()  # notes about the image, if it was read again


class EngineManager:
    """Owner of engine and portrait; used on the engine thread, except for the preparation thread's methods."""

    def __init__(
        self,
        options: LiveConfig,
        tools: LiveTools,
        do: Callable[[Callable[[], None]], None],
        report: Callable[[Event], None],
    ) -> None:
        """Create the manager without opening anything.

        Args:
            options: the initial configuration.
            tools: functions that open engines and trackers.
            do: schedules an action on the engine thread.
            report: receives events.
        """
        self.wanted = options
        self.shown: LiveConfig | None = None  # configuration that the shown portrait was prepared for
        self.runs_on: EngineReady | None = None  # device of the active engine, as last reported
        self.helper = PreparationThread()
        self._tools, self._do, self._report = tools, do, report
        self._engine: LiveEngine | None = None
        self._cache = PortraitCache()  # used on the preparation thread, and so is the store
        self._store = tools.open_store()
        self._is_ahead = False
        self._ahead: list[str] = []  # avatars to be prepared while nothing else is to do
        self._asked_s = self._healthy_since_s = 0.0
        self._failures = 0
        self._retry_s: float | None = None
        self._closed = self._warned = False
        self._slow_frames = 0  # in a row
        self.layers: PortraitLayers | None = None  # of the frame drawn last
        self.arrival: Arrival | None = None  # that frame, if it was drawn elsewhere

    @property
    def ready(self) -> bool:
        """True if there is an engine with a portrait."""
        return self._engine is not None

    @property
    def needs_face(self) -> bool:
        """True if the engine is driven by faces only, so that it idles without one."""
        return self._engine is None or self._engine.needs_face

    @property
    def framing(self) -> Framing:
        """The square around a driver's face that the engine expects."""
        return FACE_MESH if self._engine is None else self._engine.framing

    @property
    def follows_faces(self) -> bool:
        """True if the engine depends on the position of the face."""
        return self._engine is None or self._engine.follows_faces

    def start(self) -> None:
        """Open the engine and prepare the portrait."""
        self.helper.start()
        self._prepare()

    def carry_out(self, change: Change) -> None:
        """Apply another configuration: at once, or as soon as engine and portrait are prepared for it."""
        self.wanted = dataclasses.replace(self.wanted, **change.values())
        if "motion" in change.fields and self._engine is not None:
            self._engine.set_motion(self.wanted.motion)
        if Need.PORTRAIT in change.needs:
            self._failures, self._retry_s = 0, None
            self._prepare()

    def draw(self, drive: DrivingState, frame_width_px: int, time_s: float) -> RgbImage | None:
        """Draw the portrait, (H, W, 3) uint8; None if none is ready, or drawing failed."""
        if self._engine is None:
            return None
        began_s = time.monotonic()
        try:
            self._engine.wants_matte = self.wanted.canvas.background != "own"
            drawn = self._engine.draw(drive, frame_width_px, time_s)
            self.arrival = self._engine.arrival
            self.layers = self._engine.layers()
        except NothingNewError:
            self._tell_where()
            return None
        except Exception as error:
            logger.debug("The engine failed", exc_info=True)
            self._let_go()
            self._recover(error)
            return None
        self._tell_where()
        if self._failures and time_s - self._healthy_since_s > HEALTHY_S:
            self._failures = 0
        self._warn_after(time.monotonic() - began_s)
        return drawn

    def look_after(self, now_s: float) -> None:
        """Retry what failed, when its delay is over."""
        if self._retry_s is not None and now_s >= self._retry_s:
            self._retry_s = None
            self._prepare()
        quiet = now_s - self._asked_s > QUIET_S and self.shown is not None
        if self._ahead and quiet and not self._is_ahead and self._engine is not None:
            wanted, engine = dataclasses.replace(self.wanted, avatar=self._ahead.pop(0), sharpness=1.0), self._engine
            self._is_ahead = True
            self.helper.ask(lambda: self._prepare_ahead(wanted, engine))

    def prepare_ahead(self, avatars: Sequence[str]) -> None:
        """Prepare portraits that may be wanted next, one by one, while nothing else is to do."""
        self._ahead = [name for name in avatars if name != self.wanted.avatar]

    def close(self) -> None:
        """Close the engine and end the preparation thread; safe to call twice."""
        self._closed = True
        self.helper.ask_to_stop()
        self._let_go()

    def _prepare(self) -> None:
        self._asked_s = time.monotonic()
        self._is_ahead = False  # a job that waits is replaced by this one, and one that runs gives way
        wanted, engine = self.wanted, self._engine
        if self.shown is not None and not _same_engine(self.shown, wanted):
            engine = None  # the current engine keeps running until the other is open
        self.helper.ask(lambda: self._prepare_beside(wanted, engine))

    def _prepare_beside(self, wanted: LiveConfig, running: LiveEngine | None) -> None:
        """Open engine and portrait and pass them to the engine thread; runs on the preparation thread."""
        if self.shown is not None:  # before the first frame nothing competes for the CPU
            yield_to_others()
        try:
            engine = running or self._tools.open_engine(wanted)
        except Exception as error:
            failure = error
            self._do(lambda: self._cannot_open(wanted, failure))
            return
        is_new = engine is not running
        try:
            portrait, notes = self._portrait(wanted, engine)
            ready = _Prepared(wanted, engine, portrait, is_new, notes)
        except _GivesWayError:
            if is_new:
                engine.close()
            return
        except Exception as error:
            refusal = _explained(error)
            if is_new:
                engine.close()
            self._do(lambda: self._refuse(wanted, refusal))
            return
        self._do(lambda: self._take(ready))

    def _portrait(self, wanted: LiveConfig, engine: LiveEngine, *, urgent: bool = True) -> tuple[Any, tuple[str, ...]]:
        """Return the portrait from the cache, or prepare it, with notes; runs on the preparation thread.

        Raises: AvatarError, OSError; _GivesWayError, between two of its steps.
        """
        notes: tuple[str, ...] = ()
        begun_s = time.monotonic()

        def checkpoint() -> None:
            overtaken = self._is_unwanted(wanted) and (urgent or self._asked_s > begun_s)
            if self.helper.is_stopping or overtaken:
                raise _GivesWayError

        if self._failures > 1:  # a cached portrait may be the cause of the failures
            self._cache.clear()
            if self._store is not None:
                self._store.clear()
        likeness = Library().likeness(wanted.avatar)
        key = cache_key(likeness, wanted)
        store = None if wanted.remote else self._store  # what is packed for a host is not for the disk
        portrait = self._cache.find(key)
        if portrait is None and store is not None:
            portrait = store.find(key, likeness.path)
        if portrait is None:
            with contextlib.closing(self._tools.open_tracker(False)) as tracker:
                source = read_portrait(likeness, tracker)
            notes = source.turn_notes("avatars add --turn 0")
            checkpoint()
            portrait = engine.prepare(source, wanted, use_second_core=self.shown is None, checkpoint=checkpoint)
            checkpoint()
            if store is not None:
                store.keep(key, portrait, likeness.path)  # before it is drawn with, which may change it
        if urgent or store is None:
            self._cache.keep(key, portrait)
        return portrait, notes

    def _prepare_ahead(self, wanted: LiveConfig, engine: LiveEngine) -> None:
        """Prepare a portrait that may be wanted next; runs on the preparation thread. What fails now is told later."""
        yield_to_others()
        try:
            self._portrait(wanted, engine, urgent=False)
        except Exception:
            logger.debug("%s was not prepared ahead", wanted.avatar, exc_info=True)
        finally:
            self._do(self._end_ahead)

    def _end_ahead(self) -> None:
        self._is_ahead = False

    def _take(self, ready: _Prepared) -> None:
        """Switch to a prepared engine and portrait, between two frames; outdated results are dropped."""
        wanted = ready.wanted
        if self._closed or self._is_unwanted(wanted) or not (ready.is_new or ready.engine is self._engine):
            if ready.is_new:
                ready.engine.close()
            return
        if ready.is_new:
            self._let_go()
            self._engine = ready.engine
            self._engine.set_motion(self.wanted.motion)
            self._healthy_since_s = time.monotonic()
            self.runs_on = None
            self._tell_where()
            self._warn_before(self._engine.ready)
        ready.engine.show(ready.portrait)
        self.shown, notes = wanted, ready.notes
        if self.wanted.canvas.background != "own" and ready.engine.is_inseparable:
            notes += (Message("No face was found in {name}, so its own background stays.", name=wanted.avatar),)
        self._report(AvatarReady(wanted.avatar, 1000 * (time.monotonic() - self._asked_s), notes))

    def _is_unwanted(self, wanted: LiveConfig) -> bool:
        """Return whether another avatar or engine was asked for since; any thread."""
        return wanted.avatar != self.wanted.avatar or not _same_engine(wanted, self.wanted)

    def _tell_where(self) -> None:
        """Report what the engine runs on, when it is opened and whenever that changes."""
        assert self._engine is not None
        ready = self._engine.ready
        if ready != self.runs_on:
            self.runs_on = ready
            self._report(ready)

    def _warn_before(self, ready: EngineReady) -> None:
        """Report an engine that was made for graphics cards and runs on a processor."""
        self._warned, self._slow_frames = False, 0
        entry = ENTRIES.get(ready.engine)
        if entry is not None and entry.needs_gpu and ready.device == "cpu":
            self._report(EngineSlow(ready.engine, None))

    def _warn_after(self, frame_s: float) -> None:
        """Report once how long a frame takes, where that is too long for live use."""
        self._slow_frames = self._slow_frames + 1 if frame_s > SLOW_S else 0
        if not self._warned and self._slow_frames == 2 and self._engine is not None:  # the first may prepare things
            self._warned = True
            self._report(EngineSlow(self._engine.ready.engine, frame_s))

    def _refuse(self, wanted: LiveConfig, refusal: AvatarError) -> None:
        """Report an unusable portrait; the current one stays, prepared again if its size has changed."""
        self._report(AvatarRefused(wanted.avatar, refusal))
        if self.shown is not None and wanted.avatar == self.wanted.avatar:
            on = self.shown
            self.wanted = dataclasses.replace(
                self.wanted, avatar=on.avatar, engine=on.engine, model=on.model, device=on.device, render=on.render,
                remote=on.remote,
            )  # fmt: skip
            is_other = wanted.avatar != on.avatar or not _same_engine(wanted, on)  # otherwise it would be refused again
            if self._engine is None or (is_other and self._is_outdated(on)):
                self._prepare()

    def _cannot_open(self, wanted: LiveConfig, error: Exception) -> None:
        """Report an engine that cannot be opened; the current one stays. Without one, this counts as a failure."""
        if not _same_engine(wanted, self.wanted):
            return
        if self._engine is None or self.shown is None:
            if isinstance(error, AvatarError):  # a retry would fail in the same way
                self._failures += 1
            self._recover(error)
            return
        self._report(EngineFailed(_explained(error), self.shown.engine))
        running = self.shown
        self.wanted = dataclasses.replace(
            self.wanted, engine=running.engine, model=running.model, device=running.device, render=running.render,
            remote=running.remote,
        )  # fmt: skip
        if self._is_outdated(running):
            self._prepare()

    def _is_outdated(self, shown: LiveConfig) -> bool:
        """Return whether the wanted configuration needs another portrait, or this one at another size."""
        return Need.PORTRAIT in change_between(shown, self.wanted).needs

    def _recover(self, error: Exception) -> None:
        """Reopen the engine; after another failure, open the warp engine instead."""
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        insists = self.wanted.render == "graphics"  # which is refused where there is no chip
        is_other = self.wanted.engine != FALLBACK or self.wanted.remote != "" or insists
        if self._failures > 1 and is_other:
            self.wanted = dataclasses.replace(
                self.wanted, engine=FALLBACK, model=None, device="auto", render="processor" if insists else "auto",
                remote="",
            )  # fmt: skip
            pause_s, self._failures = 0.0, 1
        self._report(EngineFailed(_explained(error), self.wanted.engine))
        self._retry_s = time.monotonic() + pause_s

    def _let_go(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            try:
                engine.close()
            except Exception:
                logger.exception("An engine could not be closed")


def _same_engine(one: LiveConfig, other: LiveConfig) -> bool:
    return _opened_by(one) == _opened_by(other)


def _opened_by(config: LiveConfig) -> tuple[str | None, ...]:
    return config.engine, config.model, config.device, config.render, config.remote


def _explained(error: Exception) -> AvatarError:
    if isinstance(error, AvatarError):
        return error
    what = Message("The engine failed: {kind}: {error}.", kind=type(error).__name__, error=error)
    return EngineError(what, remedy="If it happens again, start with --debug and report what it prints.")
