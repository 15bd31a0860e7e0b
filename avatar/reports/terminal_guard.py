"""Protection of the terminal from control characters in printed text, behind `avatar.system.foreign_text`."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TextIO, cast

from avatar.system.foreign_text import MOST_OF_SENTENCE, shown, shown_lines, without_controls

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogFormatter(logging.Formatter):
    """Formats each message as one line, and each line of a traceback as one bounded line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the standard library's name
        """Format the message without line breaks or control characters, at a sentence's maximum length."""
        return shown(super().formatMessage(record), MOST_OF_SENTENCE)

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - the standard library's name
        """Format the traceback without folders and names, because it is used in reports."""
        from avatar.reports.discretion import discreet

        return discreet(shown_lines(super().formatException(ei)))


@contextlib.contextmanager
def guarded_terminal() -> Iterator[None]:
    """Escape control characters in all output in this block, including libraries' warnings.

    Characters that the terminal's encoding lacks are escaped too, instead of raising UnicodeEncodeError.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _Guarded(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Guarded:
    """A wrapper of a text stream that changes written text only."""

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
