"""What works here and what does not: the doctor's report, to read and to copy."""

from __future__ import annotations

from PyQt5.QtGui import QFont
from PyQt5.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from avatar.errors import AvatarError
from ui import icons
from ui.background import Lane
from ui.language import tr
from ui.plain_text import PlainLabel
from ui.section import note
from ui.services import Services


class DoctorDialog(QDialog):
    """Examines while it is open."""

    def __init__(self, services: Services, lane: Lane, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._services, self._lane = services, lane
        self.setWindowTitle(tr("What works here"))
        self.resize(760, 560)
        heading = PlainLabel(tr("What works here, and what to do about the rest"))
        heading.setObjectName("Heading")
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName(tr("Report"))
        fixed = QFont("monospace", self.font().pointSize())
        fixed.setStyleHint(QFont.Monospace)
        self.text.setFont(fixed)
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.copy = QPushButton(tr("Copy"))
        self.copy.setIcon(icons.icon("copy"))
        self.copy.clicked.connect(self._copy)
        self.again = QPushButton(tr("Examine again"))
        self.again.clicked.connect(self._examine)
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.accept)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addWidget(self.again)
        row.addStretch()
        row.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(10)
        column.addWidget(heading)
        column.addWidget(note(tr("It holds no names and no serial numbers, so it can be put into a report as it is.")))
        column.addWidget(self.text, 1)
        column.addWidget(self.busy)
        column.addLayout(row)
        self._examine()

    def _examine(self) -> None:
        self.busy.show()
        self.again.setEnabled(False)
        self.copy.setEnabled(False)
        self.text.setPlainText(tr("Examining. This opens cameras for a moment and takes some seconds…"))
        self._lane.run(self._services.doctor_report, self._show, self._failed)

    def _show(self, report: str) -> None:
        self.text.setPlainText(report)
        self.busy.hide()
        self.again.setEnabled(True)
        self.copy.setEnabled(True)

    def _failed(self, error: AvatarError) -> None:
        self._show(f"{error.what}\n{error.remedy}")

    def _copy(self) -> None:
        QApplication.clipboard().setText(self.text.toPlainText())
        self.copy.setText(tr("Copied"))
