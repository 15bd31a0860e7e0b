"""Handling of Ctrl-C: a message and an exit code, never a traceback. Standard library only: run.py needs it first.

During start-up Ctrl-C ends the process at once. While a command runs, it raises KeyboardInterrupt, but not during an
import or a finalizer: there extension modules convert an exception to other errors or abort, and Python prints and
drops it. The interrupt is then raised afterwards; if that takes long, or Ctrl-C is pressed again, the process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

STOPPED = 1  # exit code
_LATER_S, _LONGEST_S = 0.02, 2.0
_IMPORT = "<frozen importlib._bootstrap>"  # file of the frames of every running import


class _Waiting:
    """A postponed interrupt."""

    since_s: float | None = None


def end_at_once() -> None:
    """Let Ctrl-C end the process at once. Ignored interrupts, as of a background job, stay ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # runs last; the remaining exit takes no time
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def begin_work() -> None:
    """Let Ctrl-C raise KeyboardInterrupt; does nothing unless `end_at_once` was called before."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _interrupt)


def end_with(code: int) -> None:
    """Mark the work as done: from now on Ctrl-C only ends the process sooner."""
    if signal.getsignal(signal.SIGINT) in (_end, _interrupt):
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(code))


def leave(code: int) -> NoReturn:
    """End the process now, without the rest of Python's exit.

    Python would wait for a thread that hangs in a device, or abort in the C++ code that it comes out of meanwhile; and
    what other packages do at exit may crash (see ui/qt_exit.py).
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # none, gone or closed
            stream.flush()
    os._exit(code)


def hold() -> None:
    """Block Ctrl-C until `end_at_once` of the program that replaces this process."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"\nStopped.\n" if os.isatty(2) else b"Stopped.\n")
    os._exit(STOPPED)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if sys.platform == "win32" or not _must_wait(frame):
        _Waiting.since_s = None
        raise KeyboardInterrupt
    now_s = time.monotonic()
    again = number == signal.SIGINT and _Waiting.since_s is not None
    _Waiting.since_s = _Waiting.since_s or now_s
    if again or now_s - _Waiting.since_s > _LONGEST_S:
        _end(number, frame)
    signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, _LATER_S)


def _must_wait(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
