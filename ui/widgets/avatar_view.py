"""The large avatar view, as others see it, with information overlaid."""

from __future__ import annotations

from PyQt5.QtCore import QEvent, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetrics,
    QImage,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PyQt5.QtWidgets import QSizePolicy, QWidget

from avatar.frames import Frame, PortraitLayers
from avatar.outputs.canvas import CanvasPainter
from avatar.outputs.placement import moved, placed, zoomed
from avatar.settings import CanvasSettings, Place
from ui.look.language import tr
from ui.look.theme import current
from ui.widgets.pixels import own_image

MARGIN, RADIUS = 12, 10
WHEEL_ZOOM = 1.08  # per notch
CHIP_COLOURS = {"danger": "#ff8a93", "warning": "#ffc46b", "accent": "#9db4ff"}  # on dark, whatever the look
CHIP_GAP = 14
CHIP_SHARE = 0.7  # maximum width over that of the view; the rest is for the camera view
RED = QColor(214, 40, 57)


class AvatarView(QWidget):
    """View of the newest avatar frame; frames that arrive while it is hidden are not painted.

    The avatar can be dragged, and the wheel zooms.
    """

    place_asked = pyqtSignal(str, object)  # an avatar, its new Place
    face_moved = pyqtSignal()  # another avatar, or another place

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumSize(320, 200)
        self.setAttribute(Qt.WA_OpaquePaintEvent)
        self.setAccessibleName(tr("Avatar"))
        self.setAccessibleDescription(tr("What others see"))
        self.frame: Frame | None = None
        self._image: QImage | None = None
        self._composed_size = (0, 0)  # (width, height) of `_image`, device pixels
        self._painter = CanvasPainter()
        self._dragged_from: QPointF | None = None
        self._placeholder: QImage | None = None
        self._canvas = CanvasSettings()
        self.chip: list[tuple[str, str]] = []  # (text, name of a colour)
        self._beside = QRectF()  # what the chip must not lie under
        self.countdown = ""
        self.badge = ""  # large text while the output is not the live avatar
        self.passing = False
        self.hold = 0.0

    def show_frame(self, frame: Frame) -> None:
        """Show a frame at the next repaint."""
        before, self.frame, self._image = self.frame, frame, None
        shown, known = frame.layers, before.layers if before is not None else None
        if (shown and shown.avatar) != (known and known.avatar):
            self.face_moved.emit()
        self.update()

    def set_canvas(self, canvas: CanvasSettings) -> None:
        """Show the frame as outputs fit it in."""
        if canvas != self._canvas:
            self._canvas, self._image = canvas, None
            self.face_moved.emit()
            self.update()

    def set_placeholder(self, image: QImage | None) -> None:
        """Set the dimmed image shown until the first frame arrives."""
        self._placeholder = image
        if self.frame is None:
            self.update()

    def set_chip(self, parts: list[tuple[str, str]]) -> None:
        """Set the status chip in the corner: activity, rate, latency, device."""
        if parts != self.chip:
            self.chip = parts
            self.setAccessibleDescription(", ".join(text for text, _ in parts))
            self.update()

    def keep_chip_beside(self, covered: QRectF) -> None:
        """Set where something lies over this view; empty: nowhere."""
        if covered != self._beside:
            self._beside = covered
            self.update()

    def chip_rect(self) -> QRectF:
        """Return the room of the chip in widget coordinates; its text may be narrower."""
        area, height = self.canvas_rect(), self.fontMetrics().height() + 12
        room = QRectF(area.left() + 12, area.top() + 12, CHIP_SHARE * area.width(), height)
        if room.intersects(self._beside):
            if self._beside.center().x() < area.center().x():
                room.moveLeft(self._beside.right() + 8)
            room.setRight(min(room.right(), area.right() - 12))
            if self._beside.left() > room.left():
                room.setRight(min(room.right(), self._beside.left() - 8))
        return room

    def set_marks(self, *, countdown: str, badge: str, passing: bool, hold: float) -> None:
        """Set the large overlays."""
        marks = (countdown, badge, passing, hold)
        if marks != (self.countdown, self.badge, self.passing, self.hold):
            self.countdown, self.badge, self.passing, self.hold = marks
            self.update()

    def nudge(self, right: float, down: float) -> None:
        """Request that the avatar moves by fractions of the canvas, in view directions."""
        if (shown := self._placeable()) is not None:
            right = -right if self._canvas.mirror else right
            self._ask(shown, moved(self._canvas.place(shown.avatar), right, down, *self._of(shown)))

    def zoom(self, times: float, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Request that the avatar is zoomed about a point, given in [0, 1] of the visible canvas."""
        if (shown := self._placeable()) is not None:
            at = (1 - at[0], at[1]) if self._canvas.mirror else at
            self._ask(shown, zoomed(self._canvas.place(shown.avatar), times, at, *self._of(shown)))

    def reset_place(self) -> None:
        """Request the default position of the avatar."""
        if (shown := self._placeable()) is not None:
            self._ask(shown, Place())

    def face_rect(self) -> QRectF:
        """Return where the avatar's face is at rest, in widget coordinates; empty if that is unknown."""
        shown = self._placeable()
        if shown is None or shown.face is None or self.frame is None:
            return QRectF()
        canvas, area = self._canvas, self.canvas_rect()
        size, _, face = self._of(shown)
        box = placed(size, canvas, canvas.place(shown.avatar), face)
        scale = area.width() / canvas.width_px
        width, height = shown.face_size[0] * box.width * scale, shown.face_size[1] * box.height * scale
        x = (box.left + shown.face[0] * box.width) * scale
        x = area.width() - x if canvas.mirror else x
        y = (box.top + shown.face[1] * box.height) * scale
        return QRectF(area.left() + x - width / 2, area.top() + y - height / 2, width, height)

    def canvas_rect(self) -> QRectF:
        """Return the canvas rectangle in widget coordinates."""
        room = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        size = QSize(self._canvas.width_px, self._canvas.height_px)
        scale = min(room.width() / size.width(), room.height() / size.height())
        width, height = size.width() * scale, size.height() * scale
        return QRectF(room.center().x() - width / 2, room.center().y() - height / 2, width, height)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Start to drag the avatar."""
        if event.button() == Qt.LeftButton and self._placeable() and self.canvas_rect().contains(event.localPos()):
            self._dragged_from = event.localPos()
            self.setCursor(Qt.ClosedHandCursor)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Move the avatar with the pointer."""
        if self._dragged_from is not None:
            area, way = self.canvas_rect(), event.localPos() - self._dragged_from
            self._dragged_from = event.localPos()
            self.nudge(way.x() / area.width(), way.y() / area.height())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """End the drag."""
        self._dragged_from = None
        self.unsetCursor()

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802 - Qt's name
        """Zoom about the pointer."""
        area, at = self.canvas_rect(), event.position()
        if area.contains(at) and event.angleDelta().y():
            point = (at.x() - area.left()) / area.width(), (at.y() - area.top()) / area.height()
            self.zoom(WHEEL_ZOOM ** (event.angleDelta().y() / 120), point)
        event.accept()

    def _placeable(self) -> PortraitLayers | None:
        """Return the layers of the shown avatar; None if there is no avatar to move."""
        return None if self.frame is None or self.frame.passed_through else self.frame.layers

    def _of(self, shown: PortraitLayers) -> tuple[tuple[int, int], CanvasSettings, tuple[float, float] | None]:
        """Return what a place depends on: size of the frame, canvas, face."""
        assert self.frame is not None
        return (self.frame.width_px, self.frame.height_px), self._canvas, shown.face

    def _ask(self, shown: PortraitLayers, place: Place) -> None:
        if place != self._canvas.place(shown.avatar):
            self.place_asked.emit(shown.avatar, place)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Repaint when the theme changes."""
        self.update()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint everything."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.SmoothPixmapTransform | QPainter.Antialiasing)
        theme, area = current(), self.canvas_rect()
        painter.fillRect(self.rect(), theme.colour("ground"))
        painter.fillRect(area, QColor(18, 20, 25))
        if self.frame is not None:
            self._paint_frame(painter, area)
        else:
            self._paint_placeholder(painter, area)
            self._paint_text(painter, area, tr("The avatar is being prepared…"))
        self._paint_corners(painter, area)
        if self.passing:
            painter.setPen(QPen(RED, 8))
            painter.setBrush(Qt.NoBrush)
            painter.drawRoundedRect(area.adjusted(4, 4, -4, -4), RADIUS, RADIUS)
        if self.chip:
            self._paint_chip(painter)
        if self.badge:
            self._paint_badge(painter, area)
        if self.countdown:
            paint_countdown(painter, area, self.countdown)
        if self.hold > 0:
            self._paint_hold(painter, area)

    def _paint_frame(self, painter: QPainter, area: QRectF) -> None:
        assert self.frame is not None
        scale = min(1.0, area.width() * self.devicePixelRatioF() / self._canvas.width_px)
        size = max(16, round(self._canvas.width_px * scale)), max(16, round(self._canvas.height_px * scale))
        if self._image is None or size != self._composed_size:  # composed once, and only if it is shown at all
            composed = self._painter.compose(self.frame, self._canvas.at_size(size))
            self._image = own_image(composed.rgb, composed.alpha)
            self._composed_size = size
        if self._image.hasAlphaChannel():
            painter.fillRect(area, QColor(236, 238, 242))
            painter.fillRect(area, QBrush(QColor(196, 200, 208), Qt.Dense4Pattern))
        painter.drawImage(area, self._image)

    def _paint_placeholder(self, painter: QPainter, area: QRectF) -> None:
        if self._placeholder is not None:
            square = QRectF(0, 0, area.height(), area.height())
            square.moveCenter(area.center())
            painter.setOpacity(0.35)
            painter.drawImage(square, self._placeholder)
            painter.setOpacity(1.0)

    def _paint_corners(self, painter: QPainter, area: QRectF) -> None:
        """Round the corners by painting the background over them, which is cheaper than clipping."""
        around, round_one = QPainterPath(), QPainterPath()
        around.addRect(area.adjusted(-1, -1, 1, 1))
        round_one.addRoundedRect(area, RADIUS, RADIUS)
        painter.setPen(Qt.NoPen)
        painter.setBrush(current().colour("ground"))
        painter.drawPath(around.subtracted(round_one))

    def _paint_chip(self, painter: QPainter) -> None:
        painter.setFont(self.font())
        metrics, plate = painter.fontMetrics(), self.chip_rect()
        parts = fitting(self.chip, metrics, plate.width())
        plate.setWidth(_chip_width(parts, metrics))
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(12, 14, 18, 190))
        painter.drawRoundedRect(plate, 8, 8)
        x = plate.left() + CHIP_GAP
        for text, colour in parts:
            width = metrics.horizontalAdvance(text)
            painter.setPen(QColor(CHIP_COLOURS.get(colour, "#f2f4f8")))
            painter.drawText(QRectF(x, plate.top(), width + 2, plate.height()), Qt.AlignVCenter, text)
            x += width + CHIP_GAP

    def _paint_badge(self, painter: QPainter, area: QRectF) -> None:
        font = QFont(self.font())
        font.setPixelSize(15)
        font.setBold(True)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        plate = QRectF(0, 0, metrics.horizontalAdvance(self.badge) + 32, metrics.height() + 16)
        below_chip = 12 + (metrics.height() + 20 if self.chip else 0)
        plate.moveCenter(QPointF(area.center().x(), area.top() + below_chip + plate.height() / 2))
        painter.setPen(Qt.NoPen)
        painter.setBrush(RED if self.passing else QColor(28, 82, 140))
        painter.drawRoundedRect(plate, 8, 8)
        painter.setPen(Qt.white)
        painter.drawText(plate, Qt.AlignCenter, self.badge)

    def _paint_hold(self, painter: QPainter, area: QRectF) -> None:
        ring = QRectF(0, 0, 96, 96)
        ring.moveCenter(area.center())
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(12, 14, 18, 190))
        painter.drawEllipse(ring.adjusted(-14, -14, 14, 14))
        painter.setBrush(Qt.NoBrush)
        painter.setPen(QPen(RED, 8, Qt.SolidLine, Qt.RoundCap))
        painter.drawArc(ring, 90 * 16, round(-360 * 16 * self.hold))
        painter.setPen(Qt.white)
        painter.setFont(self.font())
        painter.drawText(ring, Qt.AlignCenter | Qt.TextWordWrap, tr("Keep holding"))

    def _paint_text(self, painter: QPainter, area: QRectF, text: str) -> None:
        font = QFont(self.font())
        font.setPointSizeF(13)
        painter.setFont(font)
        painter.setPen(QColor("#dfe3ea"))
        painter.drawText(area, Qt.AlignCenter | Qt.TextWordWrap, text)


def paint_countdown(painter: QPainter, area: QRectF, text: str) -> None:
    """Paint a number or word large in the middle of an image."""
    painter.setPen(Qt.NoPen)
    painter.setBrush(QColor(0, 0, 0, 90))
    painter.drawRect(area)
    font = QFont(painter.font())
    font.setPixelSize(max(18, round(area.height() * (0.42 if len(text) < 3 else 0.11))))
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(Qt.white)
    painter.drawText(area, Qt.AlignCenter | Qt.TextWordWrap, text)


def fitting(parts: list[tuple[str, str]], metrics: QFontMetrics, room_px: float) -> list[tuple[str, str]]:
    """Shorten the chip to the available width: ordinary numbers are dropped first, then the text is cut."""
    parts = list(parts)
    while _chip_width(parts, metrics) > room_px and (plain := [part for part in parts if part[1] == "text"]):
        parts.remove(plain[-1])
    if parts and (excess := _chip_width(parts, metrics) - room_px) > 0:
        text, colour = parts[-1]
        room = max(0, int(metrics.horizontalAdvance(text) - excess))
        parts[-1] = metrics.elidedText(text, Qt.ElideRight, room), colour
    return parts


def _chip_width(parts: list[tuple[str, str]], metrics: QFontMetrics) -> int:
    return sum(metrics.horizontalAdvance(text) + CHIP_GAP for text, _ in parts) + CHIP_GAP
