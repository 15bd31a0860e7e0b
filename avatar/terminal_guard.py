"""Keeps what is printed from steering the terminal: the last line of defence behind `avatar.foreign_text`."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TextIO, cast

from avatar.foreign_text import MOST_OF_SENTENCE, shown, shown_lines, without_controls

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogFormatter(logging.Formatter):
    """Makes one line of each message and, at most, one bounded line of each line of a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Return the message without line breaks or control characters, cut to a sentence's length."""
        return shown(super().formatMessage(record), MOST_OF_SENTENCE)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the standard library's name
        """Return the traceback with its lines, without folders and names: it is put into reports."""
        from avatar.discretion import discreet

        return discreet(shown_lines(super().formatException(ei)))


@contextlib.contextmanager
def guarded_terminal() -> Iterator[None]:
    """Escape control characters in everything that is printed in this block, libraries' warnings included.

    What the terminal's encoding lacks is escaped too, where Python would raise UnicodeEncodeError.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Guarded(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Guarded:
    """A text stream; everything but what is written is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        visible, encoding = without_controls(text), self._stream.encoding or "utf-8"
        self._stream.write(visible.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
