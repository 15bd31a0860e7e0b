"""Where a key sits on the keyboard, for layouts that write something else there.

Qt finds a letter's key in a Latin layout. On a Greek or Russian keyboard, and for the digits of a French one, the same
key means something else to Qt; its position then tells which of our keys is meant.
"""

from __future__ import annotations

import sys

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeyEvent

_ROWS = ((2, "1234567890"), (16, "QWERTYUIOP"), (30, "ASDFGHJKL"), (44, "ZXCVBNM"))  # PC scan codes, set 1
_FROM_SCAN_CODE = {start + place: key for start, row in _ROWS for place, key in enumerate(row)}
_X11_OFFSET = 8  # X11 and Wayland count evdev codes, which are set 1's for these keys, from 8


def position_key(event: QKeyEvent) -> str | None:
    """The US key at the position that was pressed, if the layout has neither a Latin letter nor a digit there."""
    key = event.key()
    if Qt.Key_A <= key <= Qt.Key_Z or Qt.Key_0 <= key <= Qt.Key_9:
        return None
    if sys.platform == "darwin":  # its key codes follow no order, and Qt gives it the Latin key already
        return None
    offset = 0 if sys.platform == "win32" else _X11_OFFSET
    return _FROM_SCAN_CODE.get(event.nativeScanCode() - offset)
