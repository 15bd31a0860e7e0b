"""Import of PyAV, in one thread at a time.

Its modules import each other, so two threads that import it concurrently each find partly initialised modules, and
fail. This happens in a live session, where one thread opens a clip while another prepares a recording.
"""

from __future__ import annotations

import threading

_lock = threading.Lock()


def load_av() -> None:
    """Import PyAV completely; a second thread waits. Later imports of its parts are safe."""
    with _lock:
        import av.error
        import av.video.reformatter  # noqa: F401
