"""The file of a recording: locked while it is written, and renamed to its final name once it can be played."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import BinaryIO

from avatar.errors import OutputError
from avatar.library.names import same_name
from avatar.system.atomic import flush_to_disk, part_path, remove_stale_parts
from avatar.system.locks import Claims
from avatar.system.message import Message

_EBML, _SEGMENT, _TRACKS, _CLUSTER = (bytes.fromhex(each) for each in ("1a45dfa3", "18538067", "1654ae6b", "1f43b675"))
_RENAMES_OPEN_FILES = sys.platform != "win32"


class GrowingFile:
    """A file written under a temporary name and renamed, replacing an older file, once players can read it.

    A killed program thus leaves either the older file or one that can be played. If the system cannot rename open
    files, the file is renamed when it is finished, or written under its final name if that is free.
    """

    def __init__(self, target: Path) -> None:
        """Lock the name without creating the file.

        Raises:
            OutputError: a recording to it is running, in this or another session.
        """
        self.target = target.resolve()
        self._name = claim(target)
        remove_stale_parts(self.target)
        self.replaces = self.target.exists()
        self.has_name = not _RENAMES_OPEN_FILES and not self.replaces
        self.path = self.target if self.has_name else part_path(self.target)  # path to write to

    def take_name(self, *, finished: bool = False) -> None:
        """Rename the file if it can be played and has no name yet. Raises: OSError.

        Args:
            finished: it is complete and closed.
        """
        if self.has_name or not (finished or (_RENAMES_OPEN_FILES and can_be_played(self.path))):
            return
        if self.replaces:
            flush_to_disk(self.path)
        self.path.replace(self.target)
        self.has_name = True

    def close(self) -> None:
        """Release the name and remove a file that was never renamed; safe to call twice."""
        if not self.has_name:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        release(self._name)


def claim(path: Path) -> bytes:
    """Claim the name of a recording; return what `release` takes. Raises: OutputError: it is being recorded to."""
    name = _identity(path.resolve())
    if not _claims().claim(name):
        raise _taken(path)
    return name


def release(name: bytes) -> None:
    """Release a name; safe to call twice."""
    _claims().release(name)


def check_not_recorded(path: Path) -> None:
    """Raise OutputError if a recording to `path` is running."""
    release(claim(path))


def can_be_played(path: Path) -> bool:
    """Return whether a growing file holds a complete index and complete frames.

    In MP4 these are moov and mdat; in WebM Tracks and a Cluster (RFC 9559, 5.1).
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == _EBML:
                return _has_cluster(file)
            file.seek(0)
            size, missing = os.fstat(file.fileno()).st_size, {b"moov", b"mdat"}
            while len(head := file.read(16)) >= 8:
                length, kind = int.from_bytes(head[:4], "big"), head[4:8]
                length = int.from_bytes(head[8:], "big") if length == 1 else length
                end = file.tell() - len(head) + length
                if length < 8 or end > size:
                    return False
                missing.discard(kind)
                if not missing:
                    return True
                file.seek(end)
    except OSError:
        pass
    return False


def _has_cluster(file: BinaryIO) -> bool:
    """Return whether a WebM, read up to its first four bytes, holds Tracks and a complete Cluster."""
    size, has_tracks = os.fstat(file.fileno()).st_size, False
    file.seek(_vint(file), os.SEEK_CUR)  # the rest of the header
    if file.read(4) != _SEGMENT:
        return False
    _vint(file)  # unknown until the file is finished
    while len(kind := file.read(1)) == 1:
        kind += file.read(_vint_bytes(kind[0]) - 1)
        end = _vint(file) + file.tell()
        if end > size:
            return False
        has_tracks |= kind == _TRACKS
        if kind == _CLUSTER:
            return has_tracks
        file.seek(end)
    return False


def _vint(file: BinaryIO) -> int:
    """Read a number of variable length (RFC 8794, 4); one that is cut is larger than any file."""
    first = file.read(1)
    rest = file.read(_vint_bytes(first[0]) - 1) if first else b""
    if not first or len(rest) < _vint_bytes(first[0]) - 1:
        return 1 << 62
    return int.from_bytes(bytes([first[0] & (0xFF >> _vint_bytes(first[0]))]) + rest, "big")


def _vint_bytes(first: int) -> int:
    return 9 - first.bit_length() if first else 8


def _taken(path: Path) -> OutputError:
    return OutputError(
        Message("{name} is being recorded already.", name=path.name),
        remedy="End that recording, or choose another name.",
    )


@functools.cache
def _claims() -> Claims:
    import platformdirs

    return Claims(Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "recordings.lock")


def _identity(target: Path) -> bytes:
    """Return a key for a file that does not depend on the path to its folder, nor on case where that is ignored."""
    name = target.name
    try:
        folder = target.parent.stat()
        if _ignores_case(target.parent):
            name = same_name(name)
    except OSError:  # reported when the file is created
        return os.fsencode(target)
    return f"{folder.st_dev}:{folder.st_ino}:".encode() + os.fsencode(name)


def _ignores_case(folder: Path) -> bool:
    probe = part_path(folder / "masque")  # stale files with such a name are removed later
    probe.touch(exist_ok=False)
    try:
        return probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink()
