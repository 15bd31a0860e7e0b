"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from avatar.limits import STALE_S

PART = re.compile(r"\..+\.[0-9a-f]{8}\.part")  # every name that `part_path` makes


def part_path(target: Path) -> Path:
    """A hidden, unused name beside `target`, so that the final rename stays on one file system."""
    return target.with_name(f".{_stem(target)}.{secrets.token_hex(4)}.part")


def remove_stale_parts(target: Path) -> None:
    """Remove the hidden parts that killed jobs left in the folder of `target`."""
    for part in target.parent.glob(".*.part"):
        if PART.fullmatch(part.name):
            remove_stale(part)


def remove_stale(path: Path) -> bool:
    """Remove a file, link or folder that nobody wrote to for a day; return whether it is gone. Never fails."""
    with contextlib.suppress(OSError):
        if time.time() - path.lstat().st_mtime > STALE_S:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            return True
    return False


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Hand out a name to write to; give it the name `target` if the block ends well, else remove it.

    A link is followed, so that it goes on pointing at the same place.

    Raises:
        OSError: whatever the file system says; `target` is then as it was before.
    """
    target = target.resolve()
    if target.exists() and not target.is_file():  # a device or a pipe would be gone, and a folder stays
        raise OSError(errno.EINVAL, "It is not a file", str(target))
    part = part_path(target)
    try:
        yield part
        flush_to_disk(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _stem(target: Path) -> str:
    """As much of a name as leaves room for what is added to it: file systems count bytes, and take 255."""
    return target.name.encode(errors="surrogateescape")[:200].decode(errors="ignore")


def flush_to_disk(path: Path) -> None:
    """Wait until the file's bytes are on the disk: a rename may otherwise survive a power cut that they do not."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
