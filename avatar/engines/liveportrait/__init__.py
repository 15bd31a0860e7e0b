"""LivePortrait as an engine: a square around the face drawn by its networks and put back into the portrait."""

from __future__ import annotations

from avatar.engines.base import Engine, EngineConfig, EngineEntry
from avatar.settings import PARTS


def _open(config: EngineConfig) -> Engine:
    from avatar.engines.liveportrait.engine import LivePortraitEngine

    return LivePortraitEngine(config)


ENTRY = EngineEntry(
    "liveportrait",
    _open,
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
