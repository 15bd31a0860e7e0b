"""Marking a face by hand: about ten points, one after the other, on drawings and animals."""

from __future__ import annotations

from PyQt5.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPen
from PyQt5.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.tracking.marks import MARKS, NEEDED, Marks, Point, fit_marks
from ui.language import later, tr
from ui.picture_editor import PictureView
from ui.plain_text import PlainLabel
from ui.section import note, set_note
from ui.theme import current

NEAR_PX = 12.0
PANEL_PX = 420  # at least

TEXTS = {  # left and right as the viewer sees them; the names are the person's own
    "right_eye_outer": later("Eye on the left: outer corner"),
    "right_eye_inner": later("Eye on the left: inner corner"),
    "left_eye_inner": later("Eye on the right: inner corner"),
    "left_eye_outer": later("Eye on the right: outer corner"),
    "nose_tip": later("Tip of the nose"),
    "mouth_right": later("Mouth: corner on the left"),
    "mouth_left": later("Mouth: corner on the right"),
    "upper_lip": later("Upper lip: middle of its upper edge"),
    "lower_lip": later("Lower lip: middle of its lower edge"),
    "chin": later("Chin: lowest point"),
    "right_eye_top": later("Eye on the left: upper lid"),
    "right_eye_bottom": later("Eye on the left: lower lid"),
    "left_eye_top": later("Eye on the right: upper lid"),
    "left_eye_bottom": later("Eye on the right: lower lid"),
    "right_iris": later("Eye on the left: middle of the iris"),
    "left_iris": later("Eye on the right: middle of the iris"),
    "right_brow": later("Brow on the left: highest point"),
    "left_brow": later("Brow on the right: highest point"),
    "mouth_line": later("Between the lips: middle"),
    "right_ear": later("Edge of the face on the left, at the ear"),
    "left_ear": later("Edge of the face on the right, at the ear"),
    "forehead": later("Forehead: where the hair begins"),
}


class MarksEditor(PictureView):
    """Sets the mark whose turn it is by a click, moves marks by dragging, or both by keys."""

    changed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCursor(Qt.CrossCursor)
        self.setAccessibleName(tr("Picture to mark"))
        self.setToolTip(tr("Click where the mark belongs. Arrow keys move the chosen mark, Enter sets it."))
        self.marks: dict[str, Point] = {}
        self.turn = MARKS[0]
        self._dragged = ""

    def choose(self, name: str) -> None:
        """The next click sets this one."""
        self.turn = name
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Take hold of a mark, or set one."""
        if self._image is None:
            return
        near = [name for name, (x, y) in self.marks.items() if self._away(event.localPos(), x, y) <= NEAR_PX]
        if near:
            self._dragged = min(near, key=lambda name: self._away(event.localPos(), *self.marks[name]))
            self.turn = self._dragged
        else:
            place = self.to_picture(event.localPos())
            self._set(self.turn, place.x() - 0.5, place.y() - 0.5)
            self._next()
        self.changed.emit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Drag it."""
        if self._dragged:
            place = self.to_picture(event.localPos())
            self._set(self._dragged, place.x() - 0.5, place.y() - 0.5)
            self.changed.emit()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Let go."""
        self._dragged = ""

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Arrow keys move, Enter goes on, Delete takes away."""
        ways = {Qt.Key_Left: (-1, 0), Qt.Key_Right: (1, 0), Qt.Key_Up: (0, -1), Qt.Key_Down: (0, 1)}
        size = self.picture_size()
        if size.isEmpty():
            return
        if event.key() in ways:
            x, y = self.marks.get(self.turn, (size.width() / 2, size.height() / 2))
            step = max(size.width(), size.height()) * (0.002 if event.modifiers() & Qt.ShiftModifier else 0.01)
            right, down = ways[Qt.Key(event.key())]
            self._set(self.turn, x + right * step, y + down * step)
        elif event.key() in (Qt.Key_Return, Qt.Key_Enter):
            self._next()
        elif event.key() in (Qt.Key_Delete, Qt.Key_Backspace):
            self.marks.pop(self.turn, None)
        else:
            super().keyPressEvent(event)
            return
        self.update()
        self.changed.emit()

    def paint_over(self, painter: QPainter) -> None:
        """All marks; the one whose turn it is is larger and has its name."""
        for name, (x, y) in self.marks.items():
            chosen, at = name == self.turn, self.to_widget(x + 0.5, y + 0.5)
            painter.setPen(QPen(Qt.white, 2))
            painter.setBrush(current().colour("accent") if chosen else QColor(214, 40, 57))
            painter.drawEllipse(at, 7 if chosen else 5, 7 if chosen else 5)
        text = tr(TEXTS[self.turn])
        metrics = painter.fontMetrics()
        plate = QRectF(12, 12, metrics.horizontalAdvance(text) + 24, metrics.height() + 14)
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(12, 14, 18, 210))
        painter.drawRoundedRect(plate, 8, 8)
        painter.setPen(Qt.white)
        painter.drawText(plate, Qt.AlignCenter, text)

    def _set(self, name: str, x: float, y: float) -> None:
        size = self.picture_size()
        self.marks[name] = (min(max(0.0, x), size.width() - 1.0), min(max(0.0, y), size.height() - 1.0))
        self.update()

    def _next(self) -> None:
        """The first mark that is not set yet, those that are needed before the others."""
        self.turn = next((name for name in MARKS if name not in self.marks), self.turn)
        self.update()

    def _away(self, point: QPointF, x: float, y: float) -> float:
        away = self.to_widget(x + 0.5, y + 0.5) - point
        return float((away.x() ** 2 + away.y() ** 2) ** 0.5)


class MarksDialog(QDialog):
    """The editor, the list of marks, and what is still missing."""

    def __init__(self, rgb: RgbImage, marks: Marks | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Mark the face by hand"))
        self.resize(1000, 660)
        self._size = (rgb.shape[1], rgb.shape[0])
        self.editor = MarksEditor()
        self.editor.set_picture(rgb)
        self.editor.marks.update(marks or {})
        self.editor.changed.connect(self._show)
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Marks"))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        for name in MARKS:
            QListWidgetItem(tr(TEXTS[name]), self.list)
        self.list.currentRowChanged.connect(lambda row: self.editor.choose(MARKS[row]))
        self.status = note()
        self.use = QPushButton(tr("Use these marks"))
        self.use.setObjectName("Primary")
        self.use.clicked.connect(self.accept)
        self.clear = QPushButton(tr("Start over"))
        self.clear.clicked.connect(self._clear)
        cancel = QPushButton(tr("Cancel"))
        cancel.clicked.connect(self.reject)
        for button in (self.use, self.clear, cancel):
            button.setAutoDefault(False)  # Enter belongs to the picture
        side = QVBoxLayout()
        side.setSpacing(10)
        heading = PlainLabel(tr("Click the points in turn"))
        heading.setObjectName("Heading")
        side.addWidget(heading)
        side.addWidget(note(tr("Ten are needed. More of them follow a drawing more closely.")))
        side.addWidget(self.list, 1)
        side.addWidget(self.status)
        row = QHBoxLayout()
        row.addWidget(self.clear)
        row.addWidget(cancel)
        row.addStretch()
        row.addWidget(self.use)
        side.addLayout(row)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(16, 16, 16, 16)
        whole.setSpacing(16)
        whole.addWidget(self.editor, 1)
        panel = QWidget()
        panel.setLayout(side)
        side.setContentsMargins(0, 0, 0, 0)
        panel.setFixedWidth(max(PANEL_PX, panel.minimumSizeHint().width()))  # some languages need more for the buttons
        whole.addWidget(panel)
        self._show()
        self.editor.setFocus()

    def marks(self) -> dict[str, Point]:
        """What was marked."""
        return dict(self.editor.marks)

    def _clear(self) -> None:
        self.editor.marks.clear()
        self.editor.choose(MARKS[0])
        self._show()

    def _show(self) -> None:
        for row, name in enumerate(MARKS):
            item = self.list.item(row)
            assert item is not None
            sign = "✓" if name in self.editor.marks else "○" if name in NEEDED else "·"
            item.setText(f"{sign}  {tr(TEXTS[name])}")
        self.list.blockSignals(True)
        self.list.setCurrentRow(MARKS.index(self.editor.turn))
        self.list.blockSignals(False)
        missing = [name for name in NEEDED if name not in self.editor.marks]
        problem = "" if missing else self._problem()
        self.use.setEnabled(not missing and not problem)
        if missing:
            set_note(self.status, tr("{n} marks are still needed.", n=len(missing)))
        elif problem:
            set_note(self.status, problem, "Danger")
        else:
            set_note(self.status, tr("These marks make a face."), "Good")

    def _problem(self) -> str:
        try:
            fit_marks(self.editor.marks, *self._size)
        except AvatarError as error:
            return f"{error.what} {error.remedy}"
        return ""
