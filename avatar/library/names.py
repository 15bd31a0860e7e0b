"""Names of avatars. Each is also a folder name, so it must be valid on every system that it may be copied to."""

from __future__ import annotations

import re
import unicodedata

from avatar.errors import LibraryError
from avatar.system.message import Message

MAX_CHARACTERS, MAX_BYTES = 80, 200
_FORBIDDEN = frozenset('<>:"/\\|?*')
_JOINERS = frozenset("\u200c\u200d")  # invisible, but used in Persian, Hindi and emoji
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_FALLBACK = "Portrait"


def check_name(name: str) -> str:
    """Normalise a name as it is stored: NFC, single spaces.

    Raises:
        LibraryError: empty, too long, with characters that are invalid in file names, or a device name of Windows.
    """
    tidy = _tidy(name)
    remedy = "Use letters, digits, spaces, - or _."
    if not tidy:
        raise LibraryError("An avatar needs a name.", remedy=remedy)
    bad = next((character for character in tidy if _is_bad(character)), None)
    if bad is not None:
        raise LibraryError(Message("A name cannot have the character {character!r}.", character=bad), remedy=remedy)
    if tidy.startswith(".") or tidy.endswith("."):
        raise LibraryError(
            Message("A name cannot begin or end with a dot, as {name!r} does.", name=tidy), remedy=remedy
        )
    if _DEVICES.match(tidy):
        raise LibraryError(
            Message("{name!r} is the name of a device on Windows.", name=tidy), remedy="Add a word to it."
        )
    if len(tidy) > MAX_CHARACTERS or len(tidy.encode()) > MAX_BYTES:
        raise LibraryError(
            Message("The name is too long ({count} characters).", count=len(tidy)),
            remedy=Message("{count} at most.", count=MAX_CHARACTERS),
        )
    return tidy


def as_name(text: str) -> str:
    """Derive the nearest valid name from any text, such as a file name."""
    cleaned = "".join(" " if _is_bad(character) else character for character in unicodedata.normalize("NFC", text))
    cleaned = _tidy(cleaned).strip(". ")
    while len(cleaned) > MAX_CHARACTERS - 6 or len(cleaned.encode()) > MAX_BYTES - 6:  # leaves room for a number
        cleaned = cleaned[:-1].rstrip(". ")
    if not cleaned:
        return _FALLBACK
    return f"{_FALLBACK} {cleaned}" if _DEVICES.match(cleaned) else cleaned


def same_name(name: str) -> str:
    """Return a comparison key that ignores case and Unicode composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _tidy(name: str) -> str:
    return re.sub(" +", " ", unicodedata.normalize("NFC", name)).strip()


def _is_bad(character: str) -> bool:
    """Return whether a character is invalid in some system's file names, or invisible, so that names look equal."""
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"} and character not in _JOINERS
    return character in _FORBIDDEN or hidden
