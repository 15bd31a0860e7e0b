"""The end of a process in which Qt ran.

When Python exits, PyQt5 destroys all objects that Python still owns. It follows a list from which that removes entries,
and so a process now and then ended with a segmentation fault after its work was done (PyQt5 5.15.11 with sip 12.20, in
`sip_api_get_address`). Exit handlers run from the last registered to the first: the one below runs after those of all
packages that are imported later, and ends the process just before PyQt5's.
"""

from __future__ import annotations

import atexit

from PyQt5 import QtCore  # noqa: F401 - registers PyQt5's own exit handler

from avatar.system import interrupts


class _Exit:
    """The exit code of a process that has done its work."""

    code: int | None = None


def leave_with(code: int) -> None:
    """Let the process end with this code once it exits, and leave Qt's objects to the system."""
    _Exit.code = code


def _leave() -> None:
    if _Exit.code is not None:
        interrupts.leave(_Exit.code)


atexit.register(_leave)
