"""The system tray icon: essential actions while the window is hidden."""

from __future__ import annotations

from PyQt5.QtCore import QObject
from PyQt5.QtWidgets import QMenu, QSystemTrayIcon

from avatar.system.foreign_text import MOST_OF_SENTENCE, shown
from ui.look import icons
from ui.look.language import tr
from ui.session import Notice
from ui.window import MainWindow

_SIGNS = {"warning": QSystemTrayIcon.Warning, "error": QSystemTrayIcon.Critical}  # by level; others can wait
ESSENTIALS = ("virtual_camera", "freeze", "", "previous_avatar", "next_avatar", "", "record", "", "quit")


class Tray(QObject):
    """Tray icon of a window; absent if the system has no tray."""

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
        self._told = False
        window.hidden.connect(self._tell_hidden)
        window.session.noticed.connect(self._tell)
        self.icon.messageClicked.connect(self.show_window)
        if QSystemTrayIcon.isSystemTrayAvailable():
            self.icon.show()

    def show_window(self) -> None:
        """Bring the window to the front."""
        self._window.showNormal()
        self._window.raise_()
        self._window.activateWindow()

    def _tell_hidden(self) -> None:
        """Say once where the window went."""
        if self._told:
            return
        self._told = True
        self.icon.showMessage("Masque", tr("Masque goes on in the tray. Click its icon to show the window."))

    def _tell(self, notice: Notice) -> None:
        """Show what is wrong while no window would: by the tray and by system-wide keys Masque is used all the same."""
        if notice.level in _SIGNS and not self._window.isVisible():
            text = shown(f"{tr(notice.text)} {tr(notice.remedy)}".strip(), 2 * MOST_OF_SENTENCE)
            self.icon.showMessage("Masque", text, _SIGNS[notice.level])

    def _activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.Trigger:
            self.show_window()
