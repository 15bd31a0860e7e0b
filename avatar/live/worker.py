"""A thread with one owner and a three-step stop: ask, wake, join."""

from __future__ import annotations

import threading


class Worker:
    """Runs `_run` on a named daemon thread, so that a device which hangs in a call never keeps the program alive."""

    def __init__(self, name: str) -> None:
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

    def _wake(self) -> None:
        """End a wait inside `_run`."""

    def _run(self) -> None:
        raise NotImplementedError
