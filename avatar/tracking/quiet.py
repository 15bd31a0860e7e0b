"""Keeps a runtime quiet: LiteRT writes start-up notes past Python, and no setting of its own stops them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

STDERR = 2
_ONE_AT_A_TIME = threading.Lock()  # the process has one standard error: two that change it would lose it


@contextlib.contextmanager
def without_notes(start: bytes = b"INFO: ") -> Iterator[None]:
    """Hold back what the process writes to its standard error; lines that begin otherwise appear at the end.

    Made for the milliseconds in which a network is loaded. Without a standard error (a program without a console) or
    room for a temporary file nothing is held back.
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
