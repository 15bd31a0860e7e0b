"""The preparation thread, which opens engines and prepares portraits in the background."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from avatar.frames import Latest
from avatar.live.worker import Worker

_NICER = 2  # than the program: its other threads get half as much CPU time again, yet somebody waits for the avatar


class PreparationThread(Worker):
    """Thread that runs one job at a time; of the waiting jobs only the newest is kept."""

    def __init__(self) -> None:
        super().__init__("masque-preparation")
        self._jobs: Latest[Callable[[], None]] = Latest()

    def ask(self, job: Callable[[], None]) -> None:
        """Schedule a job, replacing one that has not started yet. It must not raise."""
        self._jobs.put(job)

    def _wake(self) -> None:
        self._jobs.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if (job := self._jobs.take()) is not None:
                job()


def yield_to_others() -> None:
    """Lower the priority of the current thread, where the system supports priorities per thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            program = os.getpriority(os.PRIO_PROCESS, os.getpid())
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), program + _NICER)  # the system limits it to 19
