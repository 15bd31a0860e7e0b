"""A thread with one owner and a three-step stop: ask, wake, join."""

from __future__ import annotations

import threading
import time

HANDOVER_S = 3.0  # time that the next owner of a device waits for the previous one to release it


class Worker:
    """A named daemon thread that runs `_run`; a device that hangs in a call cannot keep the program alive."""

    def __init__(self, name: str, before: Worker | None = None) -> None:
        """Create the thread without starting it.

        Args:
            name: name of the thread.
            before: the previous worker, already asked to stop; it may still hold the device that this one will open.
        """
        self._before = before
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; call once."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Perform steps one and two: set the stop flag and wake the thread. Returns at once; safe to call twice."""
        self._stopping.set()
        self._wake()

    @property
    def is_stopping(self) -> bool:
        """True once the thread was asked to stop."""
        return self._stopping.is_set()

    def join(self, timeout_s: float) -> bool:
        """Perform step three; False if the thread is still busy, which is then left to itself."""
        if self._thread.ident is not None:
            self._thread.join(max(timeout_s, 0.0))
        return not self._thread.is_alive()

    def has_let_go(self, timeout_s: float) -> bool:
        """Return whether this worker has ended, and so have its predecessors whose device it never opened."""
        return self.join(timeout_s) and (self._before is None or self._before.has_let_go(timeout_s))

    def _wait_for_turn(self) -> bool:
        """Wait until the previous worker has released its device; False if asked to stop meanwhile."""
        until_s = time.monotonic() + HANDOVER_S
        while self._before is not None and not self._stopping.is_set():
            if self._before.has_let_go(0.05) or time.monotonic() > until_s:
                self._before = None
        return not self._stopping.is_set()

    def _wake(self) -> None:
        """Interrupt a wait inside `_run`."""

    def _run(self) -> None:
        raise NotImplementedError
