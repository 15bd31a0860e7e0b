"""The first-start guide: three steps beside the avatar, each with visible feedback; skippable at any time."""

from __future__ import annotations

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from avatar.live.config import IDLE, VOICE
from avatar.live.events import CalibrationCountdown, CalibrationDone, CalibrationRefused, Event
from avatar.settings import Settings
from ui.actions import Actions
from ui.captures import Captures, CaptureState, other_programs_see
from ui.look import icons
from ui.look.language import explained, tr
from ui.look.theme import current
from ui.panels.calibration import score_in_words
from ui.panels.camera import CameraSection, name_of
from ui.panels.section import note, set_note
from ui.session import LiveState, Session
from ui.widgets.plain_text import PlainLabel

CAMERA, AVATAR, CALIBRATE, READY = range(4)


class Guide(QWidget):
    """Pages for camera, avatar and calibration, then instructions for a call."""

    finished = pyqtSignal()

    def __init__(
        self, session: Session, captures: Captures, cameras: CameraSection, actions: Actions,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.setObjectName("Panel")
        self.setAttribute(Qt.WA_StyledBackground)
        self.setMinimumWidth(320)
        self._session, self._captures, self._cameras, self._actions = session, captures, cameras, actions
        self._measured = False  # a neutral face was set in this guide
        self.title = PlainLabel()
        self.title.setObjectName("Title")
        self.title.setWordWrap(True)
        self.steps = note()
        self.pages = QStackedWidget()
        for page in (self._camera_page(), self._avatar_page(), self._calibration_page(), self._ready_page()):
            self.pages.addWidget(page)
        self.back = QPushButton(tr("Back"))
        self.back.clicked.connect(lambda: self.go(self.pages.currentIndex() - 1))
        self.next = QPushButton()
        self.next.setObjectName("Primary")
        self.next.clicked.connect(self._next)
        self.skip = QPushButton(tr("Skip the guide"))
        self.skip.setObjectName("Plain")
        self.skip.clicked.connect(self.finished)
        row = QHBoxLayout()
        row.addWidget(self.back)
        row.addStretch()
        row.addWidget(self.next)
        line = QFrame()
        line.setObjectName("Line")
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 20, 20, 16)
        column.setSpacing(12)
        column.addWidget(self.steps)
        column.addWidget(self.title)
        column.addWidget(self.pages, 1)
        column.addWidget(line)
        column.addLayout(row)
        column.addWidget(self.skip, 0, Qt.AlignRight)
        session.changed.connect(self._follow)
        session.state_changed.connect(self._show_state)
        session.happened.connect(self._take_in)
        captures.changed.connect(self._show_captures)
        cameras.choice.combo.model().rowsInserted.connect(self._list_cameras)
        self._list_cameras()
        self.go(CAMERA)
        self._show_state(session.state)
        self._show_captures(captures.state)

    def begin(self) -> None:
        """Show the first step."""
        self._measured = False
        self.go(CAMERA)

    def go(self, step: int) -> None:
        """Show a step."""
        step = min(max(step, CAMERA), READY)
        titles = (tr("Choose your camera"), tr("Choose an avatar"), tr("Set your neutral face"), tr("You are ready"))
        self.pages.setCurrentIndex(step)
        self.title.setText(titles[step])
        self.steps.setText(tr("Step {n} of 3", n=step + 1) if step < READY else tr("Done"))
        self.back.setVisible(step > CAMERA)
        self.skip.setVisible(step < READY)
        self.next.setText(" " + (tr("Finish") if step == READY else tr("Next")))
        self._show_state(self._session.state)

    def _next(self) -> None:
        if self.pages.currentIndex() == READY:
            self.finished.emit()
        else:
            self.go(self.pages.currentIndex() + 1)

    # the pages

    def _camera_page(self) -> QWidget:
        page, column = _page()
        column.addWidget(note(tr("Your picture stays on this computer. Others see only the avatar.")))
        self._radios = QVBoxLayout()
        self._group = QButtonGroup(self)
        column.addLayout(self._radios)
        again = QPushButton(" " + tr("Refresh"))
        again.setIcon(icons.icon("refresh"))
        again.clicked.connect(self._cameras.look_for_cameras)
        column.addWidget(again, 0, Qt.AlignLeft)
        self.camera_status = note()
        column.addWidget(self.camera_status)
        column.addStretch()
        return page

    def _avatar_page(self) -> QWidget:
        page, column = _page()
        column.addWidget(note(tr("Click one in the row below the picture, or press its number.")))
        column.addWidget(note(tr("Or add a picture file of your own: one face, from the front, well lit.")))
        self.add = self._actions.button("import", self, text=True)
        column.addWidget(self.add, 0, Qt.AlignLeft)
        self.avatar_status = note("", "Good")
        column.addWidget(self.avatar_status)
        column.addStretch()
        return page

    def _calibration_page(self) -> QWidget:
        page, column = _page()
        how = tr("Sit the way you will during the call. Look straight ahead, relaxed, with your mouth closed.")
        column.addWidget(note(how))
        self.calibrate = QPushButton(" " + tr("Start countdown"))
        self.calibrate.setIcon(icons.icon("target"))
        self.calibrate.clicked.connect(self._actions["guided"].trigger)
        column.addWidget(self.calibrate, 0, Qt.AlignLeft)
        self.calibration_status = note()
        column.addWidget(self.calibration_status)
        column.addStretch()
        return page

    def _ready_page(self) -> QWidget:
        page, column = _page()
        column.addWidget(note(tr("The avatar moves as you do. To appear with it in a call:")))
        name = other_programs_see(self._session.settings)
        column.addWidget(note(tr("1. Switch the virtual camera on."), ""))
        self.camera = QPushButton()
        self.camera.clicked.connect(self._actions["virtual_camera"].trigger)
        column.addWidget(self.camera, 0, Qt.AlignLeft)
        self.virtual_status = note()
        column.addWidget(self.virtual_status)
        column.addWidget(note(tr("2. In Zoom, Meet, Teams or OBS choose “{name}” as the camera.", name=name), ""))
        keys = {
            "freeze": tr("Freeze at once"), "next_avatar": tr("Other avatar"), "calibrate": tr("Calibrate again"),
            "keys": tr("All keys"),
        }  # fmt: skip
        table = QGridLayout()
        table.setHorizontalSpacing(16)
        table.setColumnStretch(1, 1)
        for row, (name, text) in enumerate(keys.items()):
            key = PlainLabel(self._actions.key_text(name))
            font = key.font()
            font.setBold(True)
            key.setFont(font)
            table.addWidget(key, row, 0)
            table.addWidget(PlainLabel(text), row, 1)
        column.addSpacing(8)
        column.addLayout(table)
        column.addStretch()
        return page

    # what changes

    def _list_cameras(self, *_: object) -> None:
        while item := self._radios.takeAt(0):
            if widget := item.widget():
                widget.deleteLater()
        for button in self._group.buttons():
            self._group.removeButton(button)
        options = [(camera.id, name_of(camera)) for camera in self._cameras.cameras()]
        for value, text in [*options, (VOICE, tr("No camera: follow my voice")), (IDLE, tr("No camera for now"))]:
            radio = QRadioButton(text)
            radio.setProperty("source", value)
            radio.setChecked(value == (self._session.settings.camera.source or IDLE))
            radio.clicked.connect(lambda _on, value=value: self._session.change("camera", source=value))
            self._group.addButton(radio)
            self._radios.addWidget(radio)
        self._show_state(self._session.state)

    def _follow(self, settings: Settings) -> None:
        for button in self._group.buttons():
            button.setChecked(button.property("source") == (settings.camera.source or IDLE))
        self._show_state(self._session.state)

    def _show_state(self, state: LiveState) -> None:
        idle = self._idle()
        if not idle and state.face:
            set_note(self.camera_status, tr("That is you in the corner. Your face is followed. Press Next."), "Good")
        elif not idle and state.source:
            set_note(self.camera_status, tr("The camera works. Move so that your face is in the picture."))
        elif state.source_problem:
            set_note(self.camera_status, state.source_problem, "Danger")
        elif not idle:
            set_note(self.camera_status, tr("Opening the camera…"))
        elif self._session.settings.camera.source == VOICE:
            speaks = tr("The avatar speaks as you do.")
            set_note(self.camera_status, *((speaks, "Good") if state.source else (tr("Opening the microphone…"),)))
        elif self._cameras.cameras():
            set_note(self.camera_status, tr("Click the one that shows you."))
        else:
            set_note(
                self.camera_status, tr("No camera was found. Plug one in and press Refresh, or continue without one.")
            )
        if state.preparing:
            text = tr("Preparing {name}…", name=state.preparing.capitalize())
            set_note(self.avatar_status, text, "Muted")
        else:
            shown = tr("{name} is shown.", name=state.avatar.capitalize()) if state.avatar else ""
            set_note(self.avatar_status, shown, "Good")
        self.calibrate.setEnabled(not idle)
        if idle:
            set_note(self.calibration_status, tr("Without a camera there is nothing to calibrate. Just continue."))
        elif state.score is None and not state.calibrating:
            set_note(self.calibration_status, tr("Press “Start countdown” and keep still until it is over."))
        self.next.setEnabled(not state.calibrating)
        self._show_way()

    def _show_captures(self, state: CaptureState) -> None:
        self.camera.setText(f" {state.camera_text}")
        if state.camera_problem is not None:
            set_note(self.virtual_status, explained(state.camera_problem), "Danger")
        elif state.camera:
            on = tr("It is on: your calls can choose it now. ({facts})", facts=state.camera_facts)
            text, level = (on, "Good") if state.camera_facts else (tr("Opening…"), "Muted")
            set_note(self.virtual_status, text, level)
        else:
            set_note(self.virtual_status, "")
        self._show_way()

    def _show_way(self) -> None:
        """Highlight the button for the next step: the camera first, then the countdown, the virtual camera last."""
        step = self.pages.currentIndex()
        measure_first = step == CALIBRATE and not self._idle() and not self._measured
        camera_first = step == CAMERA and self._idle() and bool(self._cameras.cameras())
        switch_first = step == READY and not self._captures.state.camera
        _emphasise(
            self.next, "check" if step == READY else "right", not (camera_first or measure_first or switch_first)
        )
        _emphasise(self.calibrate, "target", measure_first)
        _emphasise(self.camera, "broadcast", switch_first)

    def _take_in(self, event: Event) -> None:
        match event:
            case CalibrationCountdown(seconds=seconds):
                set_note(self.calibration_status, str(seconds) if seconds else tr("Look straight ahead…"))
            case CalibrationDone(score=score, how="guided" | "instant"):
                self._measured = True
                self._show_way()
                if self.calibrate.hasFocus():
                    self.next.setFocus()
                set_note(self.calibration_status, score_in_words(score), "Good" if score >= 0.5 else "Warning")
            case CalibrationRefused(why=why):
                set_note(self.calibration_status, why, "Warning")

    def _idle(self) -> bool:
        return not self._session.has_camera


def _emphasise(button: QPushButton, icon: str, on: bool) -> None:
    name = "Primary" if on else ""
    button.setIcon(icons.icon(icon, current().on_accent if on else None))
    if button.objectName() != name:
        button.setObjectName(name)
        if style := button.style():
            style.unpolish(button)
            style.polish(button)


def _page() -> tuple[QWidget, QVBoxLayout]:
    page = QWidget()
    column = QVBoxLayout(page)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(12)
    return page, column
