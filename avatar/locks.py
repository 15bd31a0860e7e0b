"""A lock between processes. Standard library only: the set-up uses it before anything is installed."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Network file systems without locks answer with these; going on unlocked beats not starting at all.
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def file_lock(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock at `path` for as long as the block runs; wait for whoever holds it.

    The system releases it when its holder dies, so a killed process never blocks the next one. The file
    itself stays: removing it would let two processes lock two files of one name.

    Args:
        path: the lock file, made when absent; its folder must exist.
        on_wait: called once if the lock is held by another process.
    Yields:
        The descriptor. On POSIX a child that inherits it holds the lock too, even after its parent was killed.
    Raises:
        OSError: the file cannot be made.
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


@contextlib.contextmanager
def free_lock(path: Path) -> Iterator[int]:
    """Hold the lock at `path` like `file_lock`, but do not wait for it.

    Raises:
        BlockingIOError: another process, or another block of this one, holds it.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _try_lock(descriptor):
            raise BlockingIOError(errno.EAGAIN, "it is locked", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


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
