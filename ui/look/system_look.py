"""Detection of the system's dark mode, without blocking, and of its changes."""

from __future__ import annotations

import sys

from PyQt5.QtCore import QObject, QSettings, QTimer, pyqtSignal, pyqtSlot
from PyQt5.QtDBus import QDBusConnection, QDBusInterface, QDBusMessage, QDBusPendingCallWatcher, QDBusPendingReply
from PyQt5.QtGui import QPalette
from PyQt5.QtWidgets import QApplication

_PORTAL = ("org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop", "org.freedesktop.portal.Settings")
_NAMESPACE, _KEY = "org.freedesktop.appearance", "color-scheme"
_PREFERS_DARK = 1
_WINDOWS = r"HKEY_CURRENT_USER\Software\Microsoft\Windows\CurrentVersion\Themes\Personalize"
ASK_AGAIN_MS = 5000


class SystemLook(QObject):
    """Follows the system setting: by the desktop portal on Linux, the registry on Windows, otherwise the palette."""

    changed = pyqtSignal(bool)  # dark

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self.dark = _palette_is_dark(application.palette())  # before our own palette is applied
        if sys.platform.startswith("linux"):
            self._ask_portal()
        elif sys.platform == "win32":
            self._timer = QTimer(self)
            self._timer.timeout.connect(self._read_registry)
            self._timer.start(ASK_AGAIN_MS)
            self._read_registry()

    def _ask_portal(self) -> None:
        bus = QDBusConnection.sessionBus()
        if not bus.isConnected():
            return
        portal = QDBusInterface(*_PORTAL, bus, self)
        self._watcher = QDBusPendingCallWatcher(portal.asyncCall("Read", _NAMESPACE, _KEY), self)
        self._watcher.finished.connect(self._portal_answered)
        bus.connect(*_PORTAL, "SettingChanged", self._portal_changed)

    @pyqtSlot(QDBusPendingCallWatcher)
    def _portal_answered(self, watcher: QDBusPendingCallWatcher) -> None:
        reply = QDBusPendingReply(watcher)
        if not reply.isError():
            self._set(reply.argumentAt(0) == _PREFERS_DARK)

    @pyqtSlot(QDBusMessage)
    def _portal_changed(self, message: QDBusMessage) -> None:
        if message.arguments()[:2] == [_NAMESPACE, _KEY]:
            self._set(message.arguments()[2] == _PREFERS_DARK)

    def _read_registry(self) -> None:
        light = QSettings(_WINDOWS, QSettings.NativeFormat).value("AppsUseLightTheme", 1)
        self._set(str(light) == "0")

    def _set(self, dark: bool) -> None:
        if dark != self.dark:
            self.dark = dark
            self.changed.emit(dark)


def _palette_is_dark(palette: QPalette) -> bool:
    return palette.color(QPalette.Window).lightness() < palette.color(QPalette.WindowText).lightness()
