"""Sizes of dialogs within the screen."""

from __future__ import annotations

from PyQt5.QtCore import QRect
from PyQt5.QtWidgets import QWidget

FRAME_PX = 40  # of the window manager: title and edges


def resize_within_screen(window: QWidget, width: int, height: int) -> None:
    """Resize a window that is not shown yet, to no more than its screen has room for: no button may lie outside."""
    room = room_on_screen(window)
    window.resize(min(width, room.width() - FRAME_PX), min(height, room.height() - FRAME_PX))


def room_on_screen(window: QWidget) -> QRect:
    """Return the part of the window's screen that is free for windows."""
    return window.screen().availableGeometry()
