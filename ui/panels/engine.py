"""Side panel: engine, model and device."""

from __future__ import annotations

from PyQt5.QtWidgets import QWidget

from avatar.engines.liveportrait.choice import DEFAULT
from avatar.live.events import EngineReady
from avatar.settings import EngineSettings, Settings
from avatar.weights import ModelState
from avatar.weights.manifest import FOMM, LIVEPORTRAIT
from avatar.weights.stored import READY, UNCHECKED
from ui.actions import Actions
from ui.background import Lane
from ui.dialogs.host import HostDialog
from ui.look.language import later, tr
from ui.panels.section import Section, note, set_note
from ui.services import Services
from ui.session import WARP, LiveState, Session
from ui.widgets.choice import Choice

ENGINE_TEXTS = {
    "warp": later("Fast (Warp)"),
    "fomm": later("First Order Motion: learned, 256 px"),
    "liveportrait": later("LivePortrait: best, for graphics cards"),
}
ENGINE_OF_KIND = {FOMM: "fomm", LIVEPORTRAIT: "liveportrait"}  # kinds of models that draw
HOST = "host"  # the choice of another computer, which is no engine of this one
_OWN = {"fomm": later("Masque's own, for faces"), "liveportrait": later("LivePortrait's, for faces")}
DEVICES = (("auto", later("Chosen by Masque")), ("cpu", later("Processor")), ("cuda", later("NVIDIA graphics card")),
           ("mps", later("Apple graphics")))  # fmt: skip

RENDERERS = (("auto", later("Chosen by Masque")), ("processor", later("Processor")),
             ("graphics", later("Graphics chip")))  # fmt: skip


def engine_of(state: ModelState) -> str:
    """Return the name of the engine that draws with a model; empty if none does."""
    return ENGINE_OF_KIND.get(state.weight.kind, "")


class EngineSection(Section):
    """Section for engine, model and device, with the result of opening them."""

    def __init__(
        self, session: Session, actions: Actions, services: Services, lane: Lane, parent: QWidget | None = None
    ) -> None:
        super().__init__("engine", tr("Engine"), parent)
        self._session, self._services, self._lane = session, services, lane
        self._models: list[ModelState] = []
        engines = [(name, tr(ENGINE_TEXTS.get(name, name))) for name in services.engines]
        self.engine = Choice(tr("Engine"), [*engines, (HOST, tr("Another computer draws…"))])
        self.engine.chosen.connect(self._choose_engine)
        self.model = Choice(tr("Model"))
        self.model.chosen.connect(lambda name: session.change("engine", model=name))
        self.device = Choice(tr("Runs on"), [(value, tr(text)) for value, text in DEVICES])
        self.device.chosen.connect(lambda name: session.change("engine", device=name))
        self.drawn_on = Choice(tr("Drawn on"), [(value, tr(text)) for value, text in RENDERERS])
        self.drawn_on.chosen.connect(lambda name: session.change("engine", render=name))
        self.status = note()
        self.models = actions.button("models", self, text=True)
        for widget in (self.engine, self.model, self.device, self.drawn_on, self.status, self.models):
            self.rows.addWidget(widget)
        session.changed.connect(self.follow)
        session.state_changed.connect(self._show)
        self.follow(session.settings)
        self._show(session.state)

    def reload(self) -> None:
        """List the available models."""
        self._lane.run(self._services.list_models, self._offer)

    def follow(self, settings: Settings) -> None:
        """Show the settings."""
        engine = settings.engine
        self.engine.set_value(HOST if engine.remote else engine.name)
        self.device.set_value(settings.engine.device)
        self.drawn_on.set_value(settings.engine.render)
        self.drawn_on.setVisible(engine.name == "warp" and not engine.remote)
        self._offer_models(engine)
        self.model.setVisible(engine.name in _OWN and not engine.remote)
        self.device.setVisible(engine.name in _OWN and not engine.remote)

    def _choose_engine(self, name: str) -> None:
        if name != HOST:
            self._session.change("engine", name=name, model="", remote="")
            return
        dialog = HostDialog(self._services, self._session.settings.engine.remote, self.window())
        if dialog.exec_() == HostDialog.Accepted:
            self._session.change("engine", name=WARP, model="", remote=dialog.chosen)
        self.follow(self._session.settings)

    def _offer(self, states: list[ModelState]) -> None:
        self._models = states
        self._offer_models(self._session.settings.engine)

    def _offer_models(self, chosen: EngineSettings) -> None:
        """Offer the models of the chosen engine that are here; the first is the engine's own."""
        if chosen.name not in _OWN:
            return
        here = [
            state.weight.name
            for state in self._models
            if engine_of(state) == chosen.name and state.state in (READY, UNCHECKED) and state.weight.name != DEFAULT
        ]
        self.model.set_options([("", tr(_OWN[chosen.name])), *((name, name) for name in here)])
        self.model.set_value(chosen.model)

    def _show(self, state: LiveState) -> None:
        if state.engine_problem:
            set_note(self.status, tr(state.engine_problem), "Danger")
        elif state.engine is not None:
            set_note(self.status, engine_in_words(state.engine))
        else:
            set_note(self.status, tr("Opening…"))


def engine_in_words(engine: EngineReady) -> str:
    """Describe an open engine: name, device, precision, and the reason for the device."""
    return f"{engine.engine}, {engine.device}, {engine.precision}" + (f". {tr(engine.why)}" if engine.why else "")
