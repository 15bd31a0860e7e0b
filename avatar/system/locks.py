"""Locks between processes. The set-up has `avatar.bootstrap.lock`, because filelock is not installed yet."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

# Errors of network file systems without locks; continuing without a lock is better than failing.
_NO_LOCKS_HERE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def file_lock(path: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock at `path` during the block, after waiting for its current holder.

    The system releases it when its holder dies, so a killed process never blocks the next one.

    Args:
        path: the lock file, created with its folder if missing.
        on_wait: called once if another process, or another thread of this one, holds the lock.
    Raises:
        OSError: the file cannot be created.
    """
    lock = _lock(path)
    try:
        if not _acquired(lock, 0):
            if on_wait is not None:
                on_wait()
            _acquired(lock, -1)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def free_lock(path: Path) -> Iterator[None]:
    """Hold the lock at `path` like `file_lock`, but do not wait for it.

    Raises:
        BlockingIOError: another process, or another block of this one, holds it.
        OSError: the file cannot be created.
    """
    lock = _lock(path)
    try:
        if not _acquired(lock, 0):
            raise BlockingIOError(errno.EAGAIN, "it is locked", str(path))
        yield
    finally:
        lock.release()


def _lock(path: Path) -> BaseFileLock:
    """Return a lock that is not held yet.

    filelock's fallback without file locks, a marker file, is disabled: after a power failure a marker on a network
    folder would block all other computers forever.
    """
    from filelock import FileLock

    return FileLock(path, fallback_to_soft=False)


def _acquired(lock: BaseFileLock, timeout_s: float) -> bool:
    """Return whether the lock was acquired, or its file system has no locks; -1 waits forever."""
    from filelock import Timeout

    try:
        lock.acquire(timeout=timeout_s, poll_interval=0.1)
    except Timeout:
        return False
    except NotImplementedError:
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    return True


class Claims:
    """Exclusive claims to names, across the threads and processes of one user; a claim ends with its process.

    All claims share one file: each locks one byte of it, at an offset computed from the name.
    """

    def __init__(self, path: Path) -> None:
        """Create the claims without opening the file.

        Args:
            path: the file, created with its folder if missing; if that fails, other processes are not excluded.
        """
        self._path = path
        self._mutex = threading.Lock()
        self._held: set[int] = set()
        self._descriptor: int | None = None  # stays open: on POSIX, closing ends all claims of this process

    def claim(self, name: bytes) -> bool:
        """Claim a name; False if it is claimed already."""
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
        """End a claim, if there is one."""
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


# Bytes of one file instead of a file each: recordings may have any name, so files would accumulate, and removing one
# while another process opens it would let both hold it.
def _offset(name: bytes) -> int:
    digest = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")
    return digest % (2**31 - 1) if sys.platform == "win32" else digest >> 2


if sys.platform == "win32":
    import msvcrt

    def _try_lock_byte(descriptor: int, offset: int) -> bool:
        os.lseek(descriptor, offset, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock_byte(descriptor: int, offset: int) -> None:
        os.lseek(descriptor, offset, os.SEEK_SET)
        with contextlib.suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock_byte(descriptor: int, offset: int) -> bool:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)  # other errors: no locks on this file system
        return True

    def _unlock_byte(descriptor: int, offset: int) -> None:
        with contextlib.suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, offset)
