r"""Sanitising of foreign text - from files, drivers, the network - for messages, the terminal and the window.

Invisible characters are escaped, so that they cannot move the cursor, colour the terminal, start a new line or reorder
the text around them; long texts are shortened in the middle, so that our own words stay visible.
"""

from __future__ import annotations

import os
import re
import shlex
import unicodedata

MOST = 80  # characters of one foreign word or value
MOST_OF_SENTENCE = 1000  # characters of a sentence of ours with such values in it
MOST_LINES = 400  # lines of a long text, such as a traceback

_MOST_SEARCHED = 100_000  # characters searched for the first line
_MOST_OF_LINE = 200  # characters of a line of a library's message
_MOST_TYPED = 800  # characters of an argument
_BLANK = frozenset(  # letters and marks by category, but drawn as nothing
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0))))
)
_MARKS_IN_A_ROW = 4  # more than any script uses; hundreds would be drawn over the lines above
_PLAIN = re.compile(r"[ -~]*", re.ASCII)


def shown(text: object, most: int = MOST) -> str:
    r"""Return the text as one visible line of at most `most` characters.

    Control characters, line breaks, bidirectional and zero-width characters and lone surrogates become `\n`, `\x1b`,
    `\u202e` and so on. A text that is too long keeps its start and its end, with an ellipsis between them. The time
    does not depend on the length of the text.

    Args:
        text: a string, bytes (decoded as UTF-8), a path, an exception or another value.
        most: at least 3.
    """
    whole = _as_text(text, most)
    if len(whole) <= most and _PLAIN.fullmatch(whole):
        return whole
    if len(whole) <= most:
        pieces = _visible(whole)
        if sum(map(len, pieces)) <= most:
            return "".join(pieces)
    room = most - 1
    head = _fitting(_visible(whole[:most]), room - room // 3)
    tail = _fitting(_visible(whole[-most:])[::-1], room // 3)
    return "".join(head) + "…" + "".join(reversed(tail))


def quoted(text: object, most: int = MOST) -> str:
    """Return `shown` text in quotation marks that it cannot close itself; the marks do not count in `most`.

    Numbers and truth values are not quoted.
    """
    if text is None or isinstance(text, int | float):
        return shown(text, most)
    return '"' + shown(text, most).replace('"', "'") + '"'


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error message, `shown`."""
    first = next((line for line in str(error)[:_MOST_SEARCHED].splitlines() if line.strip()), type(error).__name__)
    return shown(first.strip().rstrip("."), _MOST_OF_LINE)


def typed(argument: object) -> str:
    """Quote an argument for this system's shell, for commands shown to the user.

    Names with characters that cannot be typed are `quoted` instead.
    """
    text = str(argument)
    if shown(text, _MOST_TYPED) != text:
        return quoted(text)
    if os.name == "posix":
        return shlex.quote(text)
    return text if re.fullmatch(r"[\w.:\\/-]+", text) else quoted(text, _MOST_TYPED)


def shown_lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, with each line `shown`; only line feeds separate lines.

    If there are more than `MOST_LINES` lines, the first and last are kept.
    """
    lines = text.split("\n", MOST_LINES)
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], "…", *text.rsplit("\n", half)[1:]]
    return "\n".join(shown(line, MOST_OF_SENTENCE) for line in lines)


def without_controls(text: str) -> str:
    r"""Escape all invisible characters except `\n`, `\r` and `\t`; nothing is cut."""
    return text if _PLAIN.fullmatch(text) else "".join(_visible(text, keep="\n\r\t"))


def _as_text(text: object, most: int) -> str:
    if isinstance(text, str):
        return str(text)
    if isinstance(text, bytes | bytearray | memoryview):
        some = bytes(text[: 4 * most]) + bytes(text[-4 * most :]) if len(text) > 8 * most else bytes(text)
        return some.decode("utf-8", "surrogateescape")
    try:
        return str(text)
    except (ValueError, RecursionError):  # an integer with too many digits to print; lists nested too deeply
        return f"<{type(text).__name__}>"


def _visible(text: str, keep: str = "") -> list[str]:
    """Return the visible form of each character, in order."""
    pieces, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) == "Mn" else 0
        visible = _is_visible(character) and marks <= _MARKS_IN_A_ROW
        pieces.append(character if visible or character in keep else _escaped(character))
    return pieces


def _is_visible(character: str) -> bool:
    if character.isprintable():
        return character not in _BLANK
    return unicodedata.category(character) == "Zs"  # wide, narrow and fixed spaces, as in file names of macOS


def _escaped(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _fitting(pieces: list[str], room: int) -> list[str]:
    """Return as many of the first pieces as fit completely."""
    for count, piece in enumerate(pieces):
        room -= len(piece)
        if room < 0:
            return pieces[:count]
    return pieces
