"""A picture to work on: fitted into the widget, with a part that can be chosen and faces that can be clicked."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPainterPath, QPaintEvent, QPen
from PyQt5.QtWidgets import QSizePolicy, QWidget

from avatar.frames import RgbImage
from avatar.portrait_crop import MIN_SIDE_PX, Box
from avatar.tracking import Face
from ui.language import tr
from ui.pixels import own_image
from ui.theme import current

GRIP_PX = 12.0  # how near a corner or an edge has to be
STEP = 0.02  # of the picture's side, by an arrow key


class PictureView(QWidget):
    """Shows a picture whole; knows where its pixels are in the widget."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumSize(320, 300)
        self.setFocusPolicy(Qt.StrongFocus)
        self._image: QImage | None = None

    def set_picture(self, rgb: RgbImage) -> None:
        """Show (H, W, 3)."""
        self._image = own_image(rgb)
        self.update()

    def picture_size(self) -> QSize:
        """Its size in pixels; empty without a picture."""
        return self._image.size() if self._image is not None else QSize()

    def scale(self) -> float:
        """Widget units per pixel of the picture."""
        size = self.picture_size()
        if size.isEmpty():
            return 1.0
        return min((self.width() - 16) / size.width(), (self.height() - 16) / size.height())

    def to_widget(self, x: float, y: float) -> QPointF:
        """Where a place of the picture is; 0 is the picture's edge."""
        size, scale = self.picture_size(), self.scale()
        left, top = (self.width() - size.width() * scale) / 2, (self.height() - size.height() * scale) / 2
        return QPointF(left + x * scale, top + y * scale)

    def to_picture(self, point: QPointF) -> QPointF:
        """The place of the picture at a point of the widget."""
        origin, scale = self.to_widget(0, 0), self.scale()
        return QPointF((point.x() - origin.x()) / scale, (point.y() - origin.y()) / scale)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """The picture, and what is on it."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.Antialiasing | QPainter.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(18, 20, 25))
        if self._image is not None:
            size = self.picture_size()
            painter.drawImage(QRectF(self.to_widget(0, 0), self.to_widget(size.width(), size.height())), self._image)
            self.paint_over(painter)
        if self.hasFocus():
            painter.setBrush(Qt.NoBrush)
            painter.setPen(QPen(current().colour("accent"), 3))
            painter.drawRect(self.rect().adjusted(1, 1, -2, -2))

    def paint_over(self, painter: QPainter) -> None:
        """What a kind of editor adds."""


class PictureEditor(PictureView):
    """Chooses a part by dragging and a face by clicking; arrow keys do it too."""

    cropped = pyqtSignal()  # the part was changed, and the user let go
    face_chosen = pyqtSignal(int)  # its number, from 1

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Picture and the part of it that is used"))
        self.setToolTip(tr("Drag edges or corners. Arrow keys move, with Shift they size, Home takes all."))
        self._part = QRectF()
        self._faces: tuple[Face, ...] = ()
        self._chosen = 1
        self._grip = ""  # which edges are dragged: letters of "lrtb", or "m" for all of it
        self._from = QPointF()
        self._before = QRectF()

    def set_picture(self, rgb: RgbImage) -> None:
        """Show a picture with all of it chosen."""
        super().set_picture(rgb)
        self._part = self._whole()

    def set_faces(self, faces: Sequence[Face], chosen: int) -> None:
        """Mark the faces that were found, in pixels of the picture."""
        self._faces, self._chosen = tuple(faces), chosen
        self.update()

    def box(self) -> Box | None:
        """The part that is chosen; None: all of it."""
        if self._part == self._whole():
            return None
        left, top = round(self._part.left()), round(self._part.top())
        width, height = round(self._part.right()) - left, round(self._part.bottom()) - top
        return Box(left, top, max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Take hold of an edge, or of the part as a whole."""
        if self._image is not None:
            self._grip = self._grip_at(event.localPos())
            self._from, self._before = self.to_picture(event.localPos()), QRectF(self._part)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Drag."""
        if self._grip:
            moved = self.to_picture(event.localPos()) - self._from
            self._change(self._grip, moved.x(), moved.y(), self._before)
        else:
            shapes = {"lt": Qt.SizeFDiagCursor, "rb": Qt.SizeFDiagCursor, "rt": Qt.SizeBDiagCursor,
                      "lb": Qt.SizeBDiagCursor, "l": Qt.SizeHorCursor, "r": Qt.SizeHorCursor,
                      "t": Qt.SizeVerCursor, "b": Qt.SizeVerCursor, "m": Qt.SizeAllCursor}  # fmt: skip
            self.setCursor(shapes.get(self._grip_at(event.localPos()), Qt.ArrowCursor))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Let go: a click chooses a face, a drag a part."""
        self._grip = ""
        if self._part != self._before:
            self.cropped.emit()
            return
        place = self.to_picture(event.localPos())
        for number, face in enumerate(self._faces, 1):
            if _outline(face).contains(place) and number != self._chosen:
                self.face_chosen.emit(number)
                return

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """All of it."""
        self._take_all()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Arrow keys."""
        ways = {Qt.Key_Left: (-1, 0), Qt.Key_Right: (1, 0), Qt.Key_Up: (0, -1), Qt.Key_Down: (0, 1)}
        if event.key() in ways:
            x, y = ways[Qt.Key(event.key())]
            step = STEP * max(self._whole().width(), self._whole().height())
            grip = "rb" if event.modifiers() & Qt.ShiftModifier else "m"
            self._change(grip, x * step, y * step, QRectF(self._part))
            self.cropped.emit()
        elif event.key() == Qt.Key_Home:
            self._take_all()
        elif event.text().isdigit() and 1 <= int(event.text()) <= len(self._faces):
            self.face_chosen.emit(int(event.text()))
        else:
            super().keyPressEvent(event)

    def paint_over(self, painter: QPainter) -> None:
        """Dim what is left out, frame the part, number the faces."""
        part = QRectF(self.to_widget(self._part.left(), self._part.top()),
                      self.to_widget(self._part.right(), self._part.bottom()))  # fmt: skip
        outside = QPainterPath()
        outside.addRect(QRectF(self.rect()))
        inside = QPainterPath()
        inside.addRect(part)
        painter.fillPath(outside.subtracted(inside), QColor(0, 0, 0, 150))
        painter.setPen(QPen(Qt.white, 2))
        painter.setBrush(Qt.NoBrush)
        painter.drawRect(part)
        painter.setBrush(Qt.white)
        for corner in (part.topLeft(), part.topRight(), part.bottomLeft(), part.bottomRight()):
            painter.drawEllipse(corner, 5, 5)
        for number, face in enumerate(self._faces, 1):
            self._paint_face(painter, face, number)

    def _paint_face(self, painter: QPainter, face: Face, number: int) -> None:
        outline, chosen = _outline(face), number == self._chosen
        area = QRectF(self.to_widget(outline.left(), outline.top()), self.to_widget(outline.right(), outline.bottom()))
        painter.setBrush(Qt.NoBrush)
        painter.setPen(QPen(QColor("#6fe0a0") if chosen else QColor(255, 255, 255, 200), 2 if chosen else 1.5,
                            Qt.SolidLine if chosen else Qt.DashLine))  # fmt: skip
        painter.drawRoundedRect(area, 8, 8)
        if len(self._faces) > 1:
            plate = QRectF(area.left() + 4, area.top() + 4, 24, 24)
            painter.setPen(Qt.NoPen)
            painter.setBrush(QColor(12, 14, 18, 200))
            painter.drawRoundedRect(plate, 6, 6)
            painter.setPen(Qt.white)
            painter.drawText(plate, Qt.AlignCenter, str(number))

    def _whole(self) -> QRectF:
        return QRectF(0, 0, self.picture_size().width(), self.picture_size().height())

    def _take_all(self) -> None:
        if self._part != self._whole():
            self._part = self._whole()
            self.update()
            self.cropped.emit()

    def _grip_at(self, point: QPointF) -> str:
        low = self.to_widget(self._part.left(), self._part.top())
        high = self.to_widget(self._part.right(), self._part.bottom())
        if not QRectF(low, high).adjusted(-GRIP_PX, -GRIP_PX, GRIP_PX, GRIP_PX).contains(point):
            return ""
        sides = (("l", point.x() - low.x()), ("r", point.x() - high.x()),
                 ("t", point.y() - low.y()), ("b", point.y() - high.y()))  # fmt: skip
        return "".join(side for side, away in sides if abs(away) <= GRIP_PX) or "m"

    def _change(self, grip: str, x: float, y: float, before: QRectF) -> None:
        part, whole = QRectF(before), self._whole()
        least = min(float(MIN_SIDE_PX), whole.width(), whole.height())
        if grip == "m":
            part.translate(x, y)
            part.moveLeft(min(max(0.0, part.left()), whole.width() - part.width()))
            part.moveTop(min(max(0.0, part.top()), whole.height() - part.height()))
        if "l" in grip:
            part.setLeft(min(max(0.0, part.left() + x), part.right() - least))
        if "r" in grip:
            part.setRight(max(min(whole.width(), part.right() + x), part.left() + least))
        if "t" in grip:
            part.setTop(min(max(0.0, part.top() + y), part.bottom() - least))
        if "b" in grip:
            part.setBottom(max(min(whole.height(), part.bottom() + y), part.top() + least))
        self._part = part
        self.update()


def _outline(face: Face) -> QRectF:
    low, high = face.landmarks[:, :2].min(axis=0).tolist(), face.landmarks[:, :2].max(axis=0).tolist()
    return QRectF(QPointF(*low), QPointF(*high))
