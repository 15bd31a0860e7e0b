"""The avatar, large: as others see it, with what the user should know laid over it."""

from __future__ import annotations

from PyQt5.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt5.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPainterPath, QPaintEvent, QPen
from PyQt5.QtWidgets import QSizePolicy, QWidget

from avatar.frames import Frame
from avatar.outputs.canvas import LABEL
from avatar.settings import CanvasSettings
from ui.language import tr
from ui.pixels import own_image
from ui.theme import current

MARGIN, RADIUS = 12, 10
BACKDROP_PX = 28  # the picture at this size and scaled up again is a blur that costs nothing
CHIP_COLOURS = {"danger": "#ff8a93", "warning": "#ffc46b", "accent": "#9db4ff"}  # on dark, whatever the look
CHIP_GAP = 14
CHIP_SHARE = 0.7  # of the width; the rest is the camera's picture
RED = QColor(214, 40, 57)


class AvatarView(QWidget):
    """Paints the newest avatar frame; a frame that comes while it is not visible costs nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumSize(320, 200)
        self.setAttribute(Qt.WA_OpaquePaintEvent)
        self.setAccessibleName(tr("Avatar"))
        self.setAccessibleDescription(tr("What others see"))
        self.frame: Frame | None = None
        self._image: QImage | None = None
        self._backdrop: QImage | None = None
        self._placeholder: QImage | None = None
        self._canvas = CanvasSettings()
        self.chip: list[tuple[str, str]] = []  # (text, name of a colour)
        self.countdown = ""
        self.badge = ""  # written large while the output is not the living avatar
        self.passing = False
        self.hold = 0.0

    def show_frame(self, frame: Frame) -> None:
        """Show a frame at the next repaint."""
        self.frame, self._image = frame, None
        self.update()

    def set_canvas(self, canvas: CanvasSettings) -> None:
        """Show the frame as outputs fit it in."""
        self._canvas = canvas
        self.update()

    def set_placeholder(self, image: QImage | None) -> None:
        """What is shown, dimmed, until the first frame is there."""
        self._placeholder = image
        if self.frame is None:
            self.update()

    def set_chip(self, parts: list[tuple[str, str]]) -> None:
        """What stands in the corner: what is under way, rate, latency, device."""
        if parts != self.chip:
            self.chip = parts
            self.setAccessibleDescription(", ".join(text for text, _ in parts))
            self.update()

    def set_marks(self, *, countdown: str, badge: str, passing: bool, hold: float) -> None:
        """What is painted large."""
        marks = (countdown, badge, passing, hold)
        if marks != (self.countdown, self.badge, self.passing, self.hold):
            self.countdown, self.badge, self.passing, self.hold = marks
            self.update()

    def canvas_rect(self) -> QRectF:
        """Where the canvas lies in the widget."""
        room = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        size = QSize(self._canvas.width_px, self._canvas.height_px)
        scale = min(room.width() / size.width(), room.height() / size.height())
        width, height = size.width() * scale, size.height() * scale
        return QRectF(room.center().x() - width / 2, room.center().y() - height / 2, width, height)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Paint anew when the look changes."""
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
            self._paint_picture(painter, area)
        else:
            self._paint_placeholder(painter, area)
            self._paint_text(painter, area, tr("The avatar is being prepared…"))
        if self._canvas.label and self.frame is not None and not self.frame.passed_through:
            self._paint_label(painter, area)
        self._paint_corners(painter, area)
        if self.passing:
            painter.setPen(QPen(RED, 8))
            painter.setBrush(Qt.NoBrush)
            painter.drawRoundedRect(area.adjusted(4, 4, -4, -4), RADIUS, RADIUS)
        if self.chip:
            self._paint_chip(painter, area)
        if self.badge:
            self._paint_badge(painter, area)
        if self.countdown:
            paint_countdown(painter, area, self.countdown)
        if self.hold > 0:
            self._paint_hold(painter, area)

    def _paint_picture(self, painter: QPainter, area: QRectF) -> None:
        assert self.frame is not None
        if self._image is None:  # converted once, and only if it is shown at all
            self._image = own_image(self.frame.rgb)
            self._backdrop = None
        image, fit = self._image, self._canvas.fit
        scale = (max if fit == "fill" else min)(area.width() / image.width(), area.height() / image.height())
        width, height = image.width() * scale, image.height() * scale
        target = QRectF(area.center().x() - width / 2, area.center().y() - height / 2, width, height)
        painter.save()
        painter.setClipRect(area)
        if self._canvas.mirror:
            painter.translate(2 * area.center().x(), 0)
            painter.scale(-1, 1)
        if fit == "blur" and target.width() + 1 < area.width():
            self._paint_backdrop(painter, area, image)
        painter.drawImage(target, image)
        painter.restore()

    def _paint_backdrop(self, painter: QPainter, area: QRectF, image: QImage) -> None:
        if self._backdrop is None:
            self._backdrop = image.scaled(
                BACKDROP_PX, BACKDROP_PX, Qt.IgnoreAspectRatio, Qt.SmoothTransformation
            )  # fmt: skip
        height = self._backdrop.width() * area.height() / area.width()
        part = QRectF(0, (self._backdrop.height() - height) / 2, self._backdrop.width(), height)
        painter.drawImage(area, self._backdrop, part)
        painter.fillRect(area, QColor(0, 0, 0, 96))

    def _paint_placeholder(self, painter: QPainter, area: QRectF) -> None:
        if self._placeholder is not None:
            square = QRectF(0, 0, area.height(), area.height())
            square.moveCenter(area.center())
            painter.setOpacity(0.35)
            painter.drawImage(square, self._placeholder)
            painter.setOpacity(1.0)

    def _paint_label(self, painter: QPainter, area: QRectF) -> None:
        font = QFont(self.font())
        font.setPixelSize(max(10, round(0.026 * area.height())))
        painter.setFont(font)
        text = painter.fontMetrics().boundingRect(LABEL)
        margin = 0.025 * area.height()
        plate = QRectF(0, 0, text.width() + font.pixelSize() * 1.1, text.height() + font.pixelSize() * 0.4)
        plate.moveBottomRight(area.bottomRight() - QPointF(margin, margin))
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawRoundedRect(plate, 5, 5)
        painter.setPen(Qt.white)
        painter.drawText(plate, Qt.AlignCenter, LABEL)

    def _paint_corners(self, painter: QPainter, area: QRectF) -> None:
        """Round the picture by painting the ground over its corners: clipping a video costs more."""
        around, round_one = QPainterPath(), QPainterPath()
        around.addRect(area.adjusted(-1, -1, 1, 1))
        round_one.addRoundedRect(area, RADIUS, RADIUS)
        painter.setPen(Qt.NoPen)
        painter.setBrush(current().colour("ground"))
        painter.drawPath(around.subtracted(round_one))

    def _paint_chip(self, painter: QPainter, area: QRectF) -> None:
        painter.setFont(self.font())
        metrics = painter.fontMetrics()
        parts = fitting(self.chip, metrics, CHIP_SHARE * area.width())
        plate = QRectF(area.left() + 12, area.top() + 12, _chip_width(parts, metrics), metrics.height() + 12)
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
    """A number, or a word, large in the middle of a picture."""
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
    """As much of the chip as there is room for: ordinary figures go first, then the last words are cut."""
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
