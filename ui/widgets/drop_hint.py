"""A frame over the window that shows where pictures can be dropped, and what will happen."""

from __future__ import annotations

from PyQt5.QtCore import QRectF, Qt
from PyQt5.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt5.QtWidgets import QWidget

from ui.look.theme import current

INSET_PX = 10


class DropHint(QWidget):
    """Overlay with a dashed frame and a sentence; hidden until something is dragged over the window."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WA_TransparentForMouseEvents)
        self.text = ""
        self.hide()

    def show_text(self, text: str) -> None:
        """Cover the parent and say what a drop does."""
        self.text = text
        self.setAccessibleName(text)
        self.setGeometry(self.parentWidget().rect())
        self.show()
        self.raise_()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint a veil, the frame and the sentence."""
        theme = current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        veil = QColor(theme.colour("ground"))
        veil.setAlpha(150)
        painter.fillRect(self.rect(), veil)
        area = QRectF(self.rect()).adjusted(INSET_PX, INSET_PX, -INSET_PX, -INSET_PX)
        painter.setPen(QPen(theme.colour("accent"), 3, Qt.DashLine))
        painter.drawRoundedRect(area, 14, 14)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        font.setBold(True)
        painter.setFont(font)
        room = painter.fontMetrics().boundingRect(area.toRect(), Qt.AlignCenter | Qt.TextWordWrap, self.text)
        painter.setPen(Qt.NoPen)
        painter.setBrush(theme.colour("accent"))
        painter.drawRoundedRect(QRectF(room.adjusted(-24, -14, 24, 14)), 12, 12)
        painter.setPen(theme.colour("on_accent"))
        painter.drawText(area, Qt.AlignCenter | Qt.TextWordWrap, self.text)
