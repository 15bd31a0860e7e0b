"""The embedded engine: a portrait warped by face landmarks, in real time on a processor."""

from __future__ import annotations

from avatar.engines.base import Engine, EngineConfig, EngineEntry
from avatar.settings import PARTS


def _open(config: EngineConfig) -> Engine:
    from avatar.engines.warp.engine import WarpEngine

    if config.render == "processor":
        return WarpEngine(config.motion)
    from avatar.engines.warp.graphics.choice import ChosenRenderer

    renderer = ChosenRenderer(insists=config.render == "graphics")
    if config.render == "graphics":
        renderer.require_chip()
    return WarpEngine(config.motion, renderer)


ENTRY = EngineEntry("warp", _open, separates_expression=True, parts=PARTS, has_renderers=True)
