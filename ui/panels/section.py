"""A collapsible section of the side panel."""

from __future__ import annotations

from PyQt5.QtCore import QSize, Qt, pyqtSignal
from PyQt5.QtWidgets import QFrame, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from ui.look import icons
from ui.look.theme import GAP, current
from ui.widgets.plain_text import PlainLabel


class Section(QWidget):
    """A heading that collapses the content below it."""

    folded = pyqtSignal(bool)  # by the user
    body_shown = pyqtSignal()  # or hidden, by whoever

    def __init__(self, name: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.heading = QToolButton(self)
        self.heading.setObjectName("Section")
        self.heading.setText(title)
        self.heading.setCheckable(True)
        self.heading.setChecked(True)
        self.heading.setIconSize(QSize(16, 16))
        self.heading.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.heading.clicked.connect(lambda open_: self._fold_by_user(not open_))
        self.body = QWidget(self)
        self.rows = QVBoxLayout(self.body)
        self.rows.setContentsMargins(10, 0, 10, GAP)
        self.rows.setSpacing(GAP)
        line = QFrame(self)
        line.setObjectName("Line")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.heading)
        column.addWidget(self.body)
        column.addWidget(line)
        self.set_folded(False)

    def set_folded(self, folded: bool) -> None:
        """Fold or unfold."""
        self.heading.setChecked(not folded)
        self.heading.setIcon(icons.icon("right" if folded else "down", checked=current().text))
        self.body.setVisible(not folded)
        self.body_shown.emit()

    def _fold_by_user(self, folded: bool) -> None:
        self.set_folded(folded)
        self.folded.emit(folded)


def note(text: str = "", name: str = "Muted", parent: QWidget | None = None) -> PlainLabel:
    """Create a small explanatory label that wraps."""
    label = PlainLabel(text, parent)
    label.setObjectName(name)
    label.setWordWrap(True)
    return label


def set_note(label: PlainLabel, text: str, name: str = "Muted") -> None:
    """Change the text of a note, and its colour by a name of the style sheet; hides an empty note."""
    label.setText(text)
    label.setVisible(bool(text))
    if label.objectName() != name:
        label.setObjectName(name)
        label.style().unpolish(label)
        label.style().polish(label)
