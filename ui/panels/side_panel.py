"""The side panel: all settings that can be changed while running, in sections."""

from __future__ import annotations

from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QScrollArea, QVBoxLayout, QWidget

from ui.actions import Actions
from ui.background import Lane
from ui.captures import Captures
from ui.panels.calibration import CalibrationSection
from ui.panels.camera import CameraSection
from ui.panels.crop import CropSection
from ui.panels.engine import EngineSection
from ui.panels.expressions import ExpressionsSection
from ui.panels.frame import FrameSection
from ui.panels.mirror import MirrorSection
from ui.panels.motion import MotionSection
from ui.panels.output import OutputSection
from ui.panels.presets import PresetsSection
from ui.panels.sound import SoundSection
from ui.services import Services
from ui.session import Session

LEAST_PX, MOST_PX = 330, 440


class SidePanel(QWidget):
    """A scrollable column of sections, whose folding is saved."""

    def __init__(
        self, session: Session, captures: Captures, actions: Actions, services: Services, cameras: Lane, models: Lane,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        super().__init__(parent)
        self.setObjectName("Panel")
        self.setAttribute(Qt.WA_StyledBackground)
        self._session = session
        self.camera = CameraSection(session, actions, services, cameras)
        self.calibration = CalibrationSection(session, actions)
        self.motion = MotionSection(session)
        self.output = OutputSection(session, captures, actions, services, models)
        self.frame_ = FrameSection(session, actions, models)
        self.sound = SoundSection(session, captures.monitor, services, models)
        self.expressions = ExpressionsSection(session, actions)
        self.presets = PresetsSection(session, actions)
        self.mirror = MirrorSection(session, actions)
        self.crop = CropSection(session, actions)
        self.engine = EngineSection(session, actions, services, models)
        self.sections = (
            self.camera, self.frame_, self.calibration, self.output, self.sound, self.motion, self.expressions,
            self.presets, self.mirror, self.crop,
            self.engine,
        )  # fmt: skip
        sections = QWidget()
        sections.setObjectName("Sections")
        column = QVBoxLayout(sections)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(4)
        for section in self.sections:
            column.addWidget(section)
            section.folded.connect(self._remember)
        column.addStretch()
        self.area = QScrollArea(self)
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.area.setWidget(sections)
        self.area.setFocusPolicy(Qt.NoFocus)
        bar = self.area.verticalScrollBar().sizeHint().width()
        needed = sections.minimumSizeHint().width() + bar + 2  # languages with long words need more
        self.setMinimumWidth(min(max(needed, LEAST_PX), MOST_PX))
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.area)
        folded = session.settings.window.folded.split()
        for section in self.sections:
            section.set_folded(section.name in folded)

    def reveal(self, name: str) -> None:
        """Unfold a section, scroll to it, and give its first control the focus."""
        section = next(each for each in self.sections if each.name == name)
        section.set_folded(False)
        self.area.ensureWidgetVisible(section)
        first = section.body.nextInFocusChain()
        if first is not None:
            first.setFocus(Qt.ShortcutFocusReason)

    def _remember(self) -> None:
        folded = [section.name for section in self.sections if section.body.isHidden()]
        self._session.change("window", folded=" ".join(folded))
