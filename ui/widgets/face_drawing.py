"""A drawn face that shows where each mark belongs."""

from __future__ import annotations

from PyQt5.QtCore import QPointF, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from avatar.tracking.canonical import canonical_face
from avatar.tracking.marks import MARKS, Point, marks_of
from avatar.tracking.regions import EYES, FACE_OVAL, LOWER_LIP, UPPER_LIP, Indices
from ui.look.language import tr
from ui.look.theme import current

MARGIN_PX = 14
NEAR_PX = 12.0
_NOSE = (168, 197, 4), (98, 97, 2, 326, 327)  # its bridge and its lower edge
_MOUTH = (61, *UPPER_LIP[0], 291, *LOWER_LIP[0][::-1])  # outer edge of the lips
_BETWEEN_LIPS = (61, *UPPER_LIP[3], 291)


class FaceDrawing(QWidget):
    """Line drawing of a face with all marks: those that are set, those that are missing, and the next one."""

    chosen = pyqtSignal(str)  # name of the mark that was clicked

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(tr("Drawing that shows where the mark belongs"))
        self.setToolTip(tr("The large dot is the point that comes next. Click another dot to set that one."))
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.setFixedHeight(220)
        points = canonical_face().points
        self._points = points[:, :2]
        self._marks = marks_of(points)
        self._set: frozenset[str] = frozenset()
        self.turn = MARKS[0]

    def show_marks(self, turn: str, already: frozenset[str]) -> None:
        """Show which mark comes next, and which are set."""
        self.turn, self._set = turn, already
        self.update()

    def place_of(self, name: str) -> QPointF:
        """Return where a mark is drawn, in the widget."""
        return self._place(self._marks[name])

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Choose the mark nearest to the pointer."""
        distances = {name: _length(self.place_of(name) - event.localPos()) for name in MARKS}
        nearest = min(MARKS, key=lambda name: distances[name])
        if distances[nearest] <= NEAR_PX:
            self.chosen.emit(nearest)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the face, then the marks, the next one last."""
        theme = current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setPen(QPen(theme.colour("muted"), 1.6))
        painter.setBrush(theme.colour("raised"))
        painter.drawPolygon(self._line(FACE_OVAL))
        painter.setBrush(Qt.NoBrush)
        for eye in EYES:
            painter.drawPolygon(self._line(eye.contour))
            painter.drawPolygon(self._line(eye.iris_rim))
            painter.drawPolyline(self._line(eye.brow[:5]))
        for line in (*_NOSE, _BETWEEN_LIPS):
            painter.drawPolyline(self._line(line))
        painter.drawPolygon(self._line(_MOUTH))
        for name in MARKS:
            if name != self.turn:
                painter.setPen(QPen(theme.colour("good" if name in self._set else "muted"), 1.5))
                painter.setBrush(theme.colour("good" if name in self._set else "surface"))
                painter.drawEllipse(self.place_of(name), 3.5, 3.5)
        halo = QColor(theme.colour("accent"))
        halo.setAlpha(70)
        painter.setPen(Qt.NoPen)
        painter.setBrush(halo)
        painter.drawEllipse(self.place_of(self.turn), 13, 13)
        painter.setBrush(theme.colour("accent"))
        painter.drawEllipse(self.place_of(self.turn), 6.5, 6.5)

    def _place(self, point: Point) -> QPointF:
        low, high = self._points.min(axis=0), self._points.max(axis=0)
        scale = min((self.width() - 2 * MARGIN_PX) / (high[0] - low[0]),
                    (self.height() - 2 * MARGIN_PX) / (high[1] - low[1]))  # fmt: skip
        middle = (low + high) / 2
        return QPointF(self.width() / 2 + scale * (point[0] - middle[0]),
                       self.height() / 2 + scale * (point[1] - middle[1]))  # fmt: skip

    def _line(self, indices: Indices | tuple[int, ...]) -> QPolygonF:
        """Return the line through some points of the mesh, by their (N,) indices, in the widget."""
        return QPolygonF([self._place((float(x), float(y))) for x, y in self._points[list(indices)]])


def _length(way: QPointF) -> float:
    return float((way.x() ** 2 + way.y() ** 2) ** 0.5)
