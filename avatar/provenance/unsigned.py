"""Register of files made by this installation that are not signed yet, so that a file's own claims need not be trusted.

An entry is an empty file in `unsigned/`, beside the settings and the certificate, identified by its name:

    SHA256.generated, SHA256.composite      a finished file, by its hash
    NONCE.generated, NONCE.composite        a recording from its first frame on, by the random number in its comment,
                                            because a file left by a killed program has no known hash
    NONCE.lock                              locked while the recording runs
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from avatar.errors import UsageError
from avatar.settings import settings_path
from avatar.system.foreign_text import quoted
from avatar.system.locks import free_lock
from avatar.system.message import Message

logger = logging.getLogger(__name__)

_GENERATED, _COMPOSITE, _LOCK = ".generated", ".composite", ".lock"
_MOST = 500  # maximum number of entries; the oldest are dropped
_HASHING_S = 1.0  # time limit for hashing, because stopping may take two seconds
_MARK = re.compile(r"\b[0-9a-f]{32}\b")


def unsigned_folder() -> Path:
    """Return the folder of the entries."""
    return settings_path().with_name("unsigned")


@dataclass(frozen=True)
class Entry:
    """The entry of a file."""

    path: Path

    @property
    def composite(self) -> bool:
        """True if the file contains, or may contain, recorded audio or images."""
        return self.path.suffix == _COMPOSITE

    def forget(self) -> None:
        """Remove the entry, because the file is signed."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class BegunRecording:
    """The entry of a running recording; no method raises, because that must not end the session."""

    def __init__(self, *, composite: bool) -> None:
        self.mark = secrets.token_hex(16)  # written to the file's comment
        self._entry = Entry(unsigned_folder() / f"{self.mark}{_COMPOSITE if composite else _GENERATED}")
        self._lock = contextlib.ExitStack()
        try:
            self._entry.path.parent.mkdir(parents=True, exist_ok=True)
            _prune()
            self._lock.enter_context(free_lock(self._entry.path.with_suffix(_LOCK)))
            self._entry.path.touch()
        except OSError as error:
            logger.debug("The recording is not on record: %s", error)

    def add_recorded(self) -> None:
        """Record in advance that camera images will be part of the file; irreversible."""
        if self._entry.composite:
            return
        before, self._entry = self._entry, Entry(self._entry.path.with_suffix(_COMPOSITE))
        try:
            before.path.rename(self._entry.path)  # works on a full disk
        except OSError:
            before.forget()

    def end(self, *, known_otherwise: bool) -> None:
        """Record the end. The entry stays unless the file is known otherwise: by its hash, or signed."""
        self._lock.close()
        with contextlib.suppress(OSError):
            self._entry.path.with_suffix(_LOCK).unlink(missing_ok=True)
        if known_otherwise:
            self._entry.forget()


def remember(path: Path, *, composite: bool) -> bool:
    """Record a finished file by its hash; never fails.

    Returns:
        False if hashing would take too long or the entry cannot be written.
    """
    try:
        digest = _sha256(path, time.monotonic() + _HASHING_S)
        if digest is None:
            return False
        folder = unsigned_folder()
        folder.mkdir(parents=True, exist_ok=True)
        _prune()
        (folder / f"{digest}{_COMPOSITE if composite else _GENERATED}").touch()
    except OSError as error:
        logger.debug("%s is not on record: %s", path.name, error)
        return False
    return True


def find(path: Path) -> Entry:
    """Return the entry of a file.

    Raises:
        UsageError: there is none, or the file is still being recorded.
        OSError: the file cannot be read.
    """
    for key in (_sha256(path), _mark_in(path)):
        for kind in (_COMPOSITE, _GENERATED):
            entry = Entry(unsigned_folder() / f"{key}{kind}")
            if key and entry.path.is_file():
                _check_ended(entry, path)
                return entry
    raise UsageError(
        Message("{name} is not on record here as a recording that still needs signing.", name=quoted(path.name)),
        remedy="Only recordings that this installation made, and that were not changed since, are signed.",
    )


def _check_ended(entry: Entry, path: Path) -> None:
    lock = entry.path.with_suffix(_LOCK)
    if not lock.exists():
        return
    try:
        with free_lock(lock):
            pass
    except BlockingIOError as error:
        raise UsageError(
            Message("{name} is still being recorded.", name=quoted(path.name)), remedy="End the recording first."
        ) from error


def _sha256(path: Path, deadline_s: float | None = None) -> str | None:
    """Return the hash of a file; None after the deadline."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            if deadline_s is not None and time.monotonic() > deadline_s:
                return None
    return digest.hexdigest()


def _mark_in(path: Path) -> str:
    """Return the random number in a recording's comment; empty if there is none."""
    from av.error import FFmpegError

    from avatar.sources.probe import open_input

    try:
        with open_input(path) as file:
            found = _MARK.search(file.metadata.get("comment", ""))
    except (OSError, FFmpegError, ValueError):
        return ""
    return found[0] if found else ""


def _prune() -> None:
    """Drop the oldest entries beyond `_MOST`."""
    entries = [path for path in unsigned_folder().iterdir() if path.suffix in (_GENERATED, _COMPOSITE)]
    if len(entries) >= _MOST:
        for path in sorted(entries, key=lambda path: path.stat().st_mtime)[: len(entries) - _MOST + 1]:
            for each in (path, path.with_suffix(_LOCK)):
                each.unlink(missing_ok=True)
