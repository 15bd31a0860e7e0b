"""Physical key positions, for keyboard layouts that assign other characters.

Qt identifies a letter's key in a Latin layout. On a Greek or Russian keyboard, and for the digits of a French one, Qt
reports another key; its position then identifies ours.
"""

from __future__ import annotations

import sys

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeyEvent

_ROWS = ((2, "1234567890"), (16, "QWERTYUIOP"), (30, "ASDFGHJKL"), (44, "ZXCVBNM"))  # PC scan codes, set 1
_FROM_SCAN_CODE = {start + place: key for start, row in _ROWS for place, key in enumerate(row)}
_X11_OFFSET = 8  # X11 and Wayland add 8 to evdev codes, which equal set 1 for these keys


def position_key(event: QKeyEvent) -> str | None:
    """Return the US key at the pressed position, if the layout has neither a Latin letter nor a digit there."""
    key = event.key()
    if Qt.Key_A <= key <= Qt.Key_Z or Qt.Key_0 <= key <= Qt.Key_9:
        return None
    if sys.platform == "darwin":  # its key codes are unordered, and Qt already reports the Latin key
        return None
    offset = 0 if sys.platform == "win32" else _X11_OFFSET
    return _FROM_SCAN_CODE.get(event.nativeScanCode() - offset)
