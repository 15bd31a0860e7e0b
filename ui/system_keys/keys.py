"""System-wide keys as the window uses them: heard on their own thread, told on the window's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtGui import QGuiApplication

from avatar.errors import AvatarError
from avatar.system.message import Message
from ui.system_keys.base import Heard, Listener, SystemKey, SystemKeysError, keys_with

OpenListener = Callable[[Sequence[SystemKey], Heard], Listener]


class SystemKeys(QObject):
    """Listens with one prefix at a time. Lives on the window's thread."""

    pressed = pyqtSignal(str)  # an action of `base.KEYS`
    released = pyqtSignal(str)
    failed = pyqtSignal(object)  # AvatarError
    _heard = pyqtSignal(str, bool)  # a queued signal takes it to our thread

    def __init__(self, parent: QObject | None = None, *, open_listener: OpenListener | None = None) -> None:
        super().__init__(parent)
        self._open = open_listener or open_here
        self._listener: Listener | None = None
        self._prefix = ""
        self._heard.connect(lambda action, down: (self.pressed if down else self.released).emit(action))

    def use(self, prefix: str) -> None:
        """Listen for the keys with a prefix; "": for none."""
        if prefix == self._prefix:
            return
        self._prefix = prefix
        self.close()
        if not prefix:
            return
        try:
            self._listener = self._open(keys_with(prefix), self._heard.emit)
        except AvatarError as error:
            self.failed.emit(error)
            return
        if self._listener.taken:
            self.failed.emit(clash(self._listener.taken))

    def close(self) -> None:
        """Let go of the keys; safe to call twice."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def open_here(keys: Sequence[SystemKey], heard: Heard) -> Listener:
    """Listen on this system. Raises SystemKeysError: it cannot be done here."""
    if sys.platform in ("win32", "darwin"):
        from ui.system_keys.by_pynput import PynputKeys

        return PynputKeys(keys, heard)
    if QGuiApplication.platformName() == "wayland":
        raise SystemKeysError(
            "On Wayland programs cannot take system-wide keys, and Masque cannot ask the desktop for them yet.",
            remedy="Log in to an X11 session, or use the keys in Masque's window.",
        )
    from ui.system_keys.x11 import X11Keys

    return X11Keys(keys, heard)


def clash(taken: Sequence[SystemKey]) -> SystemKeysError:
    """Return the error that names keys of other programs."""
    names = ", ".join(key.text for key in taken)
    return SystemKeysError(
        Message("Another program uses {keys}, so those keys do nothing here.", keys=names),
        remedy="Choose other modifier keys in the key sheet (F1).",
    )
