"""The journal beside a batch's results, one JSON object a line: a batch that ended anywhere goes on from it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from avatar.errors import OutputError, UsageError
from avatar.offline.batch.places import read_lines
from avatar.system.locks import free_lock
from avatar.system.message import Message

_MOST_LINE = 1 << 20
DONE, FAILED = "done", "failed"


class Journal:
    """An open journal; one process at a time has it."""

    def __init__(self, path: Path) -> None:
        """Read what was done, and get ready to write.

        Raises:
            UsageError: another batch has it open.
            OutputError: it cannot be read or written.
        """
        self.path = path
        self._finished: dict[bytes, bytes] = {}  # output -> job, as digests: some hundred bytes for each job
        self._lock = contextlib.ExitStack()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(free_lock(path.with_name(f".{path.name}.lock")))
        except BlockingIOError as error:
            raise UsageError(
                Message("Another batch is working on these results: its journal {path} is in use.", path=path),
                remedy="Wait until it has ended, or stop it.",
            ) from error
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            for entry in entries(path):
                self._note(entry)
            self._file: TextIO = path.open("a", encoding="utf-8")
            self.began_at = path.stat().st_size  # where the entries of this run begin
            if not _ends_with_a_line(path):  # the process that wrote it was killed in the middle
                self._file.write("\n")
        except OSError as error:
            self._lock.close()
            raise self._unwritable(error) from error

    def is_finished(self, output: str, key: str) -> bool:
        """Return whether a job was done with these very options."""
        return self._finished.get(_packed(output)) == bytes.fromhex(key)

    def write(self, **entry: Any) -> None:
        """Add an entry, which is on the disk on return. Raises: OutputError."""
        try:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error
        self._note(entry)

    def close(self) -> None:
        """Close the file and let others have it; safe to call twice."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._lock.close()

    def _note(self, entry: dict[str, Any]) -> None:
        name = _packed(entry["output"])
        if entry["state"] == DONE:
            self._finished[name] = bytes.fromhex(entry["key"])
        else:
            self._finished.pop(name, None)

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            Message("The journal {path} cannot be written: {why}.", path=self.path, why=error.strerror or error),
            remedy="Make room there, or name another with --journal; what is done stays done.",
        )


def entries(path: Path, start: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the whole entries of a journal from a byte on; a line that was cut short is none. Raises: OSError."""
    if not path.exists():
        return
    try:
        for line in read_lines(path, _MOST_LINE, start, errors="replace"):
            with contextlib.suppress(ValueError, TypeError, KeyError):
                entry = json.loads(line)
                bytes.fromhex(entry["key"])
                if isinstance(entry["output"], str) and entry["state"] in (DONE, FAILED):
                    yield entry
    except ValueError as error:  # a line without end: no journal of ours
        raise OSError(None, str(error)) from error


def _packed(output: str) -> bytes:
    from avatar.offline.batch.places import digest

    return bytes.fromhex(digest(output))


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
