"""The row above the avatar, with the actions needed while live."""

from __future__ import annotations

from PyQt5.QtCore import QSize, Qt
from PyQt5.QtGui import QResizeEvent
from PyQt5.QtWidgets import QHBoxLayout, QToolButton, QWidget

from ui.actions import Actions
from ui.look import icons
from ui.look.language import later, tr
from ui.widgets.hold import Hold
from ui.widgets.plain_text import PlainLabel

LEAST_PX = 640
# The labels that a button has in turn.
CAMERA_TEXTS = (later("Virtual camera"), later("Virtual camera: on"))
RECORD_TEXTS = (later("Record"), later("Stop"))


class Header(QWidget):
    """Buttons for virtual camera, recording and freeze."""

    def __init__(self, actions: Actions, hold: Hold, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("Header")
        self.setAttribute(Qt.WA_StyledBackground)
        sign, name = PlainLabel(parent=self), PlainLabel("Masque", self)
        sign.setPixmap(icons.logo(28, self.devicePixelRatioF()))
        name.setObjectName("Title")
        self.camera = actions.button("virtual_camera", self, text=True)
        self.record = actions.button("record", self)
        self.record.setObjectName("Danger")  # red while recording
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
        self._named = ((self.record, self.snapshot, self.replay), (self.show_me, self.freeze), (self.camera,))
        self._rooms: dict[QToolButton, int] = {}
        self._texts = {self.camera: CAMERA_TEXTS, self.record: RECORD_TEXTS}
        for button in self.findChildren(QToolButton):
            button.setIconSize(QSize(20, 20))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Show the button labels if they fit."""
        super().resizeEvent(event)
        self.fit()

    def fit(self) -> None:
        """Refit the button labels after a text change."""
        for level in range(len(self._named) + 1):
            self._show_names(level)
            if self.sizeHint().width() <= self.width():
                return

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the width without labels, so that the window can become narrow enough to hide them."""
        return QSize(LEAST_PX, super().minimumSizeHint().height())

    def _show_names(self, level: int) -> None:
        """Leave out the labels of the first `level` groups of buttons."""
        for number, group in enumerate(self._named):
            for button in group:
                named = number >= level
                button.setToolButtonStyle(Qt.ToolButtonTextBesideIcon if named else Qt.ToolButtonIconOnly)
                button.setMinimumWidth(self._room_for(button) if named else 0)
        if layout := self.layout():
            layout.activate()

    def _room_for(self, button: QToolButton) -> int:
        """Return the width that a button needs for the longest of its labels, so that none moves under the mouse."""
        button.setMinimumWidth(0)
        metrics = button.fontMetrics()
        longest = max((metrics.horizontalAdvance(f" {tr(text)}") for text in self._texts.get(button, ())), default=0)
        needed = button.sizeHint().width() + max(0, longest - metrics.horizontalAdvance(button.text()))
        self._rooms[button] = max(needed, self._rooms.get(button, 0))  # sums of rounded widths differ by a pixel
        return self._rooms[button]
