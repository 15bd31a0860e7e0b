"""Filter for LiteRT's start-up notes: it writes them straight to file descriptor 2, and has no setting to stop them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

STDERR = 2
_ONE_AT_A_TIME = threading.Lock()  # standard error is shared: two threads redirecting it at once would lose it


@contextlib.contextmanager
def without_notes(start: bytes = b"INFO: ") -> Iterator[None]:
    """Buffer the process's standard error and drop lines that begin with `start`; the others are written on exit.

    Meant for the milliseconds in which a network is loaded. Does nothing where there is no standard error (a program
    without a console) or no room for a temporary file.
    """
    with _ONE_AT_A_TIME, contextlib.ExitStack() as opened:
        try:
            held = opened.enter_context(tempfile.TemporaryFile())
            terminal = os.dup(STDERR)
        except OSError:
            yield
            return
        try:
            os.dup2(held.fileno(), STDERR)
            yield
        finally:
            os.dup2(terminal, STDERR)
            held.seek(0)
            kept = b"".join(line for line in held if not line.startswith(start))
            with contextlib.suppress(OSError):
                os.write(terminal, kept)
            os.close(terminal)
