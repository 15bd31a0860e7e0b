"""Side panel: the microphone of recordings and of an avatar that follows a voice."""

from __future__ import annotations

import math

from PyQt5.QtCore import QTimer
from PyQt5.QtGui import QHideEvent, QShowEvent
from PyQt5.QtWidgets import QCheckBox, QHBoxLayout, QProgressBar, QToolButton, QWidget

from avatar.errors import AvatarError
from avatar.live.config import VOICE
from avatar.settings import Settings
from avatar.sources.microphone import SoundMonitor, SoundSource
from ui.background import Lane
from ui.look import icons
from ui.look.language import explained, tr
from ui.panels.section import Section, note, set_note
from ui.services import Services
from ui.session import Session
from ui.widgets.choice import Choice

DEFAULT = ""  # the system's microphone
METER_MS = 50
_ALSA_DEFAULT = "default"  # ALSA's own name for what the first entry of the list is already
_QUIETEST_DB = -50.0  # the left end of the meter
_FALLS = 6  # percent of the meter's length per METER_MS
_HEARD = 12  # percent from which somebody is heard


class SoundSection(Section):
    """Choice of the microphone, its level, and whether recordings get it."""

    def __init__(
        self, session: Session, monitor: SoundMonitor, services: Services, lane: Lane, parent: QWidget | None = None
    ) -> None:
        super().__init__("sound", tr("Sound"), parent)
        self._session, self._monitor, self._services, self._lane = session, monitor, services, lane
        self._lacks: AvatarError | None = None
        self._microphone: SoundSource | None = None  # opened for the meter alone
        self._opened: str | None = None  # name of the microphone that is, or is being, opened; None: none
        self._looked = False
        self.record = QCheckBox(tr("Record microphone"))
        self.record.clicked.connect(lambda on: session.change("window", microphone=on))
        self.choice = Choice(tr("Microphone"))
        self.choice.chosen.connect(lambda name: session.change("sound", microphone=name))
        self.refresh = QToolButton(self)
        self.refresh.setIcon(icons.icon("refresh"))
        self.refresh.setAccessibleName(tr("Search for microphones again"))
        self.refresh.setToolTip(tr("Search for microphones again"))
        self.refresh.clicked.connect(self.look_for_microphones)
        row = QHBoxLayout()
        row.addWidget(self.choice, 1)
        row.addWidget(self.refresh)
        self.level = QProgressBar(self)
        self.level.setRange(0, 100)
        self.level.setTextVisible(False)
        self.level.setAccessibleName(tr("Level of the microphone"))
        self.mute = QCheckBox(tr("Mute in recordings"))
        self.mute.clicked.connect(lambda on: session.change("sound", muted=on))
        self.status = note()
        self.rows.addWidget(self.record)
        self.rows.addLayout(row)
        for widget in (self.level, self.mute, self.status):
            self.rows.addWidget(widget)
        self._timer = QTimer(self)
        self._timer.setInterval(METER_MS)
        self._timer.timeout.connect(self._show_level)
        self.body_shown.connect(self._use_meter)  # a folded section does not listen
        session.changed.connect(self.follow)
        self._offer(())
        self.follow(session.settings)

    def look_for_microphones(self) -> None:
        """Ask the system for its microphones; the list changes when it has answered."""
        self._looked = True
        self.refresh.setEnabled(False)
        self._lane.run(self._services.list_microphones, self._found, self._not_found)

    def follow(self, settings: Settings) -> None:
        """Show what is set."""
        self.record.setChecked(settings.window.microphone and self._lacks is None)
        self.mute.setChecked(settings.sound.muted)
        self.choice.set_value(settings.sound.microphone)
        self._monitor.muted = settings.sound.muted
        self._use_meter()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Look for microphones at first sight, and listen while the meter can be seen."""
        super().showEvent(event)
        if not self._looked:
            self.look_for_microphones()
        self._use_meter()

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Let go of the microphone, so that the system shows it as unused."""
        super().hideEvent(event)
        self._use_meter()

    def close_microphone(self) -> None:
        """Let go of the microphone; the window closes."""
        self._timer.stop()
        self._opened = None
        self._release()

    def _found(self, names: tuple[str, ...]) -> None:
        self.refresh.setEnabled(True)
        self._lacks = None
        self._offer(names)
        self.record.setEnabled(True)
        set_note(self.status, "" if names else tr("No microphone was found. Plug one in and search again."))
        self.follow(self._session.settings)

    def _not_found(self, error: AvatarError) -> None:
        self.refresh.setEnabled(True)
        self._lacks = error
        self.record.setEnabled(False)
        set_note(self.status, f"{explained(error)} {tr('Recordings have no sound until then.')}", "Warning")
        self.follow(self._session.settings)

    def _offer(self, names: tuple[str, ...]) -> None:
        chosen = self._session.settings.sound.microphone
        others = [name for name in names if name != _ALSA_DEFAULT or name == chosen]
        options = [(DEFAULT, tr("The system’s default")), *((name, name) for name in others)]
        if chosen and chosen not in names:
            options.append((chosen, tr("{name} (not found)", name=chosen) if names else chosen))
        self.choice.set_options(options)
        self.choice.set_value(chosen)

    def _use_meter(self) -> None:
        """Open the microphone that is to be listened to, on the lane, and close the one that was."""
        settings = self._session.settings
        used = settings.window.microphone or settings.camera.source == VOICE
        listens = used and self._lacks is None and self._looked and self.body.isVisible()
        wanted = settings.sound.microphone if listens else None
        for widget in (self.level, self.mute):
            widget.setEnabled(used and self._lacks is None)
        if wanted == self._opened:
            return
        self._opened = wanted
        self._release()
        if wanted is None:
            self._timer.stop()
            self.level.setValue(0)
            return
        monitor = self._monitor
        self._lane.run(
            lambda: self._services.open_microphone(wanted, monitor),
            lambda microphone: self._listen(wanted, microphone),
            self._cannot_listen,
        )

    def _listen(self, name: str, microphone: SoundSource) -> None:
        if name != self._opened or self._microphone is not None:  # another one, or none, is wanted meanwhile
            self._lane.run(microphone.close)
            return
        self._microphone = microphone
        self._timer.start()

    def _cannot_listen(self, error: AvatarError) -> None:
        set_note(self.status, explained(error), "Warning")

    def _release(self) -> None:
        if self._microphone is not None:
            self._lane.run(self._microphone.close)
            self._microphone = None

    def _show_level(self) -> None:
        if self._microphone is not None:
            self._microphone.take()  # nobody keeps what is heard here
        level_db = 20 * math.log10(max(self._monitor.take_peak(), 1e-6))
        percent = round(100 * (1 - min(level_db, 0.0) / _QUIETEST_DB))
        self.level.setValue(max(percent, self.level.value() - _FALLS, 0))
        if self.level.value() > _HEARD and self.status.objectName() == "Warning" and self._lacks is None:
            set_note(self.status, "")
