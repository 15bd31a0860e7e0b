"""Side panel: expressions at the press of a key, over the driver's own."""

from __future__ import annotations

from functools import partial

from PyQt5.QtWidgets import QGridLayout, QSizePolicy, QWidget

from avatar.engines.registry import ENTRIES
from avatar.live.events import Event, ExpressionCaught
from avatar.motion.overlay import EXPRESSIONS, expression_text, parse_expression
from avatar.settings import Settings
from ui.actions import Actions
from ui.look.language import later, tr
from ui.panels.section import Section, note, set_note
from ui.session import LiveState, Notice, Session

OWN = "own"
NAMES = (*EXPRESSIONS, OWN)


def own_expression(settings: Settings) -> dict[str, float]:
    """Return the user's own expression; empty if there is none yet."""
    try:
        return parse_expression(settings.window.own_expression)
    except ValueError:  # edited by hand
        return {}


class ExpressionsSection(Section):
    """Buttons of the expressions, of which at most one is on."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__("expressions", tr("Expressions"), parent)
        self._session, self._actions = session, actions
        grid = QGridLayout()
        for number, name in enumerate(NAMES):
            button = actions.button(f"express_{name}", self, text=True)
            button.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
            grid.addWidget(button, number // 2, number % 2)
            actions.on_switch(f"express_{name}", partial(self._switch, name))
        catch = actions.button("catch_expression", self, text=True)
        catch.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        actions.on("catch_expression", session.pipeline.catch_expression)
        self.status = note()
        self.rows.addLayout(grid)
        self.rows.addWidget(catch)
        self.rows.addWidget(self.status)
        session.happened.connect(self._take_in)
        session.state_changed.connect(self._show_state)
        session.changed.connect(self.follow)
        self.follow(session.settings)
        self._show_state(session.state)

    def follow(self, settings: Settings) -> None:
        """Say where expressions have no effect."""
        entry = ENTRIES.get(settings.engine.name)
        by_image = entry is not None and entry.from_images
        set_note(
            self.status, tr("The chosen engine follows images, so expressions do not reach it.") if by_image else ""
        )

    def _switch(self, name: str, on: bool) -> None:
        """Put an expression on, in place of the one that is on, or take it off."""
        expression = (EXPRESSIONS.get(name) or own_expression(self._session.settings)) if on else {}
        if on and not expression:
            text = later("There is no own expression yet. Make a face and press “Keep my face as own expression”.")
            self._session.notice(Notice(text))
        self._session.express(name if expression else "", expression)
        self._show_state(self._session.state)

    def _show_state(self, state: LiveState) -> None:
        for name in NAMES:
            self._actions[f"express_{name}"].setChecked(name == state.expression)

    def _take_in(self, event: Event) -> None:
        if not isinstance(event, ExpressionCaught):
            return
        if not event.expression:
            text = later("Your face shows no expression that could be kept. Make a face and press again.")
            self._session.notice(Notice(text, level="warning"))
            return
        self._session.change("window", own_expression=expression_text(event.expression))
        self._session.notice(Notice(later("Kept: press “Own” to put it on."), level="good"))
        if self._session.state.expression == OWN:
            self._switch(OWN, True)
