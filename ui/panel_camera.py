"""Side panel: what drives the avatar, and what is laid over the camera's picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PyQt5.QtWidgets import QFileDialog, QHBoxLayout, QToolButton, QWidget

from avatar.errors import AvatarError
from avatar.images import SUFFIXES, VIDEO_SUFFIXES
from avatar.live.options import IDLE
from avatar.settings import Settings
from ui import icons
from ui.actions import Actions
from ui.background import Lane
from ui.choice import Choice
from ui.language import tr
from ui.section import Section, note, set_note
from ui.services import Services
from ui.session import LiveState, Session
from ui.switches import Switch
from ui.value_slider import ValueSlider

if TYPE_CHECKING:
    from avatar.sources.camera_list import CameraInfo

FILE, FOLDER = "?file", "?folder"  # entries that ask for one


def name_of(camera: CameraInfo) -> str:
    """Return what a list calls a camera."""
    return camera.name if camera.has_signal else tr("{name} (no signal)", name=camera.name)


class CameraSection(Section):
    """Camera, video file, folder or no camera."""

    def __init__(
        self, session: Session, actions: Actions, services: Services, lane: Lane, parent: QWidget | None = None
    ) -> None:
        super().__init__("camera", tr("Camera"), parent)
        self._session, self._services, self._lane = session, services, lane
        self._cameras: tuple[CameraInfo, ...] = ()
        self.choice = Choice(tr("The avatar follows"))
        self.choice.chosen.connect(self._choose)
        self.refresh = QToolButton(self)
        self.refresh.setIcon(icons.icon("refresh"))
        self.refresh.setAccessibleName(tr("Look for cameras again"))
        self.refresh.setToolTip(tr("Look for cameras again"))
        self.refresh.clicked.connect(self.look_for_cameras)
        row = QHBoxLayout()
        row.addWidget(self.choice, 1)
        row.addWidget(self.refresh)
        row.setAlignment(self.refresh, row.alignment())
        self.status = note()
        self.ghost = ValueSlider(tr("Portrait over the camera picture"), 0, 100)
        self.ghost.moved.connect(lambda percent: session.change("window", ghost=percent / 100))
        self.landmarks = Switch(actions["landmarks"], tr("Show the landmarks"))
        self.rows.addLayout(row)
        self.rows.addWidget(self.status)
        self.rows.addWidget(self.ghost)
        self.rows.addWidget(self.landmarks)
        session.changed.connect(self.follow)
        session.state_changed.connect(self._show_state)
        self.follow(session.settings)
        self._show_state(session.state)

    def look_for_cameras(self) -> None:
        """Ask the system which cameras there are; the list changes when it has answered."""
        self.refresh.setEnabled(False)
        set_note(self.status, tr("Looking for cameras…"))
        self._lane.run(self._services.list_cameras, self._found, self._not_found)

    def follow(self, settings: Settings) -> None:
        """Show what is set."""
        self._offer(settings.camera.source or IDLE)
        self.ghost.set_value(round(100 * settings.window.ghost))

    def cameras(self) -> tuple[CameraInfo, ...]:
        """Those that were found last."""
        return self._cameras

    def _found(self, cameras: tuple[CameraInfo, ...]) -> None:
        self._cameras = cameras
        self.refresh.setEnabled(True)
        self._offer(self._session.settings.camera.source or IDLE)
        self._show_state(self._session.state)

    def _not_found(self, error: AvatarError) -> None:
        self.refresh.setEnabled(True)
        set_note(self.status, f"{error.what} {error.remedy}", "Warning")

    def _offer(self, source: str) -> None:
        options = [(IDLE, tr("No camera: idle motion"))]
        options += [(camera.id, name_of(camera)) for camera in self._cameras]
        if source not in [value for value, _ in options]:
            options.append((source, Path(source).name or source))
        options += [(FILE, tr("Video or picture…")), (FOLDER, tr("Folder of pictures…"))]
        self.choice.set_options(options)
        self.choice.set_value(source)

    def _choose(self, value: str) -> None:
        if value in (FILE, FOLDER):
            self.choice.set_value(self._session.settings.camera.source or IDLE)
            value = self._ask_file() if value == FILE else self._ask_folder()
        if value:
            self._session.change("camera", source=value)

    def _ask_file(self) -> str:
        patterns = " ".join(f"*{suffix}" for suffix in sorted(VIDEO_SUFFIXES | SUFFIXES))
        filters = f"{tr('Videos and pictures')} ({patterns})"
        return QFileDialog.getOpenFileName(self, tr("What should the avatar follow?"), "", filters)[0]

    def _ask_folder(self) -> str:
        return QFileDialog.getExistingDirectory(self, tr("What should the avatar follow?"))

    def _show_state(self, state: LiveState) -> None:
        source = self._session.settings.camera.source or IDLE
        if source == IDLE and not self._cameras:
            text = tr("No camera was found. Plug one in and look again; until then the avatar idles.")
        elif source == IDLE:
            text = tr("The avatar moves by itself. Choose your camera to drive it.")
        elif not state.source:
            text = tr("Opening…")
        elif state.face:
            text = tr("Your face is followed.")
        else:
            text = tr("It delivers, but no face is in the picture.")
        set_note(self.status, text)
