"""Dialog that imports images as avatars: the part, the face, the likeness, and whether each can be animated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PyQt5 import sip
from PyQt5.QtCore import Qt, QTimer, pyqtSignal
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
from avatar.library.importing import Choice
from avatar.library.names import as_name
from avatar.library.record import Avatar
from avatar.portrait.check import Level, PortraitReport, Remark
from avatar.tracking.marks import Marks, marks_of
from ui.avatars import Avatars, Checked, Import
from ui.dialogs.image_editor import ImageEditor
from ui.dialogs.marks_editor import MarksDialog
from ui.look import icons
from ui.look.language import explained, later, tr
from ui.look.theme import current
from ui.panels.section import note, set_note
from ui.remedies import fetch_text, mend_of
from ui.widgets.plain_text import PlainLabel
from ui.widgets.room import resize_within_screen

LOOK_AFTER_MS = 200
SIDE_PX = 424
LIKENESS = later("It shows me, I made it up, or the person agreed. This is kept with the avatar and asked once.")
_SIGNS = {Level.REFUSAL: ("error", "danger"), Level.WARNING: ("warning", "warning"), Level.NOTE: ("info", "muted")}


class ImportDialog(QDialog):
    """Import dialog that checks the image after every change of the choices, and adds it only if it can be animated.

    Several images come one after the other; where they are from and the likeness are asked once.
    """

    model_asked = pyqtSignal(str)  # a model that may find the face is to be fetched

    def __init__(self, paths: Sequence[Path], avatars: Avatars, parent: QWidget | None = None) -> None:
        """Begin with the first of some images."""
        super().__init__(parent)
        self._paths, self._avatars = list(paths), avatars
        self._number_of_picture = 0  # from 0
        self._at_once = False  # the remaining ones are added without further questions
        self._marks: Marks | None = None
        self._number: int | None = None
        self._turn_deg: int | None = None  # None: determined by the first check
        self._checked: Checked | None = None
        self._asked = 0  # number of requested checks; results of older ones are ignored
        self.all_added: list[Avatar] = []
        self.left_out: list[str] = []  # names of the files that `add_all` could not add
        resize_within_screen(self, 900, 640)
        self.place = PlainLabel()
        self.place.setObjectName("Muted")
        self.place.setVisible(len(self._paths) > 1)
        self.editor = ImageEditor()
        self.turn_button = QPushButton(" " + tr("Turn by 90°"))
        self.turn_button.setIcon(icons.icon("refresh"))
        self.turn_button.setEnabled(False)
        self.turn_button.clicked.connect(self._turn)
        self._look_soon = QTimer(self)  # a held key moves the frame often, and a check takes time
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
        self.marks_button = QPushButton(" " + tr("Mark the face by hand…"))
        self.marks_button.setIcon(icons.icon("marks"))
        self.marks_button.clicked.connect(self._mark)
        self.name = QLineEdit()
        self.source = QLineEdit()
        self.source.setPlaceholderText(tr("for instance: my own photo"))
        self.licence = QLineEdit()
        self.licence.setPlaceholderText(tr("for instance: public domain"))
        several = tr("I have permission for all of these pictures")
        self.confirm = QCheckBox(several if len(self._paths) > 1 else tr("I have permission to use this likeness"))
        self.confirm.toggled.connect(self._show_ready)
        self.problem = note("", "Danger")
        self._make_buttons()
        self._lay_out()
        self._begin()

    def _make_buttons(self) -> None:
        self.add_button = QPushButton(tr("Add"))
        self.add_button.setObjectName("Primary")
        self.add_button.setDefault(True)
        self.add_button.clicked.connect(self._add)
        self.all_button = QPushButton(tr("Add all the rest"))
        self.all_button.clicked.connect(self.add_all)
        self.skip_button = QPushButton(tr("Skip"))
        self.skip_button.clicked.connect(self._next)
        self.cancel_button = QPushButton(tr("Cancel"))
        self.cancel_button.clicked.connect(self.reject)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.WrapAllRows)
        form.setVerticalSpacing(6)
        fields = ((tr("Name"), self.name), (tr("Where it is from"), self.source), (tr("Licence"), self.licence))
        for text, field in fields:
            form.addRow(text, field)
            field.setAccessibleName(text)
        buttons = QHBoxLayout()
        for button in (self.cancel_button, self.skip_button, self.all_button, self.add_button):
            button.setAutoDefault(button is self.add_button)
        buttons.addWidget(self.cancel_button)
        buttons.addStretch()
        for button in (self.skip_button, self.all_button, self.add_button):
            buttons.addWidget(button)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(4, 0, 8, 0)
        column.setSpacing(10)
        column.addWidget(self.place)
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
        scroll.setFixedWidth(SIDE_PX)
        side = QVBoxLayout()
        side.addWidget(scroll, 1)
        left = QVBoxLayout()
        left.addWidget(self.editor, 1)
        left.addWidget(self.turn_button, 0, Qt.AlignLeft)
        left.addWidget(note(tr("Drag the frame to select a part of the picture. Double-click to select all of it.")))
        parts = QHBoxLayout()
        parts.setSpacing(16)
        parts.addLayout(left, 1)
        parts.addLayout(side)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(16, 16, 16, 16)
        whole.setSpacing(10)
        whole.addLayout(parts, 1)
        self.problem.setAlignment(Qt.AlignRight)  # an aligned widget would get the height of one line
        whole.addWidget(self.problem)
        whole.addLayout(buttons)
        set_note(self.problem, "", "Danger")

    @property
    def path(self) -> Path:
        """The image that is shown."""
        return self._paths[self._number_of_picture]

    @property
    def added(self) -> Avatar | None:
        """The avatar added last, if any."""
        return self.all_added[-1] if self.all_added else None

    def add_all(self) -> None:
        """Add this image and all that follow; those that cannot be animated are left out."""
        self._at_once = True
        self._show_ready()
        self._go_on()

    def _begin(self) -> None:
        """Look at the present image."""
        count, number = len(self._paths), self._number_of_picture + 1
        title = tr("Add an avatar ({number} of {count})", number=number, count=count)
        self.setWindowTitle(title if count > 1 else tr("Add an avatar"))
        self.place.setText(tr("{number} of {count}: {name}", number=number, count=count, name=self.path.name))
        self._checked = self._marks = self._number = self._turn_deg = None
        self.editor.clear()
        self.turn_button.setEnabled(False)
        self.name.setText(as_name(self.path.stem))
        set_note(self.problem, "")
        for button in (self.skip_button, self.all_button):
            button.setVisible(number < count)
        self.add_button.setText(tr("Add and continue") if number < count else tr("Add"))
        self._show_remarks([])
        self._show_ready()
        self._look()

    def _next(self) -> None:
        """Go on to the next image; close after the last one."""
        self._look_soon.stop()
        if self._number_of_picture + 1 < len(self._paths):
            self._number_of_picture += 1
            self._begin()
        else:
            self.accept()

    def _go_on(self) -> None:
        """Add the image that was checked, or leave it out, where all are added at once."""
        if not self._at_once or self._checked is None:
            return
        if self._checked.report.ok:
            self._add()
        else:
            self._leave_out()

    def _leave_out(self) -> None:
        self.left_out.append(self.path.name)
        self._next()

    def reject(self) -> None:
        """Close, and let no check or import of this dialog go on to the next image."""
        self._asked += 1
        self._at_once = False
        super().reject()

    def choice(self) -> Choice:
        """Return the choices made so far."""
        return Choice(self.editor.box() if self._checked else None, self._marks, self._number, self._turn_deg)

    @property
    def report(self) -> PortraitReport | None:
        """Report of the last check."""
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
            self.path, self.choice(), lambda checked: self._saw(asked, checked), lambda e: self._refused(asked, e)
        )

    def _saw(self, asked: int, checked: Checked) -> None:
        if asked != self._asked:
            return
        if self._checked is None:
            self.editor.set_image(checked.rgb)
        self._checked, self._turn_deg = checked, checked.report.turn_deg
        self.turn_button.setEnabled(True)
        report = checked.report
        chosen = next((n for n, face in enumerate(report.faces, 1) if face is report.face), 1)
        self.editor.set_faces(report.faces, chosen)
        self._show_report(report)
        self._go_on()

    def _refused(self, asked: int, error: AvatarError) -> None:
        if asked != self._asked:
            return
        self._show_remarks([Remark(Level.REFUSAL, "error", error.what, error.remedy)])
        self.verdict.setText(tr("This picture cannot be used"))
        self.marks_button.setVisible(self._checked is not None)
        if self._at_once:
            self._leave_out()

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
        self.marks_button.setVisible(True)
        self._show_ready()

    def _show_remarks(self, remarks: list[Remark]) -> None:
        while item := self._remarks.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        for remark in remarks:
            self._remarks.addWidget(remark_row(remark))
            mend = mend_of(remark.remedy)
            if mend is not None and mend.action == "models":
                fetch = QPushButton(" " + fetch_text(mend.model))
                fetch.setIcon(icons.icon("download"))
                fetch.setAutoDefault(False)
                fetch.clicked.connect(partial(self._fetch, mend.model))
                self._remarks.addWidget(fetch)

    def _fetch(self, model: str) -> None:
        """Let a model be fetched, and look again with it."""
        self.model_asked.emit(model)
        self._look()

    def _choose_face(self, number: int) -> None:
        self._number = number
        self._look()

    def _turn(self) -> None:
        """Check the whole image again, rotated clockwise by 90 degrees."""
        self._turn_deg = ((self._turn_deg or 0) + 90) % 360
        self._checked = self._marks = self._number = None
        self.turn_button.setEnabled(False)
        self._look()

    def _mark(self) -> None:
        if self._checked is None:
            return
        face = self._checked.report.face
        found = marks_of(face.landmarks) if face is not None and self._marks is None else None
        dialog = MarksDialog(self._checked.rgb, self._marks, self, found)
        if dialog.exec_() == QDialog.Accepted and dialog.changed:
            self._marks = dialog.marks()
            self._look()

    def _show_ready(self) -> None:
        ok = self._checked is not None and self._checked.report.ok
        allowed = self.confirm.isChecked()
        self.add_button.setEnabled(ok and allowed and not self._at_once)
        self.all_button.setEnabled(allowed and not self._at_once)
        self.skip_button.setEnabled(not self._at_once)
        missing = ok and not allowed
        text = tr("Confirm first that you have permission to use this likeness.")
        set_note(self.problem, text if missing else "", "Muted")

    def _add(self) -> None:
        self.add_button.setEnabled(False)
        self._asked += 1  # a check that is under way must not enable the button
        set_note(self.problem, "")
        wanted = Import(
            self.path, self.choice(), self.name.text().strip(), self.source.text().strip(),
            self.licence.text().strip(), self.confirm.isChecked(),
        )  # fmt: skip
        self._avatars.add(wanted, self._added, self._not_added)

    def _added(self, avatar: Avatar) -> None:
        self.all_added.append(avatar)
        if not sip.isdeleted(self) and self.isVisible():  # it may have been closed meanwhile
            self._next()

    def _not_added(self, error: AvatarError) -> None:
        if sip.isdeleted(self):
            return
        if self._at_once:
            self._leave_out()
            return
        self._show_ready()
        set_note(self.problem, explained(error), "Danger")


def remark_row(remark: Remark) -> QWidget:
    """Create a row for a remark, with an icon, so that colour is not the only difference."""
    sign_name, colour = _SIGNS[remark.level]
    row = QWidget()
    sign = PlainLabel()
    sign.setPixmap(icons.pixmap(sign_name, 20, getattr(current(), colour), row.devicePixelRatioF()))
    words = QVBoxLayout()
    words.setSpacing(1)
    what = PlainLabel(tr(remark.what))
    what.setWordWrap(True)
    words.addWidget(what)
    if remark.remedy:
        words.addWidget(note(tr(remark.remedy)))
    line = QHBoxLayout(row)
    line.setContentsMargins(0, 0, 0, 0)
    line.addWidget(sign, 0, Qt.AlignTop)
    line.addLayout(words, 1)
    return row
