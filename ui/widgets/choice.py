"""A combo box with a label above it."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtGui import QWheelEvent
from PyQt5.QtWidgets import QComboBox, QSizePolicy, QStyledItemDelegate, QVBoxLayout, QWidget

from ui.widgets.plain_text import PlainLabel


class CalmCombo(QComboBox):
    """A combo box that leaves the mouse wheel to the panel: a value that was set is not lost by scrolling on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setItemDelegate(QStyledItemDelegate(self))  # the default one ignores the theme's height of rows

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Leave it to the panel, focused or not."""
        event.ignore()

    def showPopup(self) -> None:  # noqa: N802 - Qt's name
        """Open the list wide enough for its longest entry and with all entries, within the screen."""
        super().showPopup()
        view = self.view()
        popup, area = view.window(), self.screen().availableGeometry()
        place = popup.geometry()
        place.setWidth(min(place.width() + max(0, view.sizeHintForColumn(0) - view.viewport().width()), area.width()))
        place.moveRight(min(place.right(), area.right()))
        shown = min(self.count(), self.maxVisibleItems())
        missing = sum(view.sizeHintForRow(row) for row in range(shown)) - view.viewport().height()
        place.setHeight(min(place.height() + max(0, missing), area.height()))  # Qt takes the room below at most
        if place.bottom() > area.bottom():
            place.moveTop(max(area.top(), area.bottom() + 1 - place.height()))
        popup.setGeometry(place)


class Choice(QWidget):
    """Labelled choice of a value; `chosen` is emitted only for choices by the user."""

    chosen = pyqtSignal(str)

    def __init__(self, name: str, options: Sequence[tuple[str, str]] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = CalmCombo(self)
        self.combo.setAccessibleName(name)
        self.combo.setFocusPolicy(Qt.StrongFocus)
        self.combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setMinimumContentsLength(8)
        self.combo.setMaxVisibleItems(30)
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
        """Set the (value, text) options; the current value stays if it is among them."""
        if list(options) == [(self.combo.itemData(row), self.combo.itemText(row)) for row in range(self.combo.count())]:
            return  # a list that is open, or read out, is not torn down for nothing
        value = self.value()
        self.combo.clear()
        for each, text in options:
            self.combo.addItem(text, each)
        self.set_value(value)

    def value(self) -> str:
        """Return the selected value."""
        return str(self.combo.currentData() or "")

    def set_value(self, value: str) -> None:
        """Set the value without emitting `chosen`."""
        row = self.combo.findData(value)
        if row >= 0:
            self.combo.setCurrentIndex(row)
