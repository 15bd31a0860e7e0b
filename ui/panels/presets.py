"""Side panel: presets of motion and expression, saved by name and put on by a click or a key."""

from __future__ import annotations

import dataclasses
from functools import partial

from PyQt5.QtCore import Qt
from PyQt5.QtGui import QResizeEvent
from PyQt5.QtWidgets import (
    QHBoxLayout,
    QInputDialog,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from avatar.motion.overlay import EXPRESSIONS
from avatar.settings import Preset, Settings
from avatar.system.foreign_text import shown
from ui.actions import Actions
from ui.look import icons
from ui.look.language import tr
from ui.panels.expressions import OWN, own_expression
from ui.panels.section import Section, note, set_note
from ui.session import LiveState, Notice, Session
from ui.widgets.plain_text import unformatted

KEYS = 9  # presets that have a key
LONGEST = 40  # characters of a name
MOST = 50
MARGIN_PX = 16  # beside the text of a button


class NameButton(QPushButton):
    """A button that shortens its text to its width; a long name must not widen the panel."""

    def __init__(self, name: str) -> None:
        super().__init__(name.replace("&", "&&"))
        self._name = name
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Fixed)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Fit the text in."""
        super().resizeEvent(event)
        fitting = self.fontMetrics().elidedText(self._name, Qt.ElideRight, self.width() - 2 * MARGIN_PX)
        self.setText(fitting.replace("&", "&&"))


class PresetsSection(Section):
    """A button for each preset, and one that saves what is set now."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__("presets", tr("Presets"), parent)
        self._session, self._actions = session, actions
        self.buttons: dict[str, QPushButton] = {}
        self.deleters: dict[str, QToolButton] = {}
        self._column = QVBoxLayout()
        self._column.setSpacing(6)
        self.hint = note()
        self.save = QPushButton(tr("Save as preset…"))
        self.save.clicked.connect(actions["save_preset"].trigger)
        self.save.setToolTip(actions["save_preset"].toolTip())
        actions.on("save_preset", self.ask_name)
        for number in range(1, KEYS + 1):
            actions.on(f"preset_{number}", partial(self._use_number, number))
        self.rows.addLayout(self._column)
        self.rows.addWidget(self.hint)
        self.rows.addWidget(self.save)
        session.changed.connect(self.follow)
        session.state_changed.connect(self._mark)
        self.follow(session.settings)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        if list(settings.presets) != list(self.buttons):
            self._list(list(settings.presets))
        set_note(self.hint, "" if settings.presets else tr("Saves the strengths under Motion, and the expression."))
        self._mark(self._session.state)

    def ask_name(self) -> None:
        """Save what is set now under a name; one that exists is replaced."""
        name, ok = QInputDialog.getText(self, tr("Save as preset"), tr("Name of the preset:"))
        name = " ".join(name.split())[:LONGEST]
        presets = self._session.settings.presets
        if not ok:
            return
        if not name:
            self._session.notice(Notice(tr("A preset needs a name."), level="warning"))
        elif len(presets) >= MOST and name not in presets:
            text = tr("There are {count} presets, and no more fit.", count=MOST)
            self._session.notice(Notice(text, tr("Delete one first."), "warning"))
        else:
            preset = Preset(self._session.settings.motion, self._session.state.expression)
            self._session.change("", presets=presets | {name: dataclasses.asdict(preset)})
            text = tr("{name} was replaced.", name=name) if name in presets else tr("{name} was saved.", name=name)
            self._session.notice(Notice(text, level="good"))

    def use(self, name: str) -> None:
        """Put a preset on."""
        preset = self._session.settings.preset(name)
        self._session.change("", motion=preset.motion)
        expression = EXPRESSIONS.get(preset.expression, {})
        if preset.expression == OWN:
            expression = own_expression(self._session.settings)
        self._session.express(preset.expression if expression else "", expression)
        self._mark(self._session.state)

    def _use_number(self, number: int) -> None:
        names = list(self._session.settings.presets)
        if number <= len(names):
            self.use(names[number - 1])
        else:
            text = tr("There is no preset {number} yet.", number=number)
            self._session.notice(Notice(text, action="save_preset"))

    def _delete(self, name: str) -> None:
        text = unformatted(tr("Delete the preset {name}?", name=name))
        box = QMessageBox(QMessageBox.Question, "Masque", text, QMessageBox.NoButton, self)
        delete = box.addButton(tr("Delete"), QMessageBox.AcceptRole)
        box.setDefaultButton(box.addButton(tr("Keep"), QMessageBox.RejectRole))
        box.exec_()
        if box.clickedButton() is delete:
            presets = {each: entry for each, entry in self._session.settings.presets.items() if each != name}
            self._session.change("", presets=presets)

    def _list(self, names: list[str]) -> None:
        while item := self._column.takeAt(0):
            if widget := item.widget():
                widget.deleteLater()
        self.buttons, self.deleters = {}, {}
        for number, name in enumerate(names, start=1):
            row = QWidget()
            inner = QHBoxLayout(row)
            inner.setContentsMargins(0, 0, 0, 0)
            inner.setSpacing(6)
            button = NameButton(shown(name, LONGEST))
            button.setCheckable(True)
            key = self._actions.key_text(f"preset_{number}") if number <= KEYS else ""
            button.setToolTip(unformatted(f"{name}  ({key})" if key else name))
            button.setFocusPolicy(Qt.StrongFocus)
            button.clicked.connect(partial(self._clicked, name))
            delete = QToolButton()
            delete.setObjectName("Plain")
            delete.setIcon(icons.icon("trash"))
            delete.setAccessibleName(tr("Delete the preset {name}", name=shown(name)))
            delete.setToolTip(tr("Delete"))
            delete.clicked.connect(partial(self._delete, name))
            inner.addWidget(button, 1)
            inner.addWidget(delete)
            self._column.addWidget(row)
            self.buttons[name], self.deleters[name] = button, delete

    def _clicked(self, name: str, _checked: bool = False) -> None:
        self.use(name)

    def _mark(self, state: LiveState) -> None:
        """Mark the presets that say what is set now."""
        settings = self._session.settings
        for name, button in self.buttons.items():
            if name in settings.presets:
                preset = settings.preset(name)
                button.setChecked(preset.motion == settings.motion and preset.expression == state.expression)
