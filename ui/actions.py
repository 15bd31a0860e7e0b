"""The window's actions: one QAction for each entry of `keys.ACTIONS`, shared by menus, buttons and shortcuts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeySequence
from PyQt5.QtWidgets import QAction, QToolButton, QWidget

from ui.keys import ACTIONS, BY_NAME, VIEW, key_text, keys_of
from ui.look import icons
from ui.look.language import tr
from ui.look.theme import current


class Actions:
    """All actions of one window by name."""

    def __init__(self, window: QWidget, chosen: Mapping[str, str]) -> None:
        self._chosen = chosen
        self._all = {entry.name: QAction(action_text(entry.name), window) for entry in ACTIONS}
        for entry in ACTIONS:
            action = self._all[entry.name]
            action.setObjectName(entry.name)
            action.setIconText(f" {tr(entry.short) if entry.short else self.plain_text(entry.name)}")  # after the icon
            action.setCheckable(entry.checkable)
            action.setAutoRepeat(entry.repeats)
            action.setShortcutContext(Qt.WindowShortcut)
            window.addAction(action)
        self._apply_keys()
        self.set_icons()

    def __getitem__(self, name: str) -> QAction:
        return self._all[name]

    def on(self, name: str, do: Callable[[], object]) -> None:
        """Connect a function to an action."""
        self._all[name].triggered.connect(lambda _checked=False: do())

    def on_switch(self, name: str, do: Callable[[bool], object]) -> None:
        """Connect a function to switches of a checkable action by the user."""
        self._all[name].triggered.connect(do)

    def set_keys(self, chosen: Mapping[str, str]) -> None:
        """Set the keys of all actions, if they differ; keys that must be held are handled by the window."""
        if chosen != self._chosen:  # a slider that is dragged changes the settings many times a second
            self._chosen = chosen
            self._apply_keys()

    def _apply_keys(self) -> None:
        chosen = self._chosen
        for name, action in self._all.items():
            action.setShortcuts([] if BY_NAME[name].hold else keys_of(name, chosen))
            key = key_text(name, chosen)
            action.setToolTip(f"{self.plain_text(name)}  ({key})" if key else self.plain_text(name))

    def set_icons(self) -> None:
        """Draw the icons in the colours of the current look."""
        for entry in ACTIONS:
            if entry.icon:
                checked = current().text if entry.group == VIEW else None  # these buttons are not highlighted
                self._all[entry.name].setIcon(icons.icon(entry.icon, checked=checked))

    def plain_text(self, name: str) -> str:
        """Return an action's name without dots."""
        return re.sub("…$", "", self._all[name].text())

    def key_text(self, name: str) -> str:
        """Return an action's keys as readable text."""
        return key_text(name, self._chosen)

    def for_key(self, key: str, modifiers: Qt.KeyboardModifiers) -> QAction | None:
        """Return the action bound to this key of a US keyboard."""
        shift = "Shift+" if int(modifiers) & int(Qt.ShiftModifier) else ""
        wanted = QKeySequence(f"{shift}{key}", QKeySequence.PortableText)
        return next((self._all[e.name] for e in ACTIONS if wanted in keys_of(e.name, self._chosen)), None)

    def button(self, name: str, parent: QWidget | None = None, *, text: bool = False) -> QToolButton:
        """Create a button for an action, with an accessible name and a tooltip that shows the key."""
        button = QToolButton(parent)
        button.setDefaultAction(self._all[name])
        button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon if text else Qt.ToolButtonIconOnly)
        button.setFocusPolicy(Qt.StrongFocus)
        button.setAccessibleName(self.plain_text(name))
        return button


def action_text(name: str) -> str:
    """Return an action's name in the window's language."""
    number = name.rpartition("_")[2]
    return tr(BY_NAME[name].text, number=number) if number.isdigit() else tr(BY_NAME[name].text)
