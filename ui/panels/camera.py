"""Side panel: the driving source, and overlays on the camera image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PyQt5.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QToolButton, QWidget

from avatar.errors import AvatarError
from avatar.images.load import SUFFIXES, VIDEO_SUFFIXES
from avatar.live.config import IDLE, VOICE
from avatar.settings import CameraSettings, Settings
from avatar.system.v4l2_modes import USUAL_RATES, USUAL_SIZES, CameraMode
from ui.actions import Actions
from ui.background import Lane
from ui.look import icons
from ui.look.language import explained, tr
from ui.panels.section import Section, note, set_note
from ui.services import Services
from ui.session import LiveState, Session
from ui.widgets.choice import Choice
from ui.widgets.switches import Switch
from ui.widgets.value_slider import ValueSlider

if TYPE_CHECKING:
    from avatar.sources.camera_list import CameraInfo

USUAL_MODES = tuple(CameraMode(*size, USUAL_RATES) for size in USUAL_SIZES)
FILE, FOLDER = "?file", "?folder"  # entries that open a file dialog


def name_of(camera: CameraInfo) -> str:
    """Return a camera's name for lists."""
    return camera.name if camera.has_signal else tr("{name} (no signal)", name=camera.name)


def _rates_of(camera: CameraInfo, size: tuple[int, int]) -> tuple[int, ...]:
    """Return the rates of a camera at a size; the usual ones where it tells nothing."""
    modes = camera.modes or USUAL_MODES
    return next((mode.rates for mode in modes if mode.size == size and mode.rates), () if camera.modes else USUAL_RATES)


class CameraSection(Section):
    """Section for the source: camera, video file, folder or none."""

    def __init__(
        self, session: Session, actions: Actions, services: Services, lane: Lane, parent: QWidget | None = None
    ) -> None:
        super().__init__("camera", tr("Camera"), parent)
        self._session, self._services, self._lane = session, services, lane
        self._cameras: tuple[CameraInfo, ...] = ()
        self.choice = Choice(tr("Camera"))
        self.choice.chosen.connect(self._choose)
        self.refresh = QToolButton(self)
        self.refresh.setIcon(icons.icon("refresh"))
        self.refresh.setAccessibleName(tr("Refresh"))
        self.refresh.setToolTip(tr("Refresh"))
        self.refresh.clicked.connect(self.look_for_cameras)
        row = QHBoxLayout()
        row.addWidget(self.choice, 1)
        row.addWidget(self.refresh)
        row.setAlignment(self.refresh, row.alignment())
        self.size_ = Choice(tr("Camera size"))
        self.size_.chosen.connect(self._choose_size)
        self.rate = Choice(tr("Frames per second"))
        self.rate.chosen.connect(lambda rate: session.change("camera", rate=int(rate)))
        modes = QHBoxLayout()
        modes.addWidget(self.size_, 1)
        modes.addWidget(self.rate, 1)
        self.status = note()
        self.speak = QPushButton(tr("Follow my voice instead"))
        self.speak.setVisible(False)
        self.speak.clicked.connect(lambda: session.change("camera", source=VOICE))
        self.ghost = ValueSlider(tr("Overlay portrait on preview"), 0, 100)
        self.ghost.moved.connect(lambda percent: session.change("window", ghost=percent / 100))
        self.landmarks = Switch(actions["landmarks"], tr("Show the landmarks"))
        self.rows.addLayout(row)
        self.rows.addLayout(modes)
        self.rows.addWidget(self.status)
        self.rows.addWidget(self.speak)
        self.rows.addWidget(self.ghost)
        self.rows.addWidget(self.landmarks)
        session.changed.connect(self.follow)
        session.state_changed.connect(self._show_state)
        self.follow(session.settings)

    def look_for_cameras(self) -> None:
        """List the cameras in the background; the choices are updated afterwards."""
        self.refresh.setEnabled(False)
        set_note(self.status, tr("Looking for cameras…"))
        self._lane.run(self._services.list_cameras, self._found, self._not_found)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        self._offer(settings.camera.source or IDLE)
        self._offer_modes(settings.camera)
        self.ghost.set_value(round(100 * settings.window.ghost))
        self._show_state(self._session.state)

    def cameras(self) -> tuple[CameraInfo, ...]:
        """Return the cameras found by the last search."""
        return self._cameras

    def _found(self, cameras: tuple[CameraInfo, ...]) -> None:
        self._cameras = cameras
        self.refresh.setEnabled(True)
        self._offer(self._session.settings.camera.source or IDLE)
        self._offer_modes(self._session.settings.camera)
        self._show_state(self._session.state)

    def _not_found(self, error: AvatarError) -> None:
        self.refresh.setEnabled(True)
        set_note(self.status, explained(error), "Warning")

    def _offer(self, source: str) -> None:
        options = [(IDLE, tr("No camera: idle motion")), (VOICE, tr("No camera: follow my voice"))]
        options += [(camera.id, name_of(camera)) for camera in self._cameras]
        if source not in [value for value, _ in options]:
            options.append((source, Path(source).name or source))
        options += [(FILE, tr("Video or picture…")), (FOLDER, tr("Folder of pictures…"))]
        self.choice.set_options(options)
        self.choice.set_value(source)

    def _offer_modes(self, settings: CameraSettings) -> None:
        """Offer the sizes of the chosen camera and its rates at that size; the usual ones where it tells nothing."""
        camera = next((each for each in self._cameras if each.id == settings.source), None)
        for choice in (self.size_, self.rate):
            choice.setVisible(camera is not None)
        if camera is None:
            return
        chosen = (settings.width_px, settings.height_px)
        sizes = sorted({*(mode.size for mode in camera.modes or USUAL_MODES), chosen})
        self.size_.set_options([(f"{width}x{height}", f"{width} × {height}") for width, height in sizes])
        self.size_.set_value(f"{chosen[0]}x{chosen[1]}")
        rates = sorted({*_rates_of(camera, chosen), settings.rate})
        self.rate.set_options([(str(rate), str(rate)) for rate in rates])
        self.rate.set_value(str(settings.rate))

    def _choose_size(self, text: str) -> None:
        """Ask for another size, at the rate nearest to the present one that the camera has for it."""
        width, height = (int(side) for side in text.split("x"))
        settings = self._session.settings.camera
        camera = next(each for each in self._cameras if each.id == settings.source)
        rates = _rates_of(camera, (width, height)) or (settings.rate,)
        rate = min(rates, key=lambda each: abs(each - settings.rate))
        self._session.change("camera", width_px=width, height_px=height, rate=rate)

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
        self.speak.setVisible(source == IDLE and not self._cameras)
        if source != IDLE and state.source_problem:
            set_note(self.status, state.source_problem, "Danger")
            return
        if source == VOICE:
            text = tr("The avatar speaks as you do.") if state.source else tr("Opening the microphone…")
        elif source == IDLE and not self._cameras:
            text = tr("No camera was found. Plug one in and press Refresh; until then the avatar idles.")
        elif source == IDLE:
            text = tr("The avatar moves by itself. Choose your camera to drive it.")
        elif not state.source:
            text = tr("Opening…")
        elif state.face:
            text = tr("Your face is followed.")
        else:
            text = tr("No face found. Move so that your face is in the picture.")
        set_note(self.status, text + self._sent_instead(state))

    def _sent_instead(self, state: LiveState) -> str:
        """Return a remark if the camera sends another size than the chosen one."""
        settings = self._session.settings.camera
        is_camera = any(camera.id == settings.source for camera in self._cameras)
        if not (is_camera and state.source and any(state.sends)):
            return ""
        width, height = state.sends
        if (width, height) == (settings.width_px, settings.height_px):
            return ""
        return " " + tr("The camera sends {size}.", size=f"{width}\u00a0×\u00a0{height}")
