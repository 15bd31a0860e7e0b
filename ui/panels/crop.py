"""Side panel: the crop of the camera image."""

from __future__ import annotations

from PyQt5.QtWidgets import QCheckBox, QHBoxLayout, QRadioButton, QWidget

from avatar.settings import Settings
from ui.actions import Actions
from ui.look.language import tr
from ui.panels.section import Section, note
from ui.session import Session
from ui.widgets.value_slider import ValueSlider


class CropSection(Section):
    """Section for the automatic or manual crop."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__("crop", tr("Crop"), parent)
        self.auto = QRadioButton(tr("Follows the face"))
        self.by_hand = QRadioButton(tr("Manual"))
        self.auto.clicked.connect(session.reset_crop)
        self.by_hand.clicked.connect(lambda: session.zoom(0))
        self.frozen = QCheckBox(tr("Lock crop"))
        self.frozen.clicked.connect(lambda on: session.change("crop", frozen=on))
        self.zoom = ValueSlider(tr("Zoom"), 100, 400)
        self.zoom.moved.connect(lambda percent: session.change("crop", auto=False, zoom=percent / 100))
        self.left_right = ValueSlider(tr("Left and right"), -100, 100)
        self.left_right.moved.connect(lambda percent: session.change("crop", auto=False, pan_x=percent / 100))
        self.up_down = ValueSlider(tr("Up and down"), -100, 100)
        self.up_down.moved.connect(lambda percent: session.change("crop", auto=False, pan_y=percent / 100))
        row = QHBoxLayout()
        row.addWidget(self.auto)
        row.addWidget(self.by_hand)
        row.addStretch()
        self.rows.addLayout(row)
        for widget in (self.frozen, self.zoom, self.left_right, self.up_down):
            self.rows.addWidget(widget)
        keys = tr("Keys: {zoom} zoom, {pan} move, with Shift a little.", zoom="W S", pan="U H J K")
        self.rows.addWidget(note(keys))
        session.changed.connect(self.follow)
        self.follow(session.settings)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        crop = settings.crop
        self.auto.setChecked(crop.auto)
        self.by_hand.setChecked(not crop.auto)
        self.frozen.setChecked(crop.frozen)
        self.frozen.setVisible(crop.auto)
        for slider, value in ((self.zoom, crop.zoom), (self.left_right, crop.pan_x), (self.up_down, crop.pan_y)):
            slider.setVisible(not crop.auto)
            slider.set_value(round(100 * value))
