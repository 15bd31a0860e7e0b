"""Dialog that shows what works on this machine, with a button beside what can be mended."""

from __future__ import annotations

import threading
from functools import partial

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from avatar.doctor.check import BROKEN, OK, WARNING, Check
from avatar.errors import AvatarError
from ui.background import Lane
from ui.dialogs.doctor_report import Report
from ui.look import icons
from ui.look.language import explained, later, tr
from ui.look.theme import current
from ui.panels.section import note
from ui.remedies import Mend, fetch_text, mend_of_line, offer_copy
from ui.services import Services
from ui.widgets.plain_text import PlainLabel
from ui.widgets.room import resize_within_screen

_SIGNS = {BROKEN: ("error", "danger"), WARNING: ("warning", "warning"), OK: ("check", "good")}
_STATES = {BROKEN: later("does not work"), WARNING: later("limited"), OK: later("works")}
_AREAS = {
    "python": later("Python"), "packages": later("Packages"), "processor": later("Processor"),
    "graphics": later("Graphics"), "models": later("Models"), "cameras": later("Cameras"),
    "virtual camera": later("Virtual camera"), "encoder": later("Recording"), "sound": later("Sound"),
    "screen": later("Screen"), "disk": later("Disk"), "speed": later("Speed"),
}  # fmt: skip


class DoctorDialog(QDialog):
    """Dialog that examines the machine when it opens; what does not work stands first."""

    model_asked = pyqtSignal(str)  # the model to fetch; empty: the user chooses

    def __init__(self, services: Services, lane: Lane, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._services, self._lane = services, lane
        self._unwanted = threading.Event()
        self._text = ""
        self.wanted_action = ""  # an action of the window that the user asked for, after the dialog
        self.setWindowTitle(tr("System check"))
        resize_within_screen(self, 760, 600)
        heading = PlainLabel(tr("What works here, and how to fix the rest"))
        heading.setObjectName("Heading")
        self.summary = note()
        self.list = QScrollArea()
        self.list.setWidgetResizable(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.list.setAccessibleName(tr("Report"))
        self.busy = QProgressBar()
        self.busy.setRange(0, 0)
        self.copy = QPushButton(" " + tr("Copy"))
        self.copy.setIcon(icons.icon("copy"))
        self.copy.setToolTip(
            tr("It contains no names and no serial numbers, so you can put it into a bug report as it is.")
        )
        self.copy.clicked.connect(self._copy)
        self.again = QPushButton(tr("Run again"))
        self.again.clicked.connect(self._examine)
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.accept)
        for button in (self.copy, self.again, close):
            button.setAutoDefault(False)
        row = QHBoxLayout()
        row.addWidget(self.copy)
        row.addWidget(self.again)
        row.addStretch()
        row.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(10)
        column.addWidget(heading)
        column.addWidget(self.summary)
        column.addWidget(self.list, 1)
        column.addWidget(self.busy)
        column.addLayout(row)
        self._examine()

    def _examine(self) -> None:
        self.busy.show()
        self.again.setEnabled(False)
        self.copy.setEnabled(False)
        self.summary.setText(tr("Checking. This opens the cameras for a moment and takes a few seconds…"))
        self.list.setWidget(QWidget())
        self._lane.run(partial(self._services.doctor_report, self._unwanted), self._show, self._failed)

    def give_up(self) -> None:
        """End checks that still run: they keep the lane, and the end of the program, waiting."""
        self._unwanted.set()

    def _show(self, report: Report) -> None:
        self._text = report.text()
        ranks = list(_SIGNS)
        checks = sorted(report.checks, key=lambda check: ranks.index(check.state))
        rest = sum(check.state != OK for check in checks)
        self.summary.setText(
            tr("{n} of {count} checks found something to fix.", n=rest, count=len(checks)) if rest
            else tr("Everything works.")
        )  # fmt: skip
        self._finish([self._row(check) for check in checks])

    def _failed(self, error: AvatarError) -> None:
        self._text = f"{error.what}\n{error.remedy}"
        self.summary.setText(explained(error))
        self._finish([])

    def _finish(self, rows: list[QWidget]) -> None:
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setSpacing(14)
        for row in rows:
            column.addWidget(row)
        column.addStretch()
        self.list.setWidget(whole)
        self.busy.hide()
        self.again.setEnabled(True)
        self.copy.setEnabled(True)

    def _row(self, check: Check) -> QWidget:
        row = QWidget()
        sign_name, colour = _SIGNS[check.state]
        sign = PlainLabel()
        sign.setPixmap(icons.pixmap(sign_name, 20, getattr(current(), colour), row.devicePixelRatioF()))
        sign.setAccessibleName(tr(_STATES[check.state]))
        words = QVBoxLayout()
        words.setSpacing(2)
        area = PlainLabel(tr(_AREAS.get(check.area, check.area)))
        area.setObjectName("Strong")
        words.addWidget(area)
        what = PlainLabel(tr(check.what))
        what.setWordWrap(True)
        words.addWidget(what)
        if check.remedy:
            remedy = note(tr(check.remedy))
            remedy.setTextInteractionFlags(Qt.TextSelectableByMouse)
            words.addWidget(remedy)
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(10)
        line.addWidget(sign, 0, Qt.AlignTop)
        line.addLayout(words, 1)
        mend = mend_of_line(check.area, check.remedy) if check.remedy else None
        if mend is not None:
            line.addWidget(self._button(mend), 0, Qt.AlignTop)
        return row

    def _button(self, mend: Mend) -> QPushButton:
        button = QPushButton()
        button.setAutoDefault(False)
        if mend.command:
            offer_copy(button, mend.command)
        elif mend.action == "models":
            button.setText(" " + fetch_text(mend.model))
            button.setIcon(icons.icon("download"))
            button.clicked.connect(partial(self._fetch, mend.model))
        else:
            button.setText(" " + tr("Choose a camera"))
            button.setIcon(icons.icon("camera"))
            button.clicked.connect(partial(self._leave_for, mend.action))
        return button

    def _fetch(self, model: str) -> None:
        self.model_asked.emit(model)
        self._examine()

    def _leave_for(self, action: str) -> None:
        self.wanted_action = action
        self.accept()

    def _copy(self) -> None:
        QApplication.clipboard().setText(self._text)
        self.copy.setText(tr("Copied"))
