"""The small camera view in a corner: the crop, an overlaid portrait for alignment, and the landmarks on demand."""

from __future__ import annotations

import numpy as np
from PyQt5.QtCore import QEvent, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt5.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from avatar.live.broadcast import Preview
from ui.look import icons
from ui.look.language import tr
from ui.look.theme import current
from ui.widgets.avatar_view import paint_countdown
from ui.widgets.pixels import own_image

ASPECT = 16 / 9


class CameraView(QWidget):
    """Widget that paints the newest camera frame. A click changes its size; a button hides it."""

    clicked = pyqtSignal()
    hide_asked = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(tr("Camera picture"))
        self.setToolTip(tr("Your camera, for your eyes only. Click: larger or smaller."))
        self.setFocusPolicy(Qt.StrongFocus)
        self.setCursor(Qt.PointingHandCursor)
        self._preview: Preview | None = None
        self._image: QImage | None = None
        self._ghost_image: QImage | None = None
        self.mirror, self.landmarks, self.ghost = True, False, 0.0
        self.countdown, self.message = "", ""
        self.crop_by_hand = False
        self.hide_button = QToolButton(self)
        self.hide_button.setObjectName("Plain")
        self.hide_button.setAccessibleName(tr("Hide the camera picture"))
        self.hide_button.setToolTip(tr("Hide the camera picture"))
        self.hide_button.setCursor(Qt.ArrowCursor)
        self.hide_button.setIcon(icons.icon("close", "#ffffff"))
        self.hide_button.setStyleSheet("background: rgba(12, 14, 18, 170); padding: 3px;")
        self.hide_button.clicked.connect(self.hide_asked)
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        row.addStretch()
        row.addWidget(self.hide_button)
        column.addLayout(row)
        column.addStretch()

    def show_preview(self, preview: Preview) -> None:
        """Show a frame at the next repaint."""
        self._preview, self._image = preview, None
        self.update()

    def clear(self, message: str) -> None:
        """Show a sentence instead of an image."""
        self._preview, self._image, self.message = None, None, message
        self.setAccessibleDescription(message)
        self.update()

    def set_ghost(self, image: QImage | None) -> None:
        """Set the portrait that can be laid over the camera image."""
        self._ghost_image = image
        self.update()

    def set_options(self, *, mirror: bool, landmarks: bool, ghost: float, crop_by_hand: bool) -> None:
        """Set the overlays of the camera image."""
        self.mirror, self.landmarks, self.ghost, self.crop_by_hand = mirror, landmarks, ghost, crop_by_hand
        self.update()

    def set_countdown(self, text: str) -> None:
        """Set the countdown over the image; empty: none."""
        self.countdown = text
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the size used in a corner."""
        return QSize(240, round(240 / ASPECT))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 - Qt's name
        """Emit `clicked`, which changes the size."""
        if event.button() == Qt.LeftButton and self.rect().contains(event.pos()):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 - Qt's name
        """Treat Enter like a click."""
        if event.key() in (Qt.Key_Return, Qt.Key_Enter):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        """Repaint when the theme changes."""
        self.update()
        super().changeEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Paint everything."""
        painter = QPainter(self)
        painter.setRenderHints(QPainter.SmoothPixmapTransform | QPainter.Antialiasing)
        area = QRectF(self.rect())
        painter.fillRect(area, QColor(18, 20, 25))
        if self._preview is None:
            painter.setPen(QColor("#dfe3ea"))
            painter.drawText(area.adjusted(14, 30, -14, -10), Qt.AlignCenter | Qt.TextWordWrap, self.message)
        else:
            self._paint_frame(painter, area, self._preview)
        if self.countdown:
            paint_countdown(painter, area, self.countdown)
        painter.setBrush(Qt.NoBrush)
        edge = (current().colour("accent"), 3.0) if self.hasFocus() else (QColor(255, 255, 255, 120), 1.5)
        painter.setPen(QPen(*edge))
        painter.drawRect(area.adjusted(1, 1, -1, -1))

    def _paint_frame(self, painter: QPainter, area: QRectF, preview: Preview) -> None:
        if self._image is None:
            self._image = own_image(preview.frame.rgb)
        image = self._image
        scale = min(area.width() / image.width(), area.height() / image.height())
        painter.save()
        painter.translate(area.center())
        painter.scale(-scale if self.mirror else scale, scale)
        painter.translate(-image.width() / 2, -image.height() / 2)
        painter.drawImage(0, 0, image)
        box = preview.crop
        crop = QRectF(box.left, box.top, box.width, box.height)
        if self._ghost_image is not None and self.ghost > 0:
            painter.setOpacity(self.ghost)
            painter.drawImage(crop, self._ghost_image)
            painter.setOpacity(1.0)
        style = Qt.SolidLine if self.crop_by_hand else Qt.DashLine
        painter.setPen(QPen(QColor(255, 255, 255, 210), 2 / scale, style))
        painter.drawRect(crop)
        if self.landmarks and preview.landmarks is not None:
            painter.setPen(QPen(QColor(80, 230, 160), 2.2 / scale, Qt.SolidLine, Qt.RoundCap))
            points = np.asarray(preview.landmarks)[:, :2].tolist()
            painter.drawPoints(QPolygonF([QPointF(x, y) for x, y in points]))
        painter.restore()
