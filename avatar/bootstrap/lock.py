"""The lock between concurrent set-ups. Standard library only, because nothing is installed yet."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Errors of network file systems without locks; continuing without a lock is better than failing.
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def file_lock(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock at `path` during the block, after waiting for its current holder.

    The system releases it when its holder exits, so a killed process never blocks the next one. The file itself is
    kept, because removing it would allow two processes to lock two files of one name.

    Args:
        path: the lock file, created if missing; its folder must exist.
        on_wait: called once if the lock is held by another process.
    Yields:
        The descriptor. On POSIX a child that inherits it holds the lock too, even after its parent was killed.
    Raises:
        OSError: the file cannot be created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        told = False
        while not _try_lock(descriptor):
            if on_wait is not None and not told:
                on_wait()
                told = True
            time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)  # releases the lock


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
        return True
