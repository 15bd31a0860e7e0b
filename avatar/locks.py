"""Locks between processes. Standard library only: the set-up uses them before anything is installed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import threading
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


class Claims:
    """Exclusive claims to names, across the threads and processes of one user; a claim ends with its process.

    All claims share one file: each locks one byte of it, at an offset computed from the name. So no lock files pile up,
    and none has to be removed, which could not be done safely.
    """

    def __init__(self, path: Path) -> None:
        """Get ready.

        Args:
            path: the file, made with its folder when absent; where that fails, other processes are not kept out.
        """
        self._path = path
        self._mutex = threading.Lock()
        self._held: set[int] = set()
        self._descriptor: int | None = None  # stays open: on POSIX, closing it would end all claims of this process

    def claim(self, name: bytes) -> bool:
        """Claim a name; False: it is claimed already."""
        offset = _offset(name)
        with self._mutex:
            if offset in self._held:
                return False
            descriptor = self._open()
            if descriptor is not None and not _try_lock_byte(descriptor, offset):
                return False
            self._held.add(offset)
            return True

    def release(self, name: bytes) -> None:
        """End a claim; nothing happens where there is none."""
        offset = _offset(name)
        with self._mutex:
            if offset in self._held:
                self._held.remove(offset)
                if self._descriptor is not None:
                    _unlock_byte(self._descriptor, offset)

    def _open(self) -> int | None:
        if self._descriptor is None:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        return self._descriptor


def _offset(name: bytes) -> int:
    digest = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
    return digest % (2**31 - 1) if sys.platform == "win32" else digest >> 2


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _try_lock_byte(descriptor: int, offset: int) -> bool:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return _try_lock(descriptor)

    def _unlock_byte(descriptor: int, offset: int) -> None:
        os.lseek(descriptor, offset, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

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

    def _try_lock_byte(descriptor: int, offset: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # others: no locks on this file system
        return True

    def _unlock_byte(descriptor: int, offset: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)
