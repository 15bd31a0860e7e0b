"""Side panel: what draws, with which model, on what."""

from __future__ import annotations

from PyQt5.QtWidgets import QWidget

from avatar.live.events import EngineReady
from avatar.settings import Settings
from avatar.stored import READY, UNCHECKED
from avatar.weights import ModelState
from ui.actions import Actions
from ui.background import Lane
from ui.choice import Choice
from ui.language import later, tr
from ui.section import Section, note, set_note
from ui.services import Services
from ui.session import LiveState, Session

ENGINE_TEXTS = {
    "warp": later("Warp: fast, any size"),
    "fomm": later("First Order Motion Model: learned, 256 px"),
}
DEVICES = (("auto", later("Chosen by Masque")), ("cpu", later("Processor")), ("cuda", later("NVIDIA graphics card")),
           ("mps", later("Apple graphics")))  # fmt: skip


def draws_with(state: ModelState) -> bool:
    """Whether a model file is one that the engine `fomm` draws with."""
    return "First Order Motion Model" in state.weight.about


class EngineSection(Section):
    """Engine, model, device, and how that went."""

    def __init__(
        self, session: Session, actions: Actions, services: Services, lane: Lane, parent: QWidget | None = None
    ) -> None:
        super().__init__("engine", tr("Engine"), parent)
        self._session, self._services, self._lane = session, services, lane
        engines = [(name, tr(ENGINE_TEXTS.get(name, name))) for name in services.engines]
        self.engine = Choice(tr("Drawn by"), engines)
        self.engine.chosen.connect(self._choose_engine)
        self.model = Choice(tr("Model"))
        self.model.chosen.connect(lambda name: session.change("engine", model=name))
        self.device = Choice(tr("Runs on"), [(value, tr(text)) for value, text in DEVICES])
        self.device.chosen.connect(lambda name: session.change("engine", device=name))
        self.status = note()
        self.models = actions.button("models", self, text=True)
        for widget in (self.engine, self.model, self.device, self.status, self.models):
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        session.state_changed.connect(self._show)
        self.follow(session.settings)
        self._show(session.state)

    def reload(self) -> None:
        """Look which models are here."""
        self._lane.run(self._services.list_models, self._offer)

    def follow(self, settings: Settings) -> None:
        """Show what is set."""
        self.engine.set_value(settings.engine.name)
        self.model.set_value(settings.engine.model)
        self.device.set_value(settings.engine.device)
        self.model.setVisible(settings.engine.name == "fomm")
        self.device.setVisible(settings.engine.name == "fomm")

    def _choose_engine(self, name: str) -> None:
        self._session.change("engine", name=name, model="" if name == "warp" else self.model.value())

    def _offer(self, states: list[ModelState]) -> None:
        here = [state.weight for state in states if draws_with(state) and state.state in (READY, UNCHECKED)]
        own = ("", tr("Masque's own, for faces"))
        self.model.set_options([own, *((weight.name, weight.name) for weight in here)])
        self.model.set_value(self._session.settings.engine.model)

    def _show(self, state: LiveState) -> None:
        if state.engine_problem:
            set_note(self.status, state.engine_problem, "Danger")
        elif state.engine is not None:
            set_note(self.status, engine_in_words(state.engine))
        else:
            set_note(self.status, tr("Opening…"))


def engine_in_words(engine: EngineReady) -> str:
    """Engine, device, precision, and why."""
    return f"{engine.engine}, {engine.device}, {engine.precision}" + (f". {engine.why}" if engine.why else "")
