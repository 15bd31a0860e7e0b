"""A press-and-hold control for actions that must not happen by accident."""

from __future__ import annotations

import time

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

HOLD_S = 1.0
STEP_MS = 33


class Hold(QObject):
    """Measures how long a key or button is held."""

    progressed = pyqtSignal(float)  # 0..1 while held; 0 after release
    held = pyqtSignal()
    let_go = pyqtSignal()  # released too early

    def __init__(self, parent: QObject | None = None, hold_s: float = HOLD_S) -> None:
        super().__init__(parent)
        self._hold_s, self._since_s = hold_s, 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(STEP_MS)
        self._timer.timeout.connect(self._step)

    def press(self) -> None:
        """Start measuring."""
        if not self._timer.isActive():
            self._since_s = time.monotonic()
            self._timer.start()

    def release(self) -> None:
        """Stop; emits `let_go` if it was too early."""
        if self._timer.isActive():
            self._stop()
            self.let_go.emit()

    def cancel(self) -> None:
        """Stop without a signal."""
        if self._timer.isActive():
            self._stop()

    def _step(self) -> None:
        share = (time.monotonic() - self._since_s) / self._hold_s
        self.progressed.emit(min(share, 1.0))
        if share >= 1.0:
            self._stop()
            self.held.emit()

    def _stop(self) -> None:
        self._timer.stop()
        self.progressed.emit(0.0)
