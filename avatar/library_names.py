"""Names of avatars. Each is the name of a folder too, so it has to be one on every system that people copy it to."""

from __future__ import annotations

import re
import unicodedata

from avatar.errors import LibraryError

MAX_CHARACTERS, MAX_BYTES = 80, 200
_FORBIDDEN = frozenset('<>:"/\\|?*')
_JOINERS = frozenset("\u200c\u200d")  # invisible, but Persian, Hindi and emoji are written with them
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.IGNORECASE)
_FALLBACK = "Portrait"


def check_name(name: str) -> str:
    """The name as it is kept: NFC, single spaces.

    Raises:
        LibraryError: empty, too long, with characters that file names cannot have, or a device name of Windows.
    """
    tidy = _tidy(name)
    remedy = "Use letters, digits, spaces, - or _."
    if not tidy:
        raise LibraryError("An avatar needs a name.", remedy=remedy)
    bad = next((character for character in tidy if _is_bad(character)), None)
    if bad is not None:
        raise LibraryError(f"A name cannot have the character {bad!r}.", remedy=remedy)
    if tidy.startswith(".") or tidy.endswith("."):
        raise LibraryError(f"A name cannot begin or end with a dot, as {tidy!r} does.", remedy=remedy)
    if _DEVICES.match(tidy):
        raise LibraryError(f"{tidy!r} is the name of a device on Windows.", remedy="Add a word to it.")
    if len(tidy) > MAX_CHARACTERS or len(tidy.encode()) > MAX_BYTES:
        raise LibraryError(f"The name is too long ({len(tidy)} characters).", remedy=f"{MAX_CHARACTERS} at most.")
    return tidy


def as_name(text: str) -> str:
    """The nearest usable name to any text, such as a file's."""
    cleaned = "".join(" " if _is_bad(character) else character for character in unicodedata.normalize("NFC", text))
    cleaned = _tidy(cleaned).strip(". ")
    while len(cleaned) > MAX_CHARACTERS - 6 or len(cleaned.encode()) > MAX_BYTES - 6:  # room for a number behind it
        cleaned = cleaned[:-1].rstrip(". ")
    if not cleaned:
        return _FALLBACK
    return f"{_FALLBACK} {cleaned}" if _DEVICES.match(cleaned) else cleaned


def same_name(name: str) -> str:
    """What two names share when they count as one: upper and lower case and the ways to write an accent are alike."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _tidy(name: str) -> str:
    return re.sub(" +", " ", unicodedata.normalize("NFC", name)).strip()


def _is_bad(character: str) -> bool:
    """Forbidden in file names somewhere, or invisible: what looks like one name must not be two."""
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"} and character not in _JOINERS
    return character in _FORBIDDEN or hidden
