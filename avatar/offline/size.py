"""Sizes that can be requested for a result."""

from __future__ import annotations

from avatar.errors import UsageError
from avatar.system.message import Message

SIZES_PX = (32, 8192)
FULL = "full"  # the portrait's own size
Size = int | str | None  # longer side of a result in pixels; FULL; None: the default


def parse_size(text: str) -> Size:
    """Parse the value of --size. Raises: UsageError."""
    if text == FULL:
        return FULL
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(
            Message("--size {text} is not understood.", text=text), remedy="Give a number of pixels, or full."
        ) from error


def check_size(size: Size) -> None:
    """Raise UsageError if no result can have this size."""
    if isinstance(size, str) and size != FULL:
        raise UsageError(
            Message("A size of {size!r} is not understood.", size=size), remedy="Give a number of pixels, or full."
        )
    if isinstance(size, int) and not SIZES_PX[0] <= size <= SIZES_PX[1]:
        raise UsageError(
            Message("A size of {size} pixels is out of range.", size=size),
            remedy=Message("Give {least} to {most}, or full.", least=SIZES_PX[0], most=SIZES_PX[1]),
        )
