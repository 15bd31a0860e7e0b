"""Memory that was freed and is kept by the C library."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def give_back_memory() -> None:
    """Return freed memory to the system, after work that needed much of it; takes some milliseconds.

    glibc keeps freed blocks of up to 32 MB for later use. Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
