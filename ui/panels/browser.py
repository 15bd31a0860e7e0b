"""Part of the side panel: the browser source, with instructions for OBS."""

from __future__ import annotations

from PyQt5.QtCore import QTimer
from PyQt5.QtWidgets import QApplication, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from avatar.settings import Settings
from ui.actions import Actions
from ui.captures import Captures, CaptureState
from ui.look.language import explained, tr
from ui.panels.section import note, set_note
from ui.session import Session

COPIED_MS = 2000


class BrowserPart(QWidget):
    """A switch; while it is on, the address with a button that copies it, and three steps."""

    def __init__(self, session: Session, captures: Captures, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._captures = captures
        self.switch = actions.button("browser_source", self, text=True)
        self.switch.setSizePolicy(self.switch.sizePolicy().Expanding, self.switch.sizePolicy().Fixed)
        self.status = note()
        self.address = QLineEdit()
        self.address.setReadOnly(True)
        self.address.setAccessibleName(tr("Address of the browser source"))
        self.copy = QPushButton(tr("Copy"))
        self.copy.clicked.connect(self._copy)
        self._copied = QTimer(self)
        self._copied.setSingleShot(True)
        self._copied.timeout.connect(lambda: self.copy.setText(tr("Copy")))
        self.steps = note()
        self.given = QWidget()
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.address, 1)
        row.addWidget(self.copy)
        inner = QVBoxLayout(self.given)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addLayout(row)
        inner.addWidget(self.steps)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.switch, self.status, self.given):
            column.addWidget(widget)
        captures.changed.connect(self.show_state)
        session.changed.connect(self._say_steps)  # a method of a widget: let go of with it
        self._say_steps(session.settings)
        self.show_state(captures.state)

    def show_state(self, state: CaptureState) -> None:
        """Show the state; called twice a second while the browser source is on."""
        self.given.setVisible(bool(state.browser_address))
        if self.address.text() != state.browser_address:
            self.address.setText(state.browser_address)
            self.address.setCursorPosition(0)
        if state.browser_problem is not None:
            set_note(self.status, explained(state.browser_problem), "Danger")
        elif not state.browser:
            set_note(self.status, "")
        elif not state.browser_address:
            set_note(self.status, tr("Opening…"))
        else:
            self._show_viewers()

    def _show_viewers(self) -> None:
        count, latency_ms = self._captures.browser_viewers()
        if count == 0:
            set_note(self.status, tr("No viewer is connected yet."))
        elif latency_ms is None:
            set_note(self.status, tr("{count} connected", count=count), "Good")
        else:
            text = tr("{count} connected, {latency:.0f} ms from camera to page (95 %)", count=count, latency=latency_ms)
            set_note(self.status, text, "Good")

    def _say_steps(self, settings: Settings) -> None:
        canvas = settings.canvas
        steps = (
            tr("1. In OBS, under Sources: + and Browser."),
            tr("2. Paste the address; width {width}, height {height}.", width=canvas.width_px, height=canvas.height_px),
            tr("3. For the avatar alone, choose the background “Transparent” here."),
        )
        self.steps.setText("\n".join(steps))

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.address.text())
        self.copy.setText(tr("Copied"))
        self._copied.start(COPIED_MS)
