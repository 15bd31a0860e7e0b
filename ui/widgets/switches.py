"""A check box that shows and switches a checkable action."""

from __future__ import annotations

from PyQt5.QtWidgets import QAction, QCheckBox, QWidget


class Switch(QCheckBox):
    """Check box that mirrors the state of an action."""

    def __init__(self, action: QAction, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text or action.text(), parent)
        self.setChecked(action.isChecked())
        self.setToolTip(action.toolTip())
        action.toggled.connect(self.setChecked)
        self.clicked.connect(lambda on: action.trigger() if on != action.isChecked() else None)
