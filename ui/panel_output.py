"""Side panel: what leaves the program: virtual camera, its picture, recordings."""

from __future__ import annotations

import time

from PyQt5.QtWidgets import QCheckBox, QFileDialog, QPushButton, QWidget

from avatar.settings import Settings
from ui.actions import Actions
from ui.background import Lane
from ui.captures import CAMERA, Captures, CaptureState, other_programs_see
from ui.choice import Choice
from ui.language import tr
from ui.section import Section, note, set_note
from ui.services import Services
from ui.session import Session

VIEWERS_S = 5.0  # between two looks at who uses the virtual camera
SIZES = ("640x360", "640x480", "960x540", "1280x720", "1920x1080", "720x1280", "1080x1080")


class OutputSection(Section):
    """The virtual camera and what others see in it."""

    def __init__(
        self, session: Session, captures: Captures, actions: Actions, services: Services, slow: Lane,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("output", tr("Output"), parent)
        self._session, self._captures, self._services, self._slow = session, captures, services, slow
        self._viewers, self._counted_s, self._counting = 0, 0.0, False
        self.camera = actions.button("virtual_camera", self, text=True)
        self.camera.setSizePolicy(self.camera.sizePolicy().Expanding, self.camera.sizePolicy().Fixed)
        self.status = note()
        self.size_ = Choice(tr("Size"), [(size, size.replace("x", " × ")) for size in SIZES])
        self.size_.chosen.connect(self._choose_size)
        fits = (("blur", tr("Whole, on its own blur")), ("fit", tr("Whole, on black")), ("fill", tr("Cut to fill")))
        self.fit = Choice(tr("Fit"), fits)
        self.fit.chosen.connect(lambda fit: session.change("canvas", fit=fit))
        self.label = QCheckBox(tr("Label “AI avatar” in the corner"))
        self.label.clicked.connect(lambda on: session.change("canvas", label=on))
        self.sound = QCheckBox(tr("Record the microphone too"))
        self.sound.clicked.connect(lambda on: session.change("window", microphone=on))
        self.replay = QCheckBox(tr("Keep the last 30 seconds at hand"))
        self.replay.setToolTip(tr("Costs some of the processor, and 30 MB."))
        self.replay.clicked.connect(lambda on: session.change("window", replay=on))
        self.folder = QPushButton(tr("Folder for recordings…"))
        self.folder.clicked.connect(self._ask_folder)
        self.where = note()
        for widget in (
            self.camera, self.status, self.size_, self.fit, self.label, self.sound, self.replay, self.folder, self.where
        ):  # fmt: skip
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        captures.changed.connect(self.show_camera)
        self.follow(session.settings)
        self.show_camera(captures.state)

    def follow(self, settings: Settings) -> None:
        """Show what is set."""
        canvas = settings.canvas
        size = f"{canvas.width_px}x{canvas.height_px}"
        if self.size_.combo.findData(size) < 0:
            self.size_.combo.addItem(size.replace("x", " × "), size)
        self.size_.set_value(size)
        self.fit.set_value(canvas.fit)
        self.label.setChecked(canvas.label)
        self.sound.setChecked(settings.window.microphone)
        self.replay.setChecked(settings.window.replay)
        set_note(self.where, str(self._captures.folder()))

    def show_camera(self, state: CaptureState) -> None:
        """Say how the virtual camera is doing; called once a second too."""
        if state.camera_problem is not None:
            set_note(self.status, f"{state.camera_problem.what} {state.camera_problem.remedy}", "Danger")
        elif state.camera and not state.camera_facts:
            set_note(self.status, tr("Opening…"))
        elif state.camera:
            sent = self._session.pipeline.statistics().outputs.get(CAMERA)
            rate = tr("sending {rate:.0f} fps", rate=sent.rate if sent else 0.0)
            set_note(self.status, f"{state.camera_facts}: {rate}{self._used_by()}", "Good")
            self._count_viewers()
        else:
            self._viewers = 0
            name = other_programs_see(self._session.settings.canvas)
            set_note(self.status, tr("Off. Switch it on, then choose “{name}” as the camera in your call.", name=name))

    def _used_by(self) -> str:
        """Where the system tells: nobody seen may be somebody hidden, so nothing is said of that."""
        if self._viewers == 0:
            return ""
        one = self._viewers == 1
        return ", " + (tr("in use by 1 program") if one else tr("in use by {count} programs", count=self._viewers))

    def _count_viewers(self) -> None:
        if not self._counting and time.monotonic() - self._counted_s > VIEWERS_S:
            self._counting = True  # the lane may be waiting for a camera that hangs
            self._slow.run(self._services.count_viewers, self._take_viewers, lambda _: self._take_viewers(0))

    def _take_viewers(self, count: int) -> None:
        self._counting, self._counted_s = False, time.monotonic()
        self._viewers = count if self._captures.state.camera else 0

    def _choose_size(self, size: str) -> None:
        width, height = size.split("x")
        self._session.change("canvas", width_px=int(width), height_px=int(height))

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, tr("Folder for recordings"), str(self._captures.folder()))
        if chosen:
            self._session.change("window", captures=chosen)
