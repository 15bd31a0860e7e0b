"""A slider with a label and its value."""

from __future__ import annotations

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtGui import QWheelEvent
from PyQt5.QtWidgets import QGridLayout, QSlider, QWidget

from ui.widgets.plain_text import PlainLabel


class CalmSlider(QSlider):
    """A slider that leaves the mouse wheel to the panel: a value that was set is not lost by scrolling on."""

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Leave it to the panel, focused or not."""
        event.ignore()


class ValueSlider(QWidget):
    """Slider for a percentage; `moved` is emitted only for moves by the user."""

    moved = pyqtSignal(int)

    def __init__(self, name: str, low: int, high: int, *, step: int = 5, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = PlainLabel(name, self)
        self._value = PlainLabel(parent=self)
        self._value.setObjectName("Muted")
        self.slider = CalmSlider(Qt.Horizontal, self)
        self.slider.setRange(low, high)
        self.slider.setSingleStep(step)
        self.slider.setPageStep(4 * step)
        self.slider.setAccessibleName(name)
        self.slider.setFocusPolicy(Qt.StrongFocus)
        self._name.setBuddy(self.slider)
        self.slider.valueChanged.connect(self._show)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(0)
        grid.addWidget(self._name, 0, 0)
        grid.addWidget(self._value, 0, 1, Qt.AlignRight)
        grid.addWidget(self.slider, 1, 0, 1, 2)
        self._show(self.slider.value(), tell=False)

    def set_value(self, percent: int) -> None:
        """Set the value without emitting `moved`."""
        if percent != self.slider.value():
            self.slider.blockSignals(True)
            self.slider.setValue(percent)
            self.slider.blockSignals(False)
        self._show(percent, tell=False)

    def _show(self, percent: int, tell: bool = True) -> None:
        self._value.setText(f"{percent} %")
        if tell:
            self.moved.emit(percent)
