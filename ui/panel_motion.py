"""Side panel: how the motion is carried over."""

from __future__ import annotations

from PyQt5.QtWidgets import QCheckBox, QPushButton, QWidget

from avatar.settings import MotionSettings, Settings
from ui.language import tr
from ui.section import Section
from ui.session import Session
from ui.value_slider import ValueSlider


class MotionSection(Section):
    """Strengths, smoothing, relative motion."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("motion", tr("Motion"), parent)
        self.head = ValueSlider(tr("Head"), 0, 200)
        self.head.moved.connect(lambda percent: session.change("motion", strength_head=percent / 100))
        self.expression = ValueSlider(tr("Expression"), 0, 200)
        self.expression.moved.connect(lambda percent: session.change("motion", strength_expression=percent / 100))
        self.smoothing = self._switch(session, "smoothing", tr("Smooth small tremors"), tr("Calmer; a trace later."))
        self.relative = self._switch(
            session, "relative", tr("Relative to the calibration"),
            tr("On: the portrait keeps its own look and adds your motion. Off: it takes your pose as it is."),
        )  # fmt: skip
        self.adapt = self._switch(
            session, "adapt_scale", tr("Adapt to the portrait's size"), tr("A smaller face moves less.")
        )
        self.reset = QPushButton(tr("Back to the defaults"))
        self.reset.clicked.connect(lambda: session.change("", motion=MotionSettings()))
        for widget in (self.head, self.expression, self.smoothing, self.relative, self.adapt, self.reset):
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        self.follow(session.settings)

    def follow(self, settings: Settings) -> None:
        """Show what is set."""
        motion = settings.motion
        self.head.set_value(round(100 * motion.strength_head))
        self.expression.set_value(round(100 * motion.strength_expression))
        self.smoothing.setChecked(motion.smoothing)
        self.relative.setChecked(motion.relative)
        self.adapt.setChecked(motion.adapt_scale)
        self.reset.setEnabled(motion != MotionSettings())

    def _switch(self, session: Session, field: str, text: str, why: str) -> QCheckBox:
        switch = QCheckBox(text)
        switch.setToolTip(why)
        switch.setAccessibleDescription(why)
        switch.clicked.connect(lambda on: session.change("motion", **{field: on}))
        return switch
