"""The helper thread that opens engines and prepares portraits beside the running ones."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from avatar.frames import Latest
from avatar.live.worker import Worker

_NICER = 5  # of 19: what runs gets three times as much of the processor, and a busy machine still gets it done


class PreparationThread(Worker):
    """Does one job at a time; of those that were asked for meanwhile only the newest."""

    def __init__(self) -> None:
        super().__init__("masque-preparation")
        self._jobs: Latest[Callable[[], None]] = Latest()

    def ask(self, job: Callable[[], None]) -> None:
        """Have a job done, in place of one that was not begun yet. It must not raise."""
        self._jobs.put(job)

    def _wake(self) -> None:
        self._jobs.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if (job := self._jobs.take()) is not None:
                job()


def yield_to_others() -> None:
    """Let this process's other threads have the processor first from now on, where the system tells threads apart."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICER)
