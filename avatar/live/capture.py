"""The capture thread: opens a source, delivers its frames, and reopens it when it is lost."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable

from avatar.errors import AvatarError, CameraError
from avatar.frames import Frame, LatestFrame
from avatar.live.events import Event, SourceBack, SourceLost, SourceNote
from avatar.live.statistics import Window
from avatar.live.worker import Worker
from avatar.sources.base import FrameSource
from avatar.system.message import Message

logger = logging.getLogger(__name__)

PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # delays before each retry; the last one repeats


class CaptureThread(Worker):
    """Thread that reads one source until it is asked to stop."""

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        inbox: LatestFrame,
        report: Callable[[Event], None],
        before: CaptureThread | None = None,
    ) -> None:
        """Create the thread without starting it.

        Args:
            open_source: opens the source; called on this thread, which also reads and closes it.
            inbox: receives the frames.
            report: receives an event when the source is lost and when it is back.
            before: the previous capture thread, already asked to stop; it may still hold the same device.
        """
        super().__init__("masque-capture", before)
        self._open_source, self._inbox, self._report = open_source, inbox, report
        self._source: FrameSource | None = None
        self._told_lost = False
        self._told: set[str] = set()  # notes that were reported
        self.frames = Window()
        self.captured = 0

    def _wake(self) -> None:
        if self._source is not None:
            self._source.interrupt()

    def _run(self) -> None:
        self._wait_for_turn()
        tries = 0
        while not self._stopping.is_set():
            read = self.captured
            try:
                self._read_until_lost()
            except Exception as error:
                self._tell_lost(error)
            tries = 0 if self.captured > read else tries + 1
            self._stopping.wait(PAUSES_S[min(tries, len(PAUSES_S) - 1)])

    def _read_until_lost(self) -> None:
        with contextlib.closing(self._open_source()) as source:
            self._source = source
            delivered = False
            while not self._stopping.is_set():
                frame = source.read()
                if self._stopping.is_set():
                    return
                if not delivered:
                    delivered, self._told_lost = True, False
                    self._report(SourceBack(source.name, source.facts))
                self._tell_notes(source.facts.notes)
                self._deliver(frame)

    def _deliver(self, frame: Frame) -> None:
        self.captured += 1
        self.frames.add(now_s=frame.captured_ns * 1e-9)
        self._inbox.put(frame)

    def _tell_notes(self, notes: Iterable[str]) -> None:
        for note in notes:
            if note not in self._told:
                self._told.add(note)
                self._report(SourceNote(note))

    def _tell_lost(self, error: Exception) -> None:
        if self._stopping.is_set() or self._told_lost:
            return
        self._told_lost = True
        if not isinstance(error, AvatarError):
            logger.exception("Capture stopped", exc_info=error)
            error = CameraError(
                Message("The source failed: {error}.", error=error), remedy="Choose it again, or another one."
            )
        self._report(SourceLost(error.what, error.remedy))
