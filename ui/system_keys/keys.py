"""System-wide keys as the window uses them: heard on their own thread, told on the window's."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtGui import QGuiApplication

from avatar.errors import AvatarError
from avatar.system.message import Message
from ui.keys import BY_NAME
from ui.look.language import tr
from ui.system_keys.base import Failed, Heard, Listener, SystemKey, SystemKeysError, keys_with

OpenListener = Callable[[Sequence[SystemKey], Heard, Failed], Listener]


class SystemKeys(QObject):
    """Listens with one prefix at a time. Lives on the window's thread."""

    pressed = pyqtSignal(str)  # an action of `base.KEYS`
    released = pyqtSignal(str)
    failed = pyqtSignal(object)  # AvatarError
    _heard = pyqtSignal(str, bool)  # queued signals take these to our thread
    _failed = pyqtSignal(object, object)  # the listener's token, AvatarError

    def __init__(self, parent: QObject | None = None, *, open_listener: OpenListener | None = None) -> None:
        super().__init__(parent)
        self._open = open_listener or open_here
        self._listener: Listener | None = None
        self._prefix = ""
        self._token = object()  # of the newest listener
        self._failed.connect(self._tell)
        self._heard.connect(lambda action, down: (self.pressed if down else self.released).emit(action))

    def use(self, prefix: str) -> None:
        """Listen for the keys with a prefix; "": for none."""
        if prefix == self._prefix:
            return
        self._prefix = prefix
        self.close()
        if not prefix:
            return
        token = self._token = object()
        try:
            self._listener = self._open(
                keys_with(prefix), self._heard.emit, lambda error: self._failed.emit(token, error)
            )
        except AvatarError as error:
            self.failed.emit(error)
            return
        if self._listener.taken:
            self.failed.emit(clash(self._listener.taken))

    def _tell(self, token: object, error: AvatarError) -> None:
        if token is self._token and self._prefix:  # what an earlier listener says comes too late
            self.failed.emit(error)

    def close(self) -> None:
        """Let go of the keys; safe to call twice."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def open_here(keys: Sequence[SystemKey], heard: Heard, failed: Failed) -> Listener:
    """Listen on this system; what goes wrong later is told to `failed`.

    Raises:
        SystemKeysError: it cannot be done here.
    """
    if sys.platform in ("win32", "darwin"):
        from ui.system_keys.by_pynput import PynputKeys

        return PynputKeys(keys, heard)
    if on_wayland():
        from ui.system_keys.portal import PortalKeys

        return PortalKeys(keys, heard, failed, _described)
    from ui.system_keys.x11 import X11Keys

    return X11Keys(keys, heard)


def on_wayland() -> bool:
    """Return whether the desktop is Wayland's; there an X server hears no key that other programs get."""
    return QGuiApplication.platformName().startswith("wayland") or bool(os.environ.get("WAYLAND_DISPLAY"))


def _described(action: str) -> str:
    """Return the text of an action, in the window's language."""
    if action.startswith("avatar_"):
        return tr("Avatar {number}", number=action.removeprefix("avatar_"))
    return tr(BY_NAME[action].text)


def clash(taken: Sequence[SystemKey]) -> SystemKeysError:
    """Return the error that names keys of other programs."""
    names = ", ".join(key.text for key in taken)
    return SystemKeysError(
        Message("Another program uses {keys}, so those keys do nothing here.", keys=names),
        remedy="Choose other modifier keys in the key sheet (F1).",
    )
