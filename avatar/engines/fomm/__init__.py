"""The First Order Motion Model as an engine: a square of the portrait, drawn by a network and put back."""

from __future__ import annotations

from avatar.engines.base import Engine, EngineConfig, EngineEntry


def _open(config: EngineConfig) -> Engine:
    from avatar.engines.fomm.engine import FommEngine

    return FommEngine(config)


ENTRY = EngineEntry("fomm", _open, takes_models=True, has_panels=True, from_images=True)
