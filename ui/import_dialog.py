"""One picture on its way to the avatars: which part, which face, whose it is, and whether it may be used."""

from __future__ import annotations

from pathlib import Path

from PyQt5.QtCore import Qt, QTimer
from PyQt5.QtWidgets import (
    QCheckBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from avatar.errors import AvatarError
from avatar.library_import import Choice
from avatar.library_names import as_name
from avatar.library_record import Avatar
from avatar.portrait import Level, PortraitReport, Remark
from avatar.tracking.marks import Marks
from ui import icons
from ui.avatars import Avatars, Checked, Import
from ui.language import later, tr
from ui.marks_editor import MarksDialog
from ui.picture_editor import PictureEditor
from ui.plain_text import PlainLabel
from ui.section import note, set_note
from ui.theme import current

LOOK_AFTER_MS = 200
LIKENESS = later("It shows me, I made it up, or the person agreed. This is kept with the avatar and asked once.")
_SIGNS = {Level.REFUSAL: ("error", "danger"), Level.WARNING: ("warning", "warning"), Level.NOTE: ("info", "muted")}


class ImportDialog(QDialog):
    """Looks at the picture again whenever the choice changes; adds it only if it can be animated."""

    def __init__(self, path: Path, avatars: Avatars, parent: QWidget | None = None, name: str = "") -> None:
        super().__init__(parent)
        self._path, self._avatars = path, avatars
        self._marks: Marks | None = None
        self._number: int | None = None
        self._turn_deg: int | None = None  # None: the first look finds out
        self._checked: Checked | None = None
        self._asked = 0  # checks that were asked for; an answer to an older one is passed over
        self.added: Avatar | None = None
        self.setWindowTitle(tr("Add an avatar"))
        self.resize(880, 600)
        self.editor = PictureEditor()
        self.turn_button = QPushButton(tr("Turn by 90°"))
        self.turn_button.setIcon(icons.icon("refresh"))
        self.turn_button.setEnabled(False)
        self.turn_button.clicked.connect(self._turn)
        self._look_soon = QTimer(self)  # a key that is held moves the frame often, and a look takes its time
        self._look_soon.setSingleShot(True)
        self._look_soon.setInterval(LOOK_AFTER_MS)
        self._look_soon.timeout.connect(self._look)
        self.editor.cropped.connect(self._cropped)
        self.editor.face_chosen.connect(self._choose_face)
        self.verdict = PlainLabel(tr("Looking for a face…"))
        self.verdict.setObjectName("Heading")
        self.verdict.setWordWrap(True)
        self._remarks = QVBoxLayout()
        self._remarks.setSpacing(8)
        self.marks_button = QPushButton(tr("Mark the face by hand…"))
        self.marks_button.setIcon(icons.icon("marks"))
        self.marks_button.clicked.connect(self._mark)
        self.name = QLineEdit(name or as_name(path.stem))
        self.source = QLineEdit()
        self.source.setPlaceholderText(tr("for instance: my own photo"))
        self.licence = QLineEdit()
        self.licence.setPlaceholderText(tr("for instance: public domain"))
        self.confirm = QCheckBox(tr("I may use this likeness"))
        self.confirm.toggled.connect(self._show_ready)
        self.problem = note("", "Danger")
        self.add_button = QPushButton(tr("Add"))
        self.add_button.setObjectName("Primary")
        self.add_button.setDefault(True)
        self.add_button.clicked.connect(self._add)
        self.skip_button = QPushButton(tr("Cancel"))
        self.skip_button.clicked.connect(self.reject)
        self._lay_out()
        self._show_ready()
        self._look()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.WrapAllRows)
        form.setVerticalSpacing(6)
        fields = ((tr("Name"), self.name), (tr("Where it is from"), self.source), (tr("Licence"), self.licence))
        for text, field in fields:
            form.addRow(text, field)
            field.setAccessibleName(text)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.skip_button)
        buttons.addWidget(self.add_button)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(4, 0, 8, 0)
        column.setSpacing(10)
        column.addWidget(self.verdict)
        column.addLayout(self._remarks)
        column.addWidget(self.marks_button)
        column.addLayout(form)
        column.addWidget(self.confirm)
        column.addWidget(note(tr(LIKENESS)))
        column.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.NoFocus)
        scroll.setWidget(inner)
        scroll.setFixedWidth(360)
        side = QVBoxLayout()
        side.addWidget(scroll, 1)
        side.addWidget(self.problem)
        side.addLayout(buttons)
        left = QVBoxLayout()
        left.addWidget(self.editor, 1)
        left.addWidget(self.turn_button, 0, Qt.AlignLeft)
        left.addWidget(note(tr("Drag the frame to use a part of the picture. A double click takes all of it.")))
        whole = QHBoxLayout(self)
        whole.setContentsMargins(16, 16, 16, 16)
        whole.setSpacing(16)
        whole.addLayout(left, 1)
        whole.addLayout(side)
        set_note(self.problem, "", "Danger")

    def choice(self) -> Choice:
        """What was chosen about the picture so far."""
        return Choice(self.editor.box() if self._checked else None, self._marks, self._number, self._turn_deg)

    @property
    def report(self) -> PortraitReport | None:
        """What the last look found."""
        return self._checked.report if self._checked else None

    def _cropped(self) -> None:
        self.add_button.setEnabled(False)
        self._look_soon.start()

    def _look(self) -> None:
        self._asked += 1
        asked = self._asked
        self.verdict.setText(tr("Looking for a face…"))
        self.add_button.setEnabled(False)
        self._avatars.check(
            self._path, self.choice(), lambda checked: self._saw(asked, checked), lambda e: self._refused(asked, e)
        )

    def _saw(self, asked: int, checked: Checked) -> None:
        if asked != self._asked:
            return
        if self._checked is None:
            self.editor.set_picture(checked.rgb)
        self._checked, self._turn_deg = checked, checked.report.turn_deg
        self.turn_button.setEnabled(True)
        report = checked.report
        chosen = next((n for n, face in enumerate(report.faces, 1) if face is report.face), 1)
        self.editor.set_faces(report.faces, chosen)
        self._show_report(report)

    def _refused(self, asked: int, error: AvatarError) -> None:
        if asked == self._asked:
            self._show_remarks([Remark(Level.REFUSAL, "error", error.what, error.remedy)])
            self.verdict.setText(tr("This picture cannot be used"))
            self.marks_button.setVisible(self._checked is not None)

    def _show_report(self, report: PortraitReport) -> None:
        if not report.ok:
            self.verdict.setText(tr("This cannot be animated as it is"))
        elif report.warnings:
            self.verdict.setText(tr("Works, with some remarks"))
        else:
            self.verdict.setText(tr("This will look good"))
        remarks = list(report.remarks)
        if len(report.faces) > 1:
            pick = tr("Click the face that should move, or press its number.")
            remarks = [r for r in remarks if r.code != "several-faces"]
            how_many = tr("There are {n} faces.", n=len(report.faces))
            remarks.append(Remark(Level.WARNING, "several-faces", how_many, pick))
        self._show_remarks(remarks)
        self.marks_button.setVisible(report.face is None or not report.ok or self._marks is not None)
        self._show_ready()

    def _show_remarks(self, remarks: list[Remark]) -> None:
        while item := self._remarks.takeAt(0):
            if widget := item.widget():
                widget.deleteLater()
        for remark in remarks:
            self._remarks.addWidget(remark_row(remark))

    def _choose_face(self, number: int) -> None:
        self._number = number
        self._look()

    def _turn(self) -> None:
        """Look at the whole picture once more, turned clockwise."""
        self._turn_deg = ((self._turn_deg or 0) + 90) % 360
        self._checked = self._marks = self._number = None
        self.turn_button.setEnabled(False)
        self._look()

    def _mark(self) -> None:
        if self._checked is None:
            return
        dialog = MarksDialog(self._checked.rgb, self._marks, self)
        if dialog.exec_() == QDialog.Accepted:
            self._marks = dialog.marks()
            self._look()

    def _show_ready(self) -> None:
        ok = self._checked is not None and self._checked.report.ok
        self.add_button.setEnabled(ok and self.confirm.isChecked())
        missing = ok and not self.confirm.isChecked()
        set_note(self.problem, tr("Confirm that you may use this likeness first.") if missing else "")

    def _add(self) -> None:
        self.add_button.setEnabled(False)
        set_note(self.problem, "")
        wanted = Import(
            self._path, self.choice(), self.name.text().strip(), self.source.text().strip(),
            self.licence.text().strip(), self.confirm.isChecked(),
        )  # fmt: skip
        self._avatars.add(wanted, self._added, self._not_added)

    def _added(self, avatar: Avatar) -> None:
        self.added = avatar
        self.accept()

    def _not_added(self, error: AvatarError) -> None:
        self._show_ready()
        set_note(self.problem, f"{error.what} {error.remedy}", "Danger")


def remark_row(remark: Remark) -> QWidget:
    """A remark with its sign: colour is never the only difference."""
    sign_name, colour = _SIGNS[remark.level]
    row = QWidget()
    sign = PlainLabel()
    sign.setPixmap(icons.pixmap(sign_name, 20, getattr(current(), colour), row.devicePixelRatioF()))
    words = QVBoxLayout()
    words.setSpacing(1)
    what = PlainLabel(remark.what)
    what.setWordWrap(True)
    words.addWidget(what)
    if remark.remedy:
        words.addWidget(note(remark.remedy))
    line = QHBoxLayout(row)
    line.setContentsMargins(0, 0, 0, 0)
    line.addWidget(sign, 0, Qt.AlignTop)
    line.addLayout(words, 1)
    return row
