"""The engine and the portrait that are on, those that are being prepared, and what happens when an engine fails."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from avatar.errors import AvatarError, EngineError
from avatar.frames import RgbImage
from avatar.library import Library
from avatar.live.driver import Drive
from avatar.live.events import AvatarReady, AvatarRefused, EngineFailed, Event
from avatar.live.options import LiveOptions
from avatar.live.performer import Performer
from avatar.live.preparation import PreparationThread, yield_to_others
from avatar.live.shelf import Shelf, shelf_key
from avatar.live.tools import LiveTools
from avatar.portrait_source import read_portrait
from avatar.settings import MotionSettings

logger = logging.getLogger(__name__)

FALLBACK = "warp"
HEALTHY_S = 60.0  # an engine that drew for so long starts with a clean record
PAUSES_S = (0.0, 2.0, 10.0)  # before an engine is opened again, by how often it has failed before


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What the helper thread hands over."""

    wanted: LiveOptions
    performer: Performer
    portrait: Any
    is_new: bool  # the performer was opened for this
    notes: tuple[str, ...] = ()  # about the picture, where it was read afresh


class Stage:
    """Used on the engine's thread, but for what its helper thread does."""

    def __init__(
        self,
        options: LiveOptions,
        tools: LiveTools,
        do: Callable[[Callable[[], None]], None],
        report: Callable[[Event], None],
    ) -> None:
        """Get ready; opens nothing.

        Args:
            do: has something done on the engine's thread.
            report: is told what happens.
        """
        self.wanted = options
        self.shown: LiveOptions | None = None  # what the portrait that is on was prepared for
        self.helper = PreparationThread()
        self._tools, self._do, self._report = tools, do, report
        self._performer: Performer | None = None
        self._shelf = Shelf()  # the helper thread's
        self._asked_s = self._healthy_since_s = 0.0
        self._failures = 0
        self._retry_s: float | None = None
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether there is something to draw with."""
        return self._performer is not None

    @property
    def needs_face(self) -> bool:
        """Whether the engine animates faces only, so that without one it idles."""
        return self._performer is None or self._performer.needs_face

    @property
    def watches_faces(self) -> bool:
        """Whether it matters to the engine where a face is."""
        return self._performer is None or self._performer.watches_faces

    def start(self) -> None:
        """Open the engine and prepare the portrait."""
        self.helper.start()
        self._prepare()

    def want(self, **changes: Any) -> None:
        """Change engine or portrait as soon as the new one is ready: fields of LiveOptions."""
        self.wanted = dataclasses.replace(self.wanted, **changes)
        self._failures, self._retry_s = 0, None
        self._prepare()

    def set_motion(self, motion: MotionSettings) -> None:
        """Carry motion over in another way from the next frame on."""
        self.wanted = dataclasses.replace(self.wanted, motion=motion)
        if self._performer is not None:
            self._performer.set_motion(motion)

    def draw(self, drive: Drive, picture_width_px: int, time_s: float) -> RgbImage | None:
        """Draw the portrait; None where there is nothing to draw with, or it failed."""
        if self._performer is None:
            return None
        try:
            drawn = self._performer.draw(drive, picture_width_px, time_s)
        except Exception as error:
            logger.debug("The engine failed", exc_info=True)
            self._let_go()
            self._recover(error)
            return None
        if self._failures and time_s - self._healthy_since_s > HEALTHY_S:
            self._failures = 0
        return drawn

    def look_after(self, now_s: float) -> None:
        """Try again what failed, when it is time."""
        if self._retry_s is not None and now_s >= self._retry_s:
            self._retry_s = None
            self._prepare()

    def close(self) -> None:
        """Close the engine and let the helper end; safe to call twice."""
        self._closed = True
        self.helper.ask_to_stop()
        self._let_go()

    def _prepare(self) -> None:
        self._asked_s = time.monotonic()
        wanted, performer = self.wanted, self._performer
        if self.shown is not None and not _same_engine(self.shown, wanted):
            performer = None  # the running one goes on until the other is there
        self.helper.ask(lambda: self._prepare_beside(wanted, performer))

    def _prepare_beside(self, wanted: LiveOptions, running: Performer | None) -> None:
        """On the helper thread: open and prepare what is wanted, and hand it over."""
        if self.shown is not None:  # else nobody is waiting for the processor but whoever wants to see the first frame
            yield_to_others()
        try:
            performer = running or self._tools.open_performer(wanted)
        except Exception as error:
            failure = error
            self._do(lambda: self._cannot_open(wanted, failure))
            return
        is_new = performer is not running
        try:
            portrait, notes = self._portrait(wanted, performer)
            ready = _Prepared(wanted, performer, portrait, is_new, notes)
        except Exception as error:
            refusal = _explained(error)
            if is_new:
                performer.close()
            self._do(lambda: self._refuse(wanted, refusal))
            return
        self._do(lambda: self._take(ready))

    def _portrait(self, wanted: LiveOptions, performer: Performer) -> tuple[Any, tuple[str, ...]]:
        """On the helper thread: the portrait from the shelf, or prepared afresh, then with notes.

        Raises: AvatarError, OSError.
        """
        notes: tuple[str, ...] = ()
        if self._failures > 1:  # one of them may be what the engine stumbles over
            self._shelf.clear()
        likeness = Library().likeness(wanted.avatar)
        key = shelf_key(likeness, wanted)
        if (portrait := self._shelf.find(key)) is None:
            with contextlib.closing(self._tools.open_tracker(False)) as tracker:
                source = read_portrait(likeness, tracker)
            notes = source.turn_notes("avatars add --turn 0")
            if self._closed:
                raise EngineError("It ended before the portrait was ready.")
            portrait = performer.prepare(source, wanted, hurry=self.shown is None)
            self._shelf.keep(key, portrait)
        return portrait, notes

    def _take(self, ready: _Prepared) -> None:
        """Swap, between two frames; what nobody wants any more is dropped."""
        wanted = ready.wanted
        outdated = wanted.avatar != self.wanted.avatar or not _same_engine(wanted, self.wanted)
        if self._closed or outdated or not (ready.is_new or ready.performer is self._performer):
            if ready.is_new:
                ready.performer.close()
            return
        if ready.is_new:
            self._let_go()
            self._performer = ready.performer
            self._performer.set_motion(self.wanted.motion)
            self._healthy_since_s = time.monotonic()
            self._report(self._performer.facts)
        ready.performer.show(ready.portrait)
        self.shown = wanted
        self._report(AvatarReady(wanted.avatar, 1000 * (time.monotonic() - self._asked_s), ready.notes))

    def _refuse(self, wanted: LiveOptions, refusal: AvatarError) -> None:
        """The portrait cannot be used; what is on stays on."""
        self._report(AvatarRefused(wanted.avatar, refusal))
        if self.shown is not None and wanted.avatar == self.wanted.avatar:
            self.wanted = dataclasses.replace(self.shown, motion=self.wanted.motion)
            if self._performer is None:  # its engine failed meanwhile
                self._prepare()

    def _cannot_open(self, wanted: LiveOptions, error: Exception) -> None:
        """An engine cannot be opened. What is on stays on; if nothing is, this counts as a failure."""
        if not _same_engine(wanted, self.wanted):
            return
        if self._performer is None or self.shown is None:
            if isinstance(error, AvatarError):  # a second try would say the same
                self._failures += 1
            self._recover(error)
            return
        self._report(EngineFailed(_explained(error), self.shown.engine))
        running = self.shown
        self.wanted = dataclasses.replace(
            self.wanted, engine=running.engine, model=running.model, device=running.device
        )
        if self.wanted.avatar != running.avatar:
            self._prepare()

    def _recover(self, error: Exception) -> None:
        """Open the engine once more; if it fails again, the one that always works."""
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        if self._failures > 1 and self.wanted.engine != FALLBACK:
            self.wanted = dataclasses.replace(self.wanted, engine=FALLBACK, model=None, device="auto")
            pause_s, self._failures = 0.0, 1
        self._report(EngineFailed(_explained(error), self.wanted.engine))
        self._retry_s = time.monotonic() + pause_s

    def _let_go(self) -> None:
        performer, self._performer = self._performer, None
        if performer is not None:
            try:
                performer.close()
            except Exception:
                logger.exception("An engine could not be closed")


def _same_engine(one: LiveOptions, other: LiveOptions) -> bool:
    return (one.engine, one.model, one.device) == (other.engine, other.model, other.device)


def _explained(error: Exception) -> AvatarError:
    if isinstance(error, AvatarError):
        return error
    what = f"The engine failed: {type(error).__name__}: {error}."
    return EngineError(what, remedy="If it happens again, start with --debug and report what it prints.")
