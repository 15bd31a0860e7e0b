"""External stop requests: Ctrl-C, SIGTERM, a closed terminal, a closed pipe."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_STDIN = 0


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Return an event that Ctrl-C, SIGTERM and a closed terminal set.

    A signal that is ignored, as under `nohup`, stays ignored.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def watch_stdin() -> Iterator[Callable[[], bool]]:
    """Return a function that tells whether standard input was closed, if it is a pipe held by the parent process."""
    try:
        mode = os.fstat(_STDIN).st_mode
        is_pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
    except OSError:
        is_pipe = False
    if not is_pipe:
        yield lambda: False
    elif sys.platform == "win32":  # select takes sockets only there
        closed = threading.Event()
        threading.Thread(target=_wait_for_end, args=(closed,), name="masque-stdin", daemon=True).start()
        yield closed.is_set
    else:
        yield _stdin_has_ended


def _stdin_has_ended() -> bool:
    try:
        while select.select([_STDIN], [], [], 0)[0]:
            if not os.read(_STDIN, 4096):
                return True
    except OSError:
        return True
    return False


def _wait_for_end(closed: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(_STDIN, 4096):
            pass
    closed.set()
