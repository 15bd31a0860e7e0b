"""Side panel: outputs of the program: virtual camera, canvas, recordings."""

from __future__ import annotations

import time

from PyQt5.QtWidgets import QCheckBox, QFileDialog, QPushButton, QWidget

from avatar.settings import Settings
from ui.actions import Actions
from ui.background import Lane
from ui.captures import CAMERA, Captures, CaptureState, kind_of_recording, other_programs_see
from ui.look.language import explained, tr
from ui.panels.browser import BrowserPart
from ui.panels.section import Section, note, set_note
from ui.services import Services
from ui.session import Session
from ui.widgets.choice import Choice
from ui.widgets.switches import Switch

VIEWERS_S = 5.0  # interval of counting the virtual camera's viewers
SIZES = ("640x360", "640x480", "960x540", "1280x720", "1920x1080", "720x1280", "1080x1080")


class OutputSection(Section):
    """Section for the virtual camera, the canvas and recordings."""

    def __init__(
        self, session: Session, captures: Captures, actions: Actions, services: Services, slow: Lane,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__("output", tr("Output"), parent)
        self._session, self._captures, self._services, self._slow = session, captures, services, slow
        self._viewers, self._counted_s, self._counting = 0, 0.0, False
        self._devices: tuple[str, ...] = ()
        self.camera = actions.button("virtual_camera", self, text=True)
        self.camera.setSizePolicy(self.camera.sizePolicy().Expanding, self.camera.sizePolicy().Fixed)
        self.status = note()
        self.device = Choice(tr("Device"))
        self.device.chosen.connect(lambda name: session.change("virtual_camera", device=name))
        self.with_program = Switch(actions["camera_with_program"], tr("Start the virtual camera with the program"))
        self.browser = BrowserPart(session, captures, actions)
        self.size_ = Choice(tr("Size"), [(size, size.replace("x", " × ")) for size in SIZES])
        self.size_.chosen.connect(self._choose_size)
        self.label = QCheckBox(tr("Label “AI avatar” in the corner"))
        self.label.clicked.connect(lambda on: session.change("canvas", label=on))
        self.recording = Choice(
            tr("Recordings"),
            [
                ("auto", tr("MP4; WebM if transparent")), ("mp4", tr("MP4")), ("webm", tr("WebM, transparent")),
                ("png", tr("PNG pictures, transparent")),
            ],
        )  # fmt: skip
        self.recording.chosen.connect(lambda kind: session.change("window", recording=kind))
        self.about_recording = note()
        self.replay = QCheckBox(tr("Instant replay (30 s)"))
        self.replay.setToolTip(tr("Takes some processor time and 30 MB of memory."))
        self.replay.clicked.connect(lambda on: session.change("window", replay=on))
        self.folder = QPushButton(tr("Folder for recordings…"))
        self.folder.clicked.connect(self._ask_folder)
        self.where = note()
        for widget in (
            self.camera, self.status, self.device, self.with_program, self.browser, self.size_, self.label,
            self.recording, self.about_recording, self.replay, self.folder, self.where,
        ):  # fmt: skip
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        captures.changed.connect(self.show_camera)
        self.follow(session.settings)
        self.show_camera(captures.state)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        canvas = settings.canvas
        size = f"{canvas.width_px}x{canvas.height_px}"
        if self.size_.combo.findData(size) < 0:
            self.size_.combo.addItem(size.replace("x", " × "), size)
        self.size_.set_value(size)
        self._offer_devices(settings.virtual_camera.device)
        self.label.setChecked(canvas.label)
        self.recording.set_value(settings.window.recording)
        set_note(self.about_recording, self._about_recording(settings))
        self.replay.setChecked(settings.window.replay)
        set_note(self.where, str(self._captures.folder()))

    def _about_recording(self, settings: Settings) -> str:
        """Say what the next recording lacks, with the present background and sound."""
        kind, clear = kind_of_recording(settings), settings.canvas.background == "transparent"
        if kind == "mp4":
            return tr("MP4 shows the portrait's own background.") if clear else ""
        if kind == "png":
            return tr("A folder of pictures: no sound, and about 20 MB a second.")
        return tr("For editors and OBS. Some players and websites do not play it.")

    def look_for_devices(self) -> None:
        """List the virtual cameras in the background."""
        self._slow.run(self._services.list_virtual_cameras, self._found, lambda _: self._found(()))

    def _found(self, names: tuple[str, ...]) -> None:
        self._devices = names
        self._offer_devices(self._session.settings.virtual_camera.device)

    def _offer_devices(self, chosen: str) -> None:
        """Offer the devices where there is a choice, or where the one that was chosen is missing."""
        options = [("", tr("The first free one")), *((name, name) for name in self._devices)]
        if chosen and chosen not in self._devices:
            options.append((chosen, tr("{name} (not found)", name=chosen)))
        self.device.set_options(options)
        self.device.set_value(chosen)
        self.device.setVisible(len(self._devices) > 1 or bool(chosen))

    def show_camera(self, state: CaptureState) -> None:
        """Show the state of the virtual camera; also called once a second."""
        if state.camera_problem is not None:
            set_note(self.status, explained(state.camera_problem), "Danger")
        elif state.camera and not state.camera_facts:
            set_note(self.status, tr("Opening…"))
        elif state.camera:
            sent = self._session.pipeline.statistics().outputs.get(CAMERA)
            rate = tr("sending {rate:.0f} fps", rate=sent.rate if sent else 0.0)
            set_note(self.status, f"{tr(state.camera_facts)}: {rate}{self._used_by()}", "Good")
            self._count_viewers()
        else:
            self._viewers = 0
            name = other_programs_see(self._session.settings)
            set_note(self.status, tr("Off. Switch it on, then choose “{name}” as the camera in your call.", name=name))

    def _used_by(self) -> str:
        """Describe the viewers, if the system reports them; empty at zero, because viewers may be hidden."""
        if self._viewers == 0:
            return ""
        one = self._viewers == 1
        return ", " + (tr("in use by 1 program") if one else tr("in use by {count} programs", count=self._viewers))

    def _count_viewers(self) -> None:
        if not self._counting and time.monotonic() - self._counted_s > VIEWERS_S:
            self._counting = True  # the lane may be blocked by a camera that hangs
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
