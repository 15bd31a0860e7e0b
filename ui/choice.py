"""A list to choose one from, with its name above."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtGui import QWheelEvent
from PyQt5.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from ui.plain_text import PlainLabel


class CalmCombo(QComboBox):
    """A list that lets the wheel scroll the panel unless it has the focus."""

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Only for whoever was chosen."""
        if not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)


class Choice(QWidget):
    """Values with texts; `chosen` is told only when the user chooses."""

    chosen = pyqtSignal(str)

    def __init__(self, name: str, options: Sequence[tuple[str, str]] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = CalmCombo(self)
        self.combo.setAccessibleName(name)
        self.combo.setFocusPolicy(Qt.StrongFocus)
        self.combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setMinimumContentsLength(8)
        self.combo.activated.connect(lambda row: self.chosen.emit(self.combo.itemData(row)))
        label = PlainLabel(name, self)
        label.setBuddy(self.combo)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(label)
        column.addWidget(self.combo)
        self.set_options(options)

    def set_options(self, options: Sequence[tuple[str, str]]) -> None:
        """Offer these (value, text); what was chosen stays if it is among them."""
        value = self.value()
        self.combo.clear()
        for each, text in options:
            self.combo.addItem(text, each)
        self.set_value(value)

    def value(self) -> str:
        """What is chosen."""
        return str(self.combo.currentData() or "")

    def set_value(self, value: str) -> None:
        """Show a choice without telling."""
        row = self.combo.findData(value)
        if row >= 0:
            self.combo.setCurrentIndex(row)
