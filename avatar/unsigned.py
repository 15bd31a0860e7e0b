"""What this installation made and has not signed yet, so that a file's own words need not be believed.

An entry is an empty file in `unsigned/`, beside the settings and the certificate. Its name says it all:

    SHA256.generated, SHA256.composite      a finished file, by its hash
    NONCE.generated, NONCE.composite        a recording from its first frame on, by the random number in its comment,
                                            since what a killed program leaves has no known hash
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
from avatar.foreign_text import quoted
from avatar.locks import free_lock
from avatar.settings import settings_path

logger = logging.getLogger(__name__)

_GENERATED, _COMPOSITE, _LOCK = ".generated", ".composite", ".lock"
_MOST = 500  # entries; the oldest are dropped
_HASHING_S = 1.0  # a stop may take two seconds
_MARK = re.compile(r"\b[0-9a-f]{32}\b")


def unsigned_folder() -> Path:
    """Return where the entries are kept."""
    return settings_path().with_name("unsigned")


@dataclass(frozen=True)
class Entry:
    """What is on record of a file."""

    path: Path

    @property
    def composite(self) -> bool:
        """Whether recorded sound or pictures are, or may be, part of the file."""
        return self.path.suffix == _COMPOSITE

    def forget(self) -> None:
        """Take it off the record: the file is signed."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class BegunRecording:
    """The entry of a recording that runs; no method fails, since a show must not end because of it."""

    def __init__(self, *, composite: bool) -> None:
        self.mark = secrets.token_hex(16)  # belongs into the file's comment
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
        """Note, before it is written, that recorded pictures are part of the file; there is no way back."""
        if self._entry.composite:
            return
        before, self._entry = self._entry, Entry(self._entry.path.with_suffix(_COMPOSITE))
        try:
            before.path.rename(self._entry.path)  # needs no room on a full disk
        except OSError:
            before.forget()

    def end(self, *, known_otherwise: bool) -> None:
        """Note that the recording is over. The entry stays unless it is known otherwise: by its hash, or signed."""
        self._lock.close()
        with contextlib.suppress(OSError):
            self._entry.path.with_suffix(_LOCK).unlink(missing_ok=True)
        if known_otherwise:
            self._entry.forget()


def remember(path: Path, *, composite: bool) -> bool:
    """Put a finished file of ours on record by its hash; never fails.

    Returns:
        False: that would take too long, or cannot be written.
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
    """Return what is on record of a file.

    Raises:
        UsageError: nothing is, or it is still being recorded.
        OSError: it cannot be read.
    """
    for key in (_sha256(path), _mark_in(path)):
        for kind in (_COMPOSITE, _GENERATED):
            entry = Entry(unsigned_folder() / f"{key}{kind}")
            if key and entry.path.is_file():
                _check_ended(entry, path)
                return entry
    raise UsageError(
        f"{quoted(path.name)} is not on record here as a recording that waits to be signed.",
        remedy="Only recordings that this installation made, and that nobody changed since, are signed.",
    )


def _check_ended(entry: Entry, path: Path) -> None:
    lock = entry.path.with_suffix(_LOCK)
    if not lock.exists():
        return
    try:
        with free_lock(lock):
            pass
    except BlockingIOError as error:
        raise UsageError(f"{quoted(path.name)} is still being recorded.", remedy="End the recording first.") from error


def _sha256(path: Path, deadline_s: float | None = None) -> str | None:
    """Return the hash of a file; None: the time was over before."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            if deadline_s is not None and time.monotonic() > deadline_s:
                return None
    return digest.hexdigest()


def _mark_in(path: Path) -> str:
    """Return the number of a recording that stands in its comment; empty: there is none."""
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
