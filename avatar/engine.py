"""Stable entry point for other programs: `from avatar.engine import open_engine`."""

from __future__ import annotations

from avatar.engines.avatar_engine import AvatarEngine, open_engine
from avatar.engines.registry import ENGINES

__all__ = ["ENGINES", "AvatarEngine", "open_engine"]
