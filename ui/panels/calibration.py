"""Side panel: calibration of the reference frame."""

from __future__ import annotations

from PyQt5.QtCore import QSize
from PyQt5.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QSizePolicy, QWidget

from avatar.settings import Settings
from ui.actions import Actions
from ui.look import icons
from ui.look.language import tr
from ui.look.theme import current
from ui.panels.section import Section, note, set_note
from ui.session import LiveState, Session
from ui.widgets.switches import Switch

GOOD, FAIR = 0.75, 0.5  # thresholds of the score


class CalibrationSection(Section):
    """Section with guided and instant calibration, undo, and the score."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__("calibration", tr("Calibration"), parent)
        self._session = session
        self.guided = QPushButton(" " + tr("Calibrate"))
        self.guided.setObjectName("Primary")
        self.guided.setToolTip(actions["guided"].toolTip())
        self.guided.setIcon(icons.icon("target", current().on_accent))
        self.guided.setIconSize(QSize(18, 18))
        self.guided.clicked.connect(actions["guided"].trigger)
        self.now = actions.button("calibrate", self, text=True)
        self.undo = actions.button("undo_calibration", self)
        self.recentre = actions.button("recentre", self, text=True)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(tr("How neutral your face was"))
        self.words = note()
        self.search = Switch(actions["search"])
        row = QHBoxLayout()
        for button in (self.now, self.recentre):
            button.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
            row.addWidget(button)
        row.addWidget(self.undo)
        self.rows.addWidget(note(tr("Look straight ahead, relaxed, mouth closed. The avatar then moves as you do.")))
        self.rows.addWidget(self.guided)
        self.rows.addLayout(row)
        for widget in (self.bar, self.words, self.search):
            self.rows.addWidget(widget)
        session.state_changed.connect(self._show)
        session.changed.connect(self._follow)
        self._show(session.state)

    def _follow(self, settings: Settings) -> None:
        self._show(self._session.state)

    def _show(self, state: LiveState) -> None:
        idle = not self._session.has_camera
        for button in (self.guided, self.now, self.undo, self.recentre):
            button.setEnabled(not idle and not state.calibrating)
        self.bar.setVisible(state.score is not None and not idle)
        if idle:
            set_note(self.words, tr("Needs a camera."))
        elif state.calibrating:
            set_note(self.words, tr("Look straight ahead…"))
        elif state.score is None:
            set_note(self.words, tr("Not calibrated yet."), "Warning")
        else:
            self.bar.setValue(round(100 * state.score))
            set_note(self.words, f"{score_in_words(state.score)} ({state.score:.0%})")


def score_in_words(score: float) -> str:
    """Describe the quality of a reference frame in words."""
    if score >= GOOD:
        return tr("Good calibration")
    if score >= FAIR:
        return tr("Usable. Relax your face and try again for a better one.")
    return tr("Poor: your face was not at rest. Try again.")
