"""Manual marking of a face on drawings and animals, by about ten points in turn."""

from __future__ import annotations

from PyQt5.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPen, QShowEvent
from PyQt5.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from avatar.errors import AvatarError
from avatar.frames import RgbImage
from avatar.tracking.marks import MARKS, NEEDED, Marks, Point, fit_marks
from ui.dialogs.image_editor import ZOOM_STEP, ImageView
from ui.look import icons
from ui.look.language import explained, later, tr
from ui.look.theme import current
from ui.panels.section import note, set_note
from ui.widgets.face_drawing import FaceDrawing
from ui.widgets.plain_text import PlainLabel
from ui.widgets.room import resize_within_screen

NEAR_PX = 12.0
PANEL_PX = 420  # minimum width
ROOM = 0.6  # beside the marks when they are shown large, over their extent

TEXTS = {  # left and right as seen by the viewer; the names are the person's own
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


class MarksEditor(ImageView):
    """Editor that sets the current mark by a click and moves marks by dragging; both also by keys.

    A drag beside the marks moves the image, the wheel zooms it.
    """

    changed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setCursor(Qt.CrossCursor)
        self.setAccessibleName(tr("Picture to mark"))
        self.setToolTip(
            tr("Click where the mark belongs. Arrow keys move the chosen mark, Enter sets it; plus and minus zoom.")
        )
        self.marks: dict[str, Point] = {}
        self.turn = MARKS[0]
        self._dragged = ""
        self._pressed: QPointF | None = None  # where the button went down beside the marks
        self._panning = False
        self._last = QPointF()

    def choose(self, name: str) -> None:
        """Select the mark that the next click sets."""
        self.turn = name
        self.update()

    def show_marks(self) -> None:
        """Zoom to the marks, with some room beside them; to the whole image without any."""
        if len(self.marks) < 2:
            self.fit()
            return
        xs, ys = zip(*self.marks.values(), strict=True)
        part = QRectF(QPointF(min(xs), min(ys)), QPointF(max(xs), max(ys)))
        room = ROOM * max(part.width(), part.height())
        self.show_part(part.adjusted(-room, -room, room, room))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Grab a mark, or the image."""
        if self._image is None:
            return
        near = [name for name, (x, y) in self.marks.items() if self._away(event.localPos(), x, y) <= NEAR_PX]
        if near and event.button() == Qt.LeftButton:
            self._dragged = min(near, key=lambda name: self._away(event.localPos(), *self.marks[name]))
            self.turn = self._dragged
            self.changed.emit()
        else:
            self._pressed = self._last = event.localPos()
            self._panning = event.button() != Qt.LeftButton

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Drag the grabbed mark or the image."""
        if self._dragged:
            place = self.to_image(event.localPos())
            self._set(self._dragged, place.x() - 0.5, place.y() - 0.5)
            self.changed.emit()
        elif self._pressed is not None:
            moved = event.localPos() - self._pressed
            self._panning = self._panning or moved.manhattanLength() >= QApplication.startDragDistance()
            if self._panning:
                self.pan_by(event.localPos() - self._last)
                self._last = event.localPos()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Release what was grabbed; a click without a drag sets the current mark."""
        clicked = self._pressed is not None and not self._panning
        self._dragged, self._pressed, self._panning = "", None, False
        if clicked:
            place = self.to_image(event.localPos())
            self._set(self.turn, place.x() - 0.5, place.y() - 0.5)
            self._next()
            self.changed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Move the mark by arrow keys, continue on Enter, remove it on Delete."""
        ways = {Qt.Key_Left: (-1, 0), Qt.Key_Right: (1, 0), Qt.Key_Up: (0, -1), Qt.Key_Down: (0, 1)}
        size = self.image_size()
        if size.isEmpty():
            return
        if event.key() in ways:
            middle = self.to_image(QPointF(self.width() / 2, self.height() / 2))
            x, y = self.marks.get(self.turn, (middle.x(), middle.y()))
            step = max(size.width(), size.height()) * (0.002 if event.modifiers() & Qt.ShiftModifier else 0.01)
            step /= self.zoom
            right, down = ways[Qt.Key(event.key())]
            self._set(self.turn, x + right * step, y + down * step)
        elif event.key() in (Qt.Key_Return, Qt.Key_Enter):
            self._next()
        elif event.key() in (Qt.Key_Delete, Qt.Key_Backspace):
            self.marks.pop(self.turn, None)
        elif event.key() in (Qt.Key_Plus, Qt.Key_Equal):
            self.zoom_by(ZOOM_STEP)
            return
        elif event.key() == Qt.Key_Minus:
            self.zoom_by(1 / ZOOM_STEP)
            return
        elif event.key() == Qt.Key_0:
            self.fit()
            return
        else:
            super().keyPressEvent(event)
            return
        self.update()
        self.changed.emit()

    def paint_over(self, painter: QPainter) -> None:
        """Paint all marks; the current one is larger and labelled."""
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
        size = self.image_size()
        self.marks[name] = (min(max(0.0, x), size.width() - 1.0), min(max(0.0, y), size.height() - 1.0))
        self.update()

    def _next(self) -> None:
        """Return the first mark that is not set, required ones first."""
        self.turn = next((name for name in MARKS if name not in self.marks), self.turn)
        self.update()

    def _away(self, point: QPointF, x: float, y: float) -> float:
        away = self.to_widget(x + 0.5, y + 0.5) - point
        return float((away.x() ** 2 + away.y() ** 2) ** 0.5)


class MarksDialog(QDialog):
    """Dialog with the editor, a drawing that shows the next mark, the list of marks, and the missing ones."""

    def __init__(
        self, rgb: RgbImage, marks: Marks | None, parent: QWidget | None = None, found: Marks | None = None
    ) -> None:
        """Mark an (H, W, 3) uint8 RGB image, from `marks`, else from those of the face that was `found`."""
        super().__init__(parent)
        self.setWindowTitle(tr("Mark the face by hand"))
        resize_within_screen(self, 1060, 700)
        self._size = (rgb.shape[1], rgb.shape[0])
        self._found = dict(found or {})
        self._before = dict(marks or found or {})
        self.editor = MarksEditor()
        self.editor.set_image(rgb)
        self.editor.marks.update(self._before)
        self.editor.changed.connect(self._show)
        self.drawing = FaceDrawing()
        self.drawing.chosen.connect(self._choose)
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Marks"))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        for name in MARKS:
            QListWidgetItem(tr(TEXTS[name]), self.list)
        self.list.currentRowChanged.connect(lambda row: self._choose(MARKS[row]))
        self.status = note()
        self.use = QPushButton(tr("Use these marks"))
        self.use.setObjectName("Primary")
        self.use.clicked.connect(self.accept)
        self.clear = QPushButton(tr("Start over"))
        self.clear.clicked.connect(self._clear)
        self.take_found = QPushButton(tr("Take the found face"))
        self.take_found.setVisible(bool(self._found))
        self.take_found.clicked.connect(self._take_found)
        cancel = QPushButton(tr("Cancel"))
        cancel.clicked.connect(self.reject)
        for button in (self.use, self.clear, self.take_found, cancel):
            button.setAutoDefault(False)  # Enter is handled by the image
        self._lay_out(cancel)
        self._show()
        self.editor.setFocus()

    def _lay_out(self, cancel: QPushButton) -> None:
        side = QVBoxLayout()
        side.setSpacing(10)
        heading = PlainLabel(tr("Click the points in turn"))
        heading.setObjectName("Heading")
        side.addWidget(heading)
        start = tr("The marks are those of the face that was found. Drag those that are off.")
        ten = tr("Ten are needed. More of them follow a drawing more closely.")
        side.addWidget(note(start if self._found and self._before == self._found else ten))
        side.addWidget(self.drawing)
        side.addWidget(self.list, 1)
        side.addWidget(self.status)
        row = QHBoxLayout()
        row.addWidget(self.clear)
        row.addWidget(self.take_found)
        row.addStretch()
        side.addLayout(row)
        last = QHBoxLayout()
        last.addStretch()
        last.addWidget(cancel)
        last.addWidget(self.use)
        side.addLayout(last)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(16, 16, 16, 16)
        whole.setSpacing(16)
        left = QVBoxLayout()
        left.addWidget(self.editor, 1)
        left.addLayout(self._zoom_buttons())
        whole.addLayout(left, 1)
        panel = QWidget()
        panel.setLayout(side)
        side.setContentsMargins(0, 0, 0, 0)
        panel.setFixedWidth(max(PANEL_PX, panel.minimumSizeHint().width()))  # in some languages the buttons need more
        whole.addWidget(panel)

    def marks(self) -> dict[str, Point]:
        """Return the marks set so far."""
        return dict(self.editor.marks)

    @property
    def changed(self) -> bool:
        """True if the marks differ from those that the dialog began with."""
        return self.editor.marks != self._before

    def reject(self) -> None:
        """Close without the marks, after a question if some were changed."""
        if not self.changed or self._sure():
            super().reject()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Show the marks large that the dialog begins with."""
        super().showEvent(event)
        if not event.spontaneous():
            self.editor.show_marks()

    def _sure(self) -> bool:
        box = QMessageBox(
            QMessageBox.Question, self.windowTitle(), tr("Discard the changed marks?"), QMessageBox.NoButton, self
        )
        discard = box.addButton(tr("Discard"), QMessageBox.DestructiveRole)
        stay = box.addButton(tr("Keep marking"), QMessageBox.RejectRole)
        box.setDefaultButton(stay)
        box.setEscapeButton(stay)
        box.exec_()
        return box.clickedButton() is discard

    def _zoom_buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        for sign, text, zoom in (
            ("smaller", tr("Zoom out"), lambda: self.editor.zoom_by(1 / ZOOM_STEP)),
            ("larger", tr("Zoom in"), lambda: self.editor.zoom_by(ZOOM_STEP)),
            ("expand", tr("Whole picture"), self.editor.fit),
        ):
            button = QToolButton()
            button.setIcon(icons.icon(sign))
            button.setToolTip(text)
            button.setAccessibleName(text)
            button.setFocusPolicy(Qt.TabFocus)  # a click leaves the focus to the image
            button.clicked.connect(zoom)
            row.addWidget(button)
        row.addWidget(note(tr("The wheel zooms, a drag beside the marks moves the picture.")), 1)
        return row

    def _choose(self, name: str) -> None:
        self.editor.choose(name)
        self._show()

    def _clear(self) -> None:
        self.editor.marks.clear()
        self._choose(MARKS[0])

    def _take_found(self) -> None:
        self.editor.marks = dict(self._found)
        self.editor.show_marks()
        self._choose(MARKS[0])

    def _show(self) -> None:
        for row, name in enumerate(MARKS):
            item = self.list.item(row)
            assert item is not None
            sign = "✓" if name in self.editor.marks else "○" if name in NEEDED else "·"
            item.setText(f"{sign}  {tr(TEXTS[name])}")
        self.list.blockSignals(True)
        self.list.setCurrentRow(MARKS.index(self.editor.turn))
        self.list.blockSignals(False)
        self.drawing.show_marks(self.editor.turn, frozenset(self.editor.marks))
        missing = [name for name in NEEDED if name not in self.editor.marks]
        problem = "" if missing else self._problem()
        self.use.setEnabled(not missing and not problem)
        if missing:
            set_note(self.status, tr("{n} marks are still needed.", n=len(missing)))
        elif problem:
            set_note(self.status, problem, "Danger")
        else:
            set_note(self.status, tr("These marks form a face."), "Good")

    def _problem(self) -> str:
        try:
            fit_marks(self.editor.marks, *self._size)
        except AvatarError as error:
            return explained(error)
        return ""
