"""The row above the avatar: what one reaches for while live."""

from __future__ import annotations

from PyQt5.QtCore import QSize, Qt
from PyQt5.QtGui import QResizeEvent
from PyQt5.QtWidgets import QHBoxLayout, QToolButton, QWidget

from ui import icons
from ui.actions import Actions
from ui.hold import Hold
from ui.language import tr
from ui.plain_text import PlainLabel

LEAST_PX = 640


class Header(QWidget):
    """Virtual camera, recording, panic."""

    def __init__(self, actions: Actions, hold: Hold, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("Header")
        self.setAttribute(Qt.WA_StyledBackground)
        sign, name = PlainLabel(parent=self), PlainLabel("Masque", self)
        sign.setPixmap(icons.logo(28, self.devicePixelRatioF()))
        name.setObjectName("Title")
        self.camera = actions.button("virtual_camera", self, text=True)
        self.record = actions.button("record", self)
        self.record.setObjectName("Danger")  # red while it runs
        self.snapshot = actions.button("snapshot", self)
        self.replay = actions.button("save_replay", self)
        self.freeze = actions.button("freeze", self, text=True)
        self.freeze.setObjectName("Danger")
        self.show_me = QToolButton(self)
        self.show_me.setText(" " + tr("Show my real face"))
        self.show_me.setObjectName("Danger")
        self.show_me.setIcon(icons.icon("person"))
        self.show_me.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self.show_me.setCheckable(True)
        self.show_me.setFocusPolicy(Qt.StrongFocus)
        key = actions.key_text("pass_through")
        self.show_me.setToolTip(tr("Hold for a second: others see your real face. Press again to stop.") + f"  ({key})")
        self.show_me.setAccessibleName(tr("Show my real face (hold)"))
        self.show_me.pressed.connect(hold.press)
        self.show_me.released.connect(hold.release)
        self.full = actions.button("full_screen", self)
        self.keys = actions.button("keys", self)
        self.panel = actions.button("panel", self)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 12, 8)
        row.setSpacing(8)
        row.addWidget(sign)
        row.addWidget(name)
        row.addSpacing(10)
        for button in (self.camera, self.record, self.snapshot, self.replay):
            row.addWidget(button)
        row.addStretch()
        for button in (self.freeze, self.show_me):
            row.addWidget(button)
        row.addSpacing(10)
        for button in (self.keys, self.full, self.panel):
            button.setObjectName("Plain")
            row.addWidget(button)
        self._named = (self.record, self.snapshot, self.replay)
        for button in self.findChildren(QToolButton):
            button.setIconSize(QSize(20, 20))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Names where there is room for them."""
        super().resizeEvent(event)
        self.fit()

    def fit(self) -> None:
        """Do that again: a button has other words now."""
        self._show_names(True)
        if self.sizeHint().width() > self.width():
            self._show_names(False)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Without the names; or the window could not be made so narrow that they go."""
        return QSize(LEAST_PX, super().minimumSizeHint().height())

    def _show_names(self, on: bool) -> None:
        for button in self._named:
            button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon if on else Qt.ToolButtonIconOnly)
        if layout := self.layout():
            layout.activate()
