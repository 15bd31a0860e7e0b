"""The centre of the window: the avatar, with the camera view in its corner and notices at its lower edge."""

from __future__ import annotations

from PyQt5.QtCore import QRect, QRectF, Qt, pyqtSignal
from PyQt5.QtGui import QResizeEvent
from PyQt5.QtWidgets import QVBoxLayout, QWidget

from ui.actions import Actions
from ui.widgets.avatar_view import AvatarView
from ui.widgets.banners import Banners
from ui.widgets.camera_view import ASPECT, CameraView

INSET = 12
EYES = (0.15, 0.35)  # where they are in the face: upper edge and height, over its height
LEAST_PX = 120  # width of the camera's picture, where there is hardly room beside the face


class Stage(QWidget):
    """Container that positions the overlays of the avatar view."""

    preview_changed = pyqtSignal(str)  # "corner", "large" or "hidden", requested by the user

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.avatar = AvatarView(self)
        self.camera = CameraView(self)
        self.banners = Banners(actions, self)
        self.setLayout(column := QVBoxLayout())
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.avatar)
        self._preview = "corner"
        self._wide = False  # temporarily large, whatever was chosen
        self.avatar.face_moved.connect(self._place)
        self.camera.clicked.connect(self._other_size)
        self.camera.hide_asked.connect(lambda: self.preview_changed.emit("hidden"))
        self.setContextMenuPolicy(Qt.NoContextMenu)

    def set_preview(self, preview: str, wide: bool = False) -> None:
        """Place the camera preview; `wide` shows it large in any case, as for a guided calibration."""
        self._preview, self._wide = preview, wide
        self._place()

    def _other_size(self) -> None:
        self.preview_changed.emit("corner" if self._preview == "large" else "large")

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Position the overlays again."""
        super().resizeEvent(event)
        self._place()

    def _beside_the_face(self, width: int) -> QRect | None:
        """Return the corner of the picture in which the camera's covers least of the avatar's face.

        None: each covers the eyes.
        """
        height = round(width / ASPECT)
        canvas, face = self.avatar.canvas_rect(), self.avatar.face_rect()
        eyes = QRectF(face.left(), face.top() + EYES[0] * face.height(), face.width(), EYES[1] * face.height())
        left, right = round(canvas.left()) + INSET, round(canvas.right()) - width - INSET
        top, bottom = round(canvas.top()) + INSET, round(canvas.bottom()) - height - INSET
        corners = [QRect(x, y, width, height) for x, y in ((right, top), (right, bottom), (left, bottom), (left, top))]

        def covered(corner: QRect) -> float:
            common = QRectF(corner).intersected(face)
            return common.width() * common.height()

        free = [corner for corner in corners if not QRectF(corner).intersects(eyes)]
        return min(free, key=covered, default=None)

    def _room_beside_the_face(self) -> int:
        """Return the width that is free at the freer side of the avatar's face."""
        canvas, face = self.avatar.canvas_rect(), self.avatar.face_rect()
        if face.isEmpty():
            return round(canvas.width())
        return round(max(face.left() - canvas.left(), canvas.right() - face.right())) - 2 * INSET

    def _place(self) -> None:
        canvas = self.avatar.canvas_rect()
        large = self._preview == "large" or self._wide
        room = max(LEAST_PX, self._room_beside_the_face())
        wanted = round(canvas.width() * 0.52) if large else max(176, min(300, round(canvas.width() * 0.26)))
        width = min(wanted, room)
        place = self._beside_the_face(width) or self._beside_the_face(LEAST_PX)
        self.camera.setVisible(place is not None and (self._preview != "hidden" or self._wide))
        if place is not None:
            self.camera.setGeometry(place)
            self.camera.raise_()
        camera = QRectF(self.camera.geometry()) if self.camera.isVisibleTo(self) else QRectF()
        self.avatar.keep_chip_beside(camera)
        self.banners.keep_free(self.avatar.face_rect(), camera)
