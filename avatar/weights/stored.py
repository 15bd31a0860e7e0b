"""One weight file on this machine: verification and publication under its name.

Beside each file is a small record of its last check (`.FILE.json`: size, time, hashes), so that starting the program
does not read hundreds of megabytes again.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avatar.errors import WeightsError
from avatar.system.locks import file_lock
from avatar.system.message import Message
from avatar.system.small_files import read_json
from avatar.weights.download import unwritable
from avatar.weights.manifest import Seen, Weight, measure

READY, UNCHECKED, DAMAGED, MISSING = "ready", "not checked yet", "damaged", "missing"


@dataclass(frozen=True)
class StoredFile:
    """Location and state of a weight file."""

    weight: Weight
    folder: Path

    @property
    def path(self) -> Path:
        """Path of the file, which exists only after it was checked or copied there by hand."""
        return self.folder / self.weight.file

    @property
    def part(self) -> Path:
        """Path of an unfinished download."""
        return self.folder / f"{self.weight.file}.part"

    @property
    def note(self) -> Path:
        """Path of the record of the last check."""
        return self.folder / f".{self.weight.file}.json"

    def state(self) -> str:
        """Return READY, UNCHECKED, DAMAGED or MISSING without reading the file."""
        if not self.path.is_file():
            return MISSING
        if self.weight.bytes is not None and self.path.stat().st_size != self.weight.bytes:
            return DAMAGED
        return READY if self._noted_as_sound() else UNCHECKED

    def require(self) -> Path:
        """Return the path of a valid file; reads it only if it changed since the last check.

        Raises:
            WeightsError: it is missing or wrong.
        """
        return self.path if self.path.is_file() and self._noted_as_sound() else self.check()

    def is_sound(self) -> bool:
        """Return whether `require` would succeed."""
        try:
            self.require()
        except WeightsError:
            return False
        return True

    def check(self) -> Path:
        """Read the whole file, compare it with the manifest, and record the result.

        Raises:
            WeightsError: it is missing, cannot be read, or is wrong.
        """
        if not self.path.is_file():
            raise WeightsError(
                Message("The model {name} is missing ({path}).", name=self.weight.name, path=self.path),
                remedy=self.weight.remedy,
            )
        try:
            seen = measure(self.path)
        except OSError as error:
            what = Message("{path} cannot be read: {why}.", path=self.path, why=error.strerror)
            raise WeightsError(what, remedy="Check its permissions.") from error
        if difference := self.weight.mismatch(seen) or self._unlike_the_import(seen):
            raise WeightsError(
                Message("The model file {path} {difference}.", path=self.path, difference=difference),
                remedy=self.weight.remedy,
            )
        self._remember(seen)
        return self.path

    def publish(self, part: Path, seen: Seen) -> None:
        """Rename a checked file. The record is removed first and written last, so that it never fits another file."""
        try:
            self.note.unlink(missing_ok=True)
            part.replace(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._remember(seen)

    @contextlib.contextmanager
    def locked(self, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Keep other processes from writing this file. Raises WeightsError if the folder cannot be written."""
        lock = self.folder / f".{self.weight.file}.lock"
        with contextlib.ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(file_lock(lock, on_wait=on_wait))
            except OSError as error:
                raise unwritable(lock, error) from error
            yield

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """Yield a temporary path in the same folder; a file left there is deleted on exit."""
        path = self.folder / f".{self.weight.file}.{uuid.uuid4().hex}.part"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _noted_as_sound(self) -> bool:
        """Return whether the file is unchanged since its last check and still matches the manifest."""
        note, now = self._read_note(), self.path.stat()
        if note.get("bytes") != now.st_size or note.get("mtime_ns") != now.st_mtime_ns:
            return False
        return self.weight.mismatch(Seen(now.st_size, str(note.get("sha256")), str(note.get("md5")))) is None

    def _unlike_the_import(self, seen: Seen) -> str | None:
        """Compare a weight without a published hash with the bytes that the user confirmed at import."""
        if self.weight.recognisable:
            return None
        remembered = self._read_note().get("sha256")
        if remembered is None:
            return Message("was not imported with `models import`, so its hash is unknown")
        return None if remembered == seen.sha256 else Message("has changed since it was imported")

    def _read_note(self) -> dict[str, object]:
        try:
            note = read_json(self.note)
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def _remember(self, seen: Seen) -> None:
        """Write the record. If that fails, the next start only has to read the file again."""
        now = self.path.stat()
        note = {"bytes": now.st_size, "mtime_ns": now.st_mtime_ns, "sha256": seen.sha256, "md5": seen.md5}
        with contextlib.suppress(OSError), self.draft() as draft:
            draft.write_text(json.dumps(note), encoding="utf-8")
            draft.replace(self.note)
