"""Growing arrays that may be too large for memory, such as the motion of a long clip."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from avatar.errors import OutputError
from avatar.system.message import Message

SPILL_BYTES = 16 * 2**20
CHUNK = 512  # rows processed at a time


class Rows:
    """Growing array of rows of one shape and type, kept in an unnamed temporary file above SPILL_BYTES.

    The operating system deletes that file when the program ends, even after a crash.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def extend(self, rows: npt.NDArray[Any]) -> None:
        """Append (N, *shape) rows.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        rows = np.ascontiguousarray(rows, self._dtype)
        if rows.shape[1:] != self._shape:
            raise ValueError(f"rows of shape {self._shape} expected, got {rows.shape[1:]}")
        self._count += len(rows)
        data = rows.reshape(-1).view(np.uint8).data
        if self._file is None and len(self._memory) + len(data) <= SPILL_BYTES:
            self._memory += data
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=scratch_folder())  # noqa: SIM115 - `finish` closes it
                self._file.write(self._memory)
                self._memory = bytearray()
            self._file.write(data)
        except OSError as error:
            raise _no_room(error) from error

    def finish(self) -> npt.NDArray[Any]:
        """Return all rows as a read-only (T, *shape) array, memory-mapped where there is a file.

        Raises:
            OutputError: the disk of temporary files is full.
        """
        if self._file is None:
            array = np.frombuffer(bytes(self._memory), self._dtype)
        else:
            try:
                self._file.flush()
                array = np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), self._dtype)
                self._file.close()  # the mapping keeps it
            except OSError as error:
                raise _no_room(error) from error
        return array.reshape(self._count, *self._shape)


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Yield slices that cover `count` rows in order."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def is_mapped(array: npt.NDArray[Any]) -> bool:
    """Return whether an array, (T, ...), is memory-mapped."""
    return _mapping(array) is not None


def let_go(array: npt.NDArray[Any]) -> None:
    """Release the resident pages of a memory-mapped array, (T, ...), which stays readable; ignore other arrays."""
    mapping = _mapping(array)
    if mapping is not None and hasattr(mapping, "madvise"):  # Windows trims the working set by itself
        mapping.madvise(mmap.MADV_DONTNEED)


def scratch_folder() -> Path:
    """Return the folder for large temporary files: TMPDIR, else one on disk, because /tmp is often in memory."""
    if not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        roomy = Path("/var/tmp")
        if os.access(roomy, os.W_OK):
            return roomy
    return Path(tempfile.gettempdir())


def _mapping(array: Any) -> mmap.mmap | None:
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array if isinstance(array, mmap.mmap) else None


def _no_room(error: OSError) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(
        Message(
            "The motion of a long clip cannot be kept in {folder} meanwhile: {reason}.",
            folder=scratch_folder(),
            reason=reason,
        ),
        remedy="Free some room there (12 MB per minute of the clip), or set TMPDIR to a folder that has it.",
    )
