"""Keys that Qt's shortcuts do not support: held keys, Enter on a button, and keys by position."""

from __future__ import annotations

from PyQt5.QtCore import QEvent, QObject, Qt
from PyQt5.QtGui import QKeyEvent, QKeySequence
from PyQt5.QtWidgets import QAbstractButton, QApplication, QWidget

from ui.actions import Actions
from ui.key_positions import position_key
from ui.keys import keys_of
from ui.session import Session
from ui.widgets.hold import Hold
from ui.widgets.typing_focus import is_typing


class KeyFilter(QObject):
    """Event filter for the keys of one window."""

    def __init__(self, window: QWidget, actions: Actions, hold: Hold, session: Session) -> None:
        super().__init__(window)
        self._window, self._actions, self._hold, self._session = window, actions, hold, session
        self._held_key: int | None = None

    def eventFilter(self, watched: QObject | None, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Handle a key event; True if it was consumed."""
        if event.type() not in (QEvent.KeyPress, QEvent.KeyRelease):
            return False
        assert isinstance(event, QKeyEvent)
        if event.type() == QEvent.KeyRelease:
            return self._released(event)
        if QApplication.activeWindow() is not self._window or QApplication.activePopupWidget() or is_typing():
            return False
        return self._hold_pressed(event) or self._enter(event) or self._by_position(event)

    def let_go(self) -> None:
        """Release held keys when the window loses the keyboard focus."""
        if self._held_key is not None:
            self._held_key = None
            if QApplication.activeWindow() is self._window:
                self._hold.release()
            else:  # the key is still held, but the window has lost the focus
                self._hold.cancel()

    def _hold_pressed(self, event: QKeyEvent) -> bool:
        keys = keys_of("pass_through", self._session.settings.keys)
        place = position_key(event)
        pressed = [QKeySequence(event.key() | int(event.modifiers() & ~Qt.KeypadModifier))]
        pressed += [QKeySequence(place)] if place else []
        if not any(key in keys for key in pressed):
            return False
        if event.isAutoRepeat():
            return True
        if self._session.state.passing:
            self._session.pass_through(False)
        else:
            self._held_key = event.key()
            self._hold.press()
        return True

    def _released(self, event: QKeyEvent) -> bool:
        if event.key() != self._held_key:
            return False
        if not event.isAutoRepeat():
            self.let_go()
        return True

    def _enter(self, event: QKeyEvent) -> bool:
        """Press the focused button on Enter, because Space always freezes."""
        button = QApplication.focusWidget()
        if event.key() in (Qt.Key_Return, Qt.Key_Enter) and isinstance(button, QAbstractButton):
            if not event.isAutoRepeat():
                button.click()
            return True
        return False

    def _by_position(self, event: QKeyEvent) -> bool:
        key = position_key(event)
        if key is None or int(event.modifiers()) & int(Qt.ControlModifier | Qt.AltModifier | Qt.MetaModifier):
            return False
        action = self._actions.for_key(key, event.modifiers())
        if action is None or not action.isEnabled():
            return False
        action.trigger()
        return True
