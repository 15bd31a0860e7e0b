"""Readable explanations of operating-system errors, for the outermost error handler."""

from __future__ import annotations

import errno

from avatar.errors import AvatarError

_ROOM = "Free some space and try again."
_SAID = {
    errno.ENOSPC: ("The disk is full.", _ROOM),
    errno.EDQUOT: ("Your disk quota is used up.", _ROOM),
    errno.EROFS: ("The disk is read-only.", "Choose a place that can be written."),
    errno.ENAMETOOLONG: ("A name is too long for this disk; most take 255 bytes.", "Give a shorter name."),
    errno.ELOOP: ("A link leads back to itself.", "Name the file that it should point to."),
    errno.EMFILE: ("Too many files are open.", "Raise the limit (ulimit -n), or close other programs."),
    errno.ENFILE: ("Too many files are open on this computer.", "Close other programs."),
}


def explain(error: BaseException) -> AvatarError | None:
    """Explain an error of the system; None for other errors and for those without a common cause."""
    if isinstance(error, MemoryError):
        return AvatarError(
            "There is not enough memory for this.", remedy="Close other programs, or ask for a smaller --size."
        )
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib before Python 3.13
        number: int | None = errno.ELOOP
    else:
        number = error.errno if isinstance(error, OSError) else None
    if number not in _SAID:
        return None
    what, remedy = _SAID[number]
    return AvatarError(what, remedy=remedy)
