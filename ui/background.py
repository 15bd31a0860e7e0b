"""Background work: run on other threads, with results delivered on the window's thread."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from PyQt5 import sip
from PyQt5.QtCore import QObject, pyqtSignal

from avatar.errors import AvatarError
from avatar.system.message import Message
from avatar.system.os_errors import explain

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Failed = Callable[[AvatarError], None]


class Lane(QObject):
    """A thread that runs jobs in order; created for the first job, and waited for in `close` only."""

    _finished = pyqtSignal(object, object)  # callback and argument, delivered to this thread by a queued signal

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None], Failed] | None]
        self._jobs = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._finished.connect(self._answer)

    def run(
        self, job: Callable[[], Result], done: Callable[[Result], None] = lambda _: None, failed: Failed | None = None
    ) -> None:
        """Schedule a job; `done` or `failed` is called on the window's thread, unless the lane is closed."""
        if self._closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"masque-{self._name}", daemon=True)
            self._thread.start()
        self._jobs.put((job, done, failed or _log))

    def ask_to_end(self) -> None:
        """Take no more jobs, and end after the scheduled ones. Returns at once; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Finish the scheduled jobs, then end. False: a job still runs, and ends with the process."""
        self.ask_to_end()
        if self._thread is None:
            return True
        self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, done, failed = entry
            try:
                answer: tuple[Any, Any] = (done, job())
            except AvatarError as error:
                answer = (failed, error)
            except Exception as error:  # outermost frame of the thread
                answer = (failed, explain(error) or self._mistake(error))
            try:
                self._finished.emit(*answer)
            except RuntimeError:  # the window is gone
                return

    def _mistake(self, error: Exception) -> AvatarError:
        logger.exception("A job of %s failed", self._name, exc_info=error)
        return AvatarError(Message("Internal error in Masque: {kind}: {error}", kind=type(error).__name__, error=error))

    def _answer(self, callback: Callable[[Any], None], value: Any) -> None:
        owner = getattr(callback, "__self__", None)
        if not self._closed and not (isinstance(owner, QObject) and sip.isdeleted(owner)):  # its dialog is open
            callback(value)


def _log(error: AvatarError) -> None:
    logger.warning("%s", error)
