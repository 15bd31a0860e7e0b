"""Ctrl-C at any moment: a word and an exit code, never a traceback. Standard library only: run.py begins with it.

While the program starts there is nothing to finish, so it ends at once. While a command runs, Ctrl-C raises
KeyboardInterrupt, but not in the middle of an import or a finalizer: extension modules answer an exception there with
errors of their own or abort, and Python prints and drops it. It is then raised as soon as that is over; where that
takes long, or Ctrl-C is pressed again, the process ends.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from types import FrameType

STOPPED = 1  # exit code
_LATER_S, _LONGEST_S = 0.02, 2.0
_IMPORT = "<frozen importlib._bootstrap>"  # in which file every import is under way


class _Waiting:
    """An interrupt that came at a bad moment."""

    since_s: float | None = None


def end_at_once() -> None:
    """From now on Ctrl-C ends the process. Ignored interrupts, as of a background job, stay ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the last of all: what is left takes no time
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def begin_work() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt; nothing changes where `end_at_once` was not called before."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, _interrupt)


def end_with(code: int) -> None:
    """Note that the work is done: from now on Ctrl-C only hurries the end."""
    if signal.getsignal(signal.SIGINT) in (_end, _interrupt):
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(code))


def hold() -> None:
    """Keep Ctrl-C for the program that this process becomes, until its `end_at_once`."""
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
