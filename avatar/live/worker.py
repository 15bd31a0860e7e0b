"""A thread with one owner and a three-step stop: ask, wake, join."""

from __future__ import annotations

import threading
import time

HANDOVER_S = 3.0  # how long the next owner of a device waits for the one before to let go of it


class Worker:
    """Runs `_run` on a named daemon thread, so that a device which hangs in a call never keeps the program alive."""

    def __init__(self, name: str, before: Worker | None = None) -> None:
        """Get ready.

        Args:
            name: of the thread.
            before: already asked to stop; it may still hold the device that this one will open.
        """
        self._before = before
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Steps one and two: say so and wake it. Returns at once; safe to call twice."""
        self._stopping.set()
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """Step three; False: still busy, and on its own from here on."""
        if self._thread.ident is not None:
            self._thread.join(max(timeout_s, 0.0))
        return not self._thread.is_alive()

    def has_let_go(self, timeout_s: float) -> bool:
        """Say whether it ended, and so did those before it whose device it never came to open."""
        return self.join(timeout_s) and (self._before is None or self._before.has_let_go(timeout_s))

    def _wait_for_turn(self) -> bool:
        """Wait until the one before has let go of its device; False: asked to stop meanwhile."""
        until_s = time.monotonic() + HANDOVER_S
        while self._before is not None and not self._stopping.is_set():
            if self._before.has_let_go(0.05) or time.monotonic() > until_s:
                self._before = None
        return not self._stopping.is_set()

    def _wake(self) -> None:
        """End a wait inside `_run`."""

    def _run(self) -> None:
        raise NotImplementedError
