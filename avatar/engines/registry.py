"""All engines by name. A new one is a folder beside this file and a line here."""

from __future__ import annotations

from collections.abc import Callable

from avatar.engines import fomm, liveportrait, warp
from avatar.engines.base import Engine, EngineConfig, EngineEntry
from avatar.errors import EngineError, UsageError
from avatar.settings import RENDERERS
from avatar.system.devices import require_processor
from avatar.system.message import Message, chained

ENTRIES = {entry.name: entry for entry in (warp.ENTRY, fomm.ENTRY, liveportrait.ENTRY)}
ENGINES = tuple(ENTRIES)  # the default first


def find_engine(name: str) -> EngineEntry:
    """Return the entry of an engine. Raises: EngineError: there is none of that name."""
    if name not in ENTRIES:
        raise EngineError(
            Message("There is no engine called {name!r}.", name=name),
            remedy=Message("Choose one of: {names}.", names=", ".join(ENGINES)),
        )
    return ENTRIES[name]


def check_config(config: EngineConfig) -> None:
    """Check the options of an engine before anything is loaded. Raises: EngineError, UsageError."""
    entry = find_engine(config.name)
    if config.render not in RENDERERS:
        raise UsageError(
            Message("There is no way to draw called {name}.", name=config.render),
            remedy=Message("Choose one of: {names}.", names=", ".join(RENDERERS)),
        )
    if config.render != "auto" and not entry.has_renderers:
        others = chained("{first} or {second}", *(name for name, each in ENTRIES.items() if each.has_renderers))
        raise UsageError(Message("--render belongs to --engine {others}.", others=others), remedy="Leave it out.")
    if entry.takes_models:
        return
    require_processor(config.device)
    if config.model is not None or config.config is not None:
        others = chained("{first} or {second}", *(name for name, entry in ENTRIES.items() if entry.takes_models))
        what = (
            Message("--model belongs to --engine {others}.", others=others)
            if config.config is None
            else Message("--model and --config belong to --engine {others}.", others=others)
        )
        raise UsageError(what, remedy="Leave it out.")


def create_engine(config: EngineConfig) -> Engine:
    """Open an engine.

    Raises:
        EngineError: there is no engine of that name, or no such device.
        UsageError: the engine does not support an option of the config.
        WeightsError: its model is missing, damaged or of another kind.
    """
    check_config(config)
    return find_engine(config.name).open(config)


def engine_opener(config: EngineConfig) -> Callable[[], Engine]:
    """Return what opens one engine after the other, which share what they can. Raises as `create_engine`."""
    check_config(config)
    several = find_engine(config.name).open_several
    return (lambda: create_engine(config)) if several is None else several(config)
