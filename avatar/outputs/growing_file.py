"""A recording's file: claimed while it is written, and under its name as soon as it can be played."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path

from avatar.atomic import flush_to_disk, part_path, remove_stale_parts
from avatar.errors import OutputError
from avatar.library_names import same_name
from avatar.locks import Claims

_RENAMES_OPEN_FILES = sys.platform != "win32"


class GrowingFile:
    """Written beside its name; takes it, in place of an older file, once players can read it.

    So a program that is killed leaves the older file or one that can be played. Where the system does not rename open
    files, it takes its name when it is finished; a name that is free it then bears from the start.
    """

    def __init__(self, target: Path) -> None:
        """Claim the name; makes no file.

        Raises:
            OutputError: somebody is recording to it: another session, or this one.
        """
        self.target = target.resolve()
        self._name = _identity(self.target)
        if not _claims().claim(self._name):
            raise _taken(target)
        remove_stale_parts(self.target)
        self.replaces = self.target.exists()
        self.has_name = not _RENAMES_OPEN_FILES and not self.replaces
        self.path = self.target if self.has_name else part_path(self.target)  # where to write

    def take_name(self, *, finished: bool = False) -> None:
        """Rename the file if it can be played and has no name yet. Raises: OSError.

        Args:
            finished: it is complete, and nobody holds it open.
        """
        if self.has_name or not (finished or (_RENAMES_OPEN_FILES and can_be_played(self.path))):
            return
        if self.replaces:
            flush_to_disk(self.path)
        self.path.replace(self.target)
        self.has_name = True

    def close(self) -> None:
        """Give the name free and remove what never took it; safe to call twice."""
        if not self.has_name:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        _claims().release(self._name)


def check_not_recorded(path: Path) -> None:
    """Raise OutputError where somebody is recording to `path` now."""
    name = _identity(path.resolve())
    if not _claims().claim(name):
        raise _taken(path)
    _claims().release(name)


def can_be_played(path: Path) -> bool:
    """Say whether an MP4 that is being written holds a whole index (moov) and whole frames (mdat)."""
    try:
        with path.open("rb") as file:
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


def _taken(path: Path) -> OutputError:
    return OutputError(f"{path.name} is being recorded already.", remedy="End that recording, or choose another name.")


@functools.cache
def _claims() -> Claims:
    import platformdirs

    return Claims(Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "recordings.lock")


def _identity(target: Path) -> bytes:
    """What a name in a folder is, however the folder is reached, and in whichever case the name is written."""
    name = target.name
    try:
        folder = target.parent.stat()
        if _ignores_case(target.parent):
            name = same_name(name)
    except OSError:  # told when the file is made
        return os.fsencode(target)
    return f"{folder.st_dev}:{folder.st_ino}:".encode() + os.fsencode(name)


def _ignores_case(folder: Path) -> bool:
    probe = part_path(folder / "masque")  # a kind of name that is swept up after a kill
    probe.touch(exist_ok=False)
    try:
        return probe.with_name(probe.name.upper()).exists()
    finally:
        probe.unlink()
