"""Side panel: motion transfer."""

from __future__ import annotations

from PyQt5.QtWidgets import QCheckBox, QPushButton, QWidget

from avatar.engines.registry import ENTRIES
from avatar.settings import MotionSettings, Settings
from ui.look.language import later, tr
from ui.panels.section import Section
from ui.session import Session
from ui.widgets.choice import Choice
from ui.widgets.value_slider import ValueSlider

_REGIONS = (("all", later("The whole face")), ("exp", later("The expression")), ("pose", later("The head")),
            ("lip", later("The mouth")), ("eyes", later("The eyes")))  # fmt: skip


class MotionSection(Section):
    """Section for strengths, smoothing and relative motion."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("motion", tr("Motion"), parent)
        self.head = ValueSlider(tr("Head"), 0, 200)
        self.head.moved.connect(lambda percent: session.change("motion", strength_head=percent / 100))
        self.expression = ValueSlider(tr("Expression"), 0, 200)
        self.expression.moved.connect(lambda percent: session.change("motion", strength_expression=percent / 100))
        self.smoothing = self._switch(session, "smoothing", tr("Reduce jitter"), tr("Calmer, but slightly later."))
        self.relative = self._switch(
            session, "relative", tr("Relative motion"),
            tr("On: the portrait keeps its own look and adds your motion. Off: it takes your pose as it is."),
        )  # fmt: skip
        self.adapt = self._switch(
            session, "adapt_scale", tr("Match portrait proportions"), tr("A smaller face moves less.")
        )
        self.mouth = ValueSlider(tr("Mouth"), 0, 200)
        self.eyes = ValueSlider(tr("Eyes"), 0, 200)
        self.brows = ValueSlider(tr("Brows"), 0, 200)
        self.parts = {"mouth": self.mouth, "eyes": self.eyes, "brows": self.brows}
        for part, slider in self.parts.items():
            slider.moved.connect(
                lambda percent, part=part: session.change("motion", **{f"strength_{part}": percent / 100})
            )
        self.regions = self._regions(session)
        self.reset = QPushButton(tr("Reset"))
        self.reset.clicked.connect(lambda: session.change("", motion=MotionSettings()))
        first = (self.head, self.expression, *self.parts.values())
        for widget in (*first, self.smoothing, self.relative, self.adapt, *self.regions, self.reset):
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        self.follow(session.settings)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        motion = settings.motion
        self.head.set_value(round(100 * motion.strength_head))
        self.expression.set_value(round(100 * motion.strength_expression))
        self.smoothing.setChecked(motion.smoothing)
        self.relative.setChecked(motion.relative)
        self.adapt.setChecked(motion.adapt_scale)
        self.region.set_value(motion.region)
        for part, slider in self.parts.items():
            slider.set_value(round(100 * getattr(motion, f"strength_{part}")))
        self.retarget_eyes.setChecked(motion.retarget_eyes)
        self.retarget_lips.setChecked(motion.retarget_lips)
        self.close_mouth.setChecked(motion.close_mouth)
        entry = ENTRIES.get(settings.engine.name)
        for part, slider in self.parts.items():
            slider.setVisible(entry is not None and part in entry.parts)
        for widget in self.regions:
            widget.setVisible(entry is not None and entry.knows_regions)
        self.reset.setEnabled(motion != MotionSettings())

    def _regions(self, session: Session) -> tuple[QWidget, ...]:
        """Create the widgets for engines that know regions of a face."""
        self.region = Choice(tr("What moves"), [(value, tr(text)) for value, text in _REGIONS])
        self.region.chosen.connect(lambda name: session.change("motion", region=name))
        self.retarget_eyes = self._switch(
            session, "retarget_eyes", tr("Eyes close fully"), tr("However the portrait's eyes are shaped.")
        )
        self.retarget_lips = self._switch(
            session, "retarget_lips", tr("Lips open as far as yours"), tr("However the portrait's mouth is shaped.")
        )
        self.close_mouth = self._switch(
            session, "close_mouth", tr("Close the portrait's mouth first"), tr("For portraits with an open mouth.")
        )
        return self.region, self.retarget_eyes, self.retarget_lips, self.close_mouth

    def _switch(self, session: Session, field: str, text: str, why: str) -> QCheckBox:
        switch = QCheckBox(text)
        switch.setToolTip(why)
        switch.setAccessibleDescription(why)
        switch.clicked.connect(lambda on: session.change("motion", **{field: on}))
        return switch
