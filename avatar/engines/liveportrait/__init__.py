"""LivePortrait as an engine: a square around the face drawn by its networks and put back into the portrait."""

from __future__ import annotations

from collections.abc import Callable

from avatar.engines.base import Engine, EngineConfig, EngineEntry
from avatar.settings import PARTS


def _open(config: EngineConfig) -> Engine:
    from avatar.engines.liveportrait.engine import LivePortraitEngine

    return LivePortraitEngine(config)


def _open_several(config: EngineConfig) -> Callable[[], Engine]:
    from avatar.engines.liveportrait.engine import LivePortraitEngine, load

    model, place = load(config)
    return lambda: LivePortraitEngine(config, model=model, place=place)


ENTRY = EngineEntry(
    "liveportrait",
    _open,
    open_several=_open_several,
    takes_models=True,
    separates_expression=True,
    parts=PARTS,
    knows_regions=True,
    has_panels=True,
    needs_gpu=True,
    own_templates=True,
    takes_clips=True,
    from_images=True,
)
