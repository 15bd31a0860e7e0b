"""An image with overlays: fitted into the widget or zoomed, with a selectable part and clickable faces."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PyQt5.QtWidgets import QSizePolicy, QWidget

from avatar.frames import RgbImage
from avatar.images.box import Box
from avatar.portrait.crop import MIN_SIDE_PX
from avatar.tracking import Face
from ui.look.language import tr
from ui.look.theme import current
from ui.widgets.pixels import own_image

GRIP_PX = 12.0  # maximum distance for grabbing a corner or an edge
STEP = 0.02  # step of an arrow key, over the image's side
MAX_ZOOM = 12.0  # over the size at which the whole image fits
ZOOM_STEP = 1.25  # of a key, a button and a notch of the wheel


class ImageView(QWidget):
    """Widget that shows a whole image and maps between its pixels and the widget."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumSize(320, 300)
        self.setFocusPolicy(Qt.StrongFocus)
        self._image: QImage | None = None
        self.zoom = 1.0  # 1: the whole image fits
        self._middle = QPointF(0.5, 0.5)  # point of the image in the middle of the widget, over its sides

    def set_image(self, rgb: RgbImage) -> None:
        """Show an (H, W, 3) uint8 RGB image, all of it."""
        self._image = own_image(rgb)
        self.fit()

    def clear(self) -> None:
        """Show no image."""
        self._image = None
        self.update()

    def fit(self) -> None:
        """Show the whole image."""
        self.zoom, self._middle = 1.0, QPointF(0.5, 0.5)
        self.update()

    def show_part(self, part: QRectF) -> None:
        """Zoom so that a part of the image, in its pixels, fills the widget."""
        size = self.image_size()
        if size.isEmpty() or part.isEmpty():
            return
        self.fit()
        scale = self.scale()
        wanted = min(self.width() / (part.width() * scale), self.height() / (part.height() * scale))
        self.zoom = min(MAX_ZOOM, max(1.0, wanted))
        self._middle = QPointF(part.center().x() / size.width(), part.center().y() / size.height())
        self._keep_inside()

    def zoom_by(self, factor: float, about: QPointF | None = None) -> None:
        """Zoom about a point of the widget, which stays where it is; None: its middle."""
        about = about if about is not None else QPointF(self.width() / 2, self.height() / 2)
        held = self.to_image(about)
        self.zoom = min(MAX_ZOOM, max(1.0, self.zoom * factor))
        self.pan_by(about - self.to_widget(held.x(), held.y()))

    def pan_by(self, way: QPointF) -> None:
        """Move the image by a distance in the widget, as far as there is something to see."""
        size, scale = self.image_size(), self.scale()
        if not size.isEmpty():
            self._middle -= QPointF(way.x() / (size.width() * scale), way.y() / (size.height() * scale))
            self._keep_inside()

    def _keep_inside(self) -> None:
        size, scale = self.image_size(), self.scale()
        shares = [
            min(0.5, (whole - 16) / (2 * side * scale))
            for whole, side in ((self.width(), size.width()), (self.height(), size.height()))
        ]
        self._middle = QPointF(
            min(1 - shares[0], max(shares[0], self._middle.x())), min(1 - shares[1], max(shares[1], self._middle.y()))
        )
        self.update()

    def image_size(self) -> QSize:
        """Return the image size in pixels; empty without an image."""
        return self._image.size() if self._image is not None else QSize()

    def scale(self) -> float:
        """Return the scale in widget units per image pixel."""
        size = self.image_size()
        if size.isEmpty():
            return 1.0
        return self.zoom * min((self.width() - 16) / size.width(), (self.height() - 16) / size.height())

    def to_widget(self, x: float, y: float) -> QPointF:
        """Map image pixels to widget coordinates; 0 is the image's edge."""
        size, scale = self.image_size(), self.scale()
        left = self.width() / 2 - self._middle.x() * size.width() * scale
        top = self.height() / 2 - self._middle.y() * size.height() * scale
        return QPointF(left + x * scale, top + y * scale)

    def to_image(self, point: QPointF) -> QPointF:
        """Map widget coordinates to image pixels."""
        origin, scale = self.to_widget(0, 0), self.scale()
        return QPointF((point.x() - origin.x()) / scale, (point.y() - origin.y()) / scale)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Zoom about the pointer."""
        self.zoom_by(ZOOM_STEP ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint the image and its overlay."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.Antialiasing | QPainter.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QColor(18, 20, 25))
        if self._image is not None:
            size = self.image_size()
            painter.drawImage(QRectF(self.to_widget(0, 0), self.to_widget(size.width(), size.height())), self._image)
            self.paint_over(painter)
        if self.hasFocus():
            painter.setBrush(Qt.NoBrush)
            painter.setPen(QPen(current().colour("accent"), 3))
            painter.drawRect(self.rect().adjusted(1, 1, -2, -2))

    def paint_over(self, painter: QPainter) -> None:
        """Paint what this editor adds over the image."""


class ImageEditor(ImageView):
    """Editor that selects a part by dragging and a face by clicking; also by arrow keys."""

    cropped = pyqtSignal()  # the part was changed and released
    face_chosen = pyqtSignal(int)  # its number, from 1

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Picture and its selected part"))
        self.setToolTip(
            tr("Drag edges or corners. Arrow keys move the frame, with Shift they resize it, Home selects everything.")
        )
        self._part = QRectF()
        self._faces: tuple[Face, ...] = ()
        self._chosen = 1
        self._grip = ""  # which edges are dragged: letters of "lrtb", or "m" for all of it
        self._from = QPointF()
        self._before = QRectF()

    def set_image(self, rgb: RgbImage) -> None:
        """Show an (H, W, 3) uint8 RGB image with all of it selected."""
        super().set_image(rgb)
        self._part = self._whole()

    def clear(self) -> None:
        """Show no image, and no faces."""
        self._faces, self._part = (), QRectF()
        super().clear()

    def set_faces(self, faces: Sequence[Face], chosen: int) -> None:
        """Set the detected faces, in image pixels."""
        self._faces, self._chosen = tuple(faces), chosen
        self.update()

    def box(self) -> Box | None:
        """Return the selected box; None for the whole image."""
        if self._part == self._whole():
            return None
        left, top = round(self._part.left()), round(self._part.top())
        width, height = round(self._part.right()) - left, round(self._part.bottom()) - top
        return Box(left, top, max(width, MIN_SIDE_PX), max(height, MIN_SIDE_PX))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Grab an edge, or the whole part."""
        if self._image is not None:
            self._grip = self._grip_at(event.localPos())
            self._from, self._before = self.to_image(event.localPos()), QRectF(self._part)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Drag the grabbed edge or part."""
        if self._grip:
            moved = self.to_image(event.localPos()) - self._from
            self._change(self._grip, moved.x(), moved.y(), self._before)
        else:
            shapes = {"lt": Qt.SizeFDiagCursor, "rb": Qt.SizeFDiagCursor, "rt": Qt.SizeBDiagCursor,
                      "lb": Qt.SizeBDiagCursor, "l": Qt.SizeHorCursor, "r": Qt.SizeHorCursor,
                      "t": Qt.SizeVerCursor, "b": Qt.SizeVerCursor, "m": Qt.SizeAllCursor}  # fmt: skip
            self.setCursor(shapes.get(self._grip_at(event.localPos()), Qt.ArrowCursor))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Release: a click chooses a face, a drag a part."""
        self._grip = ""
        if self._part != self._before:
            self.cropped.emit()
            return
        place = self.to_image(event.localPos())
        for number, face in enumerate(self._faces, 1):
            if _outline(face).contains(place) and number != self._chosen:
                self.face_chosen.emit(number)
                return

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Select the whole image."""
        self._take_all()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Move or resize the part by arrow keys."""
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
        """Dim the excluded area, frame the part, number the faces."""
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
        return QRectF(0, 0, self.image_size().width(), self.image_size().height())

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
