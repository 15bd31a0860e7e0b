"""The middle of the window: the avatar, with the camera's picture in its corner and notices at its lower edge."""

from __future__ import annotations

from PyQt5.QtCore import QRect, Qt, pyqtSignal
from PyQt5.QtGui import QResizeEvent
from PyQt5.QtWidgets import QVBoxLayout, QWidget

from ui.actions import Actions
from ui.avatar_view import AvatarView
from ui.banners import Banners
from ui.camera_view import ASPECT, CameraView

INSET = 12


class Stage(QWidget):
    """Places what lies over the avatar."""

    preview_changed = pyqtSignal(str)  # "corner", "large" or "hidden", asked for by the user

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.avatar = AvatarView(self)
        self.camera = CameraView(self)
        self.banners = Banners(actions, self)
        self.setLayout(column := QVBoxLayout())
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.avatar)
        self._preview = "corner"
        self._wide = False  # large for a while, whatever was chosen
        self.camera.clicked.connect(self._other_size)
        self.camera.hide_asked.connect(lambda: self.preview_changed.emit("hidden"))
        self.setContextMenuPolicy(Qt.NoContextMenu)

    def set_preview(self, preview: str, wide: bool = False) -> None:
        """Where the camera's picture is; `wide` shows it large in any case, as a guided calibration wants it."""
        self._preview, self._wide = preview, wide
        self.camera.setVisible(preview != "hidden" or wide)
        self._place()

    def _other_size(self) -> None:
        self.preview_changed.emit("corner" if self._preview == "large" else "large")

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Place the rest again."""
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        canvas = self.avatar.canvas_rect()
        large = self._preview == "large" or self._wide
        width = round(canvas.width() * 0.52) if large else max(176, min(300, round(canvas.width() * 0.26)))
        height = round(width / ASPECT)
        self.camera.setGeometry(
            QRect(round(canvas.right()) - width - INSET, round(canvas.top()) + INSET, width, height)
        )  # fmt: skip
        self.camera.raise_()
        self.banners.place()
