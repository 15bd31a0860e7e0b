"""Loads PyAV, by one thread at a time.

Its modules import each other, so two threads that begin together each find the other's half unfinished, and fail. In a
live session they do: one opens a clip while another gets a recording ready.
"""

from __future__ import annotations

import threading

_lock = threading.Lock()


def load_av() -> None:
    """Import PyAV as a whole; whoever comes second waits. Later imports of its parts are safe."""
    with _lock:
        import av.error
        import av.video.reformatter  # noqa: F401
