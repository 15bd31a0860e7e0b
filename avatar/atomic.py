"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def part_path(target: Path) -> Path:
    """A hidden, unused name beside `target`, so that the final rename stays on one file system."""
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Hand out a name to write to; give it the name `target` if the block ends well, else remove it.

    A link is followed, so that it goes on pointing at the same place.

    Raises:
        OSError: whatever the file system says; `target` is then as it was before.
    """
    target = target.resolve()
    part = part_path(target)
    try:
        yield part
        flush_to_disk(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until the file's bytes are on the disk: a rename may otherwise survive a power cut that they do not."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
