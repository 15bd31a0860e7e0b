"""Files that are written atomically."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from avatar.errors import OutputError
from avatar.system.limits import STALE_S
from avatar.system.message import Message

PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # names created by `part_path`


def part_path(target: Path) -> Path:
    """Return a hidden, unused path beside `target`, so that the final rename stays on one file system."""
    return target.with_name(f".{_stem(target)}.{secrets.token_hex(4)}.part")


def remove_stale_parts(target: Path) -> None:
    """Remove temporary files of killed jobs in the folder of `target`."""
    for part in target.parent.glob(".*.part"):
        if PART.fullmatch(part.name):
            remove_stale(part)


def remove_parts_of(target: Path) -> None:
    """Remove the hidden parts of one result, for whoever knows that nobody else is writing it. Never fails."""
    with contextlib.suppress(OSError):
        for part in target.parent.glob(f".{glob.escape(_stem(target))}.*.part"):
            if PART.fullmatch(part.name):
                shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()


def remove_stale(path: Path) -> bool:
    """Remove a file, link or folder not written to for a day; return whether it is gone. Never fails."""
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime > STALE_S:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            return True
    return False


@contextlib.contextmanager
def writing(result: Path) -> Iterator[None]:
    """Explain errors of the file system while a result, a file or a folder, is written. Raises: OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            Message("{path} cannot be written: {why}.", path=result, why=error.strerror or error),
            remedy="Choose another place for the result.",
        ) from error


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `target` if the block succeeds, otherwise remove it.

    A link is followed, so that it keeps pointing to the same file.

    Raises:
        OSError: an error of the file system; `target` is then unchanged.
    """
    target = target.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe would be replaced, and a folder cannot be
        raise OSError(errno.EINVAL, "It is not a file", str(target))
    part = part_path(target)
    try:
        yield part
        flush_to_disk(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    """Shorten a name to leave room for a suffix: file systems limit names to 255 bytes."""
    return target.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")


def flush_to_disk(path: Path) -> None:
    """Wait until the contents are on disk: otherwise a power failure may keep the rename and lose the contents."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
