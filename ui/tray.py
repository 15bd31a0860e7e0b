"""The system tray: the essentials while the window is behind the call."""

from __future__ import annotations

from PyQt5.QtCore import QObject
from PyQt5.QtWidgets import QMenu, QSystemTrayIcon

from ui import icons
from ui.language import tr
from ui.main_window import MainWindow

ESSENTIALS = ("virtual_camera", "freeze", "", "previous_avatar", "next_avatar", "", "record", "", "quit")


class Tray(QObject):
    """Lives as long as its window; absent where the system has no tray."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.menu = QMenu(window)
        self.menu.addAction(tr("Show the window")).triggered.connect(self.show_window)
        self.menu.addSeparator()
        for name in ESSENTIALS:
            if name:
                self.menu.addAction(window.actions_[name])
            else:
                self.menu.addSeparator()
        self.icon = QSystemTrayIcon(icons.application_icon(), self)
        self.icon.setToolTip("Masque")
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._activated)
        if QSystemTrayIcon.isSystemTrayAvailable():
            self.icon.show()

    def show_window(self) -> None:
        """Bring the window to the front."""
        self._window.showNormal()
        self._window.raise_()
        self._window.activateWindow()

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.Trigger:
            self.show_window()
