"""LRU cache of prepared portraits, so that switching back to one of them is immediate."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Hashable
from typing import Any

from avatar.library.names import same_name
from avatar.live.config import LiveConfig
from avatar.portrait.source import Likeness

ROOM = 5  # capacity in portraits, each some tens of megabytes at 720p


class PortraitCache:
    """LRU cache of prepared portraits, keyed by everything they depend on; used on one thread."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()

    def find(self, key: Hashable) -> Any | None:
        """Return the portrait for a key and mark it as most recently used."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, portrait: Any) -> None:
        """Insert a portrait, evicting the least recently used one."""
        self._kept[key] = portrait
        while len(self._kept) > ROOM:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Remove all portraits."""
        self._kept.clear()


def cache_key(likeness: Likeness, options: LiveConfig) -> Hashable:
    """Return the cache key of a portrait: everything it depends on. Raises OSError if the image is gone."""
    face = None if likeness.face is None else hashlib.sha256(likeness.face.landmarks.tobytes()).hexdigest()
    canvas = options.canvas
    size = options.size or (canvas.width_px, canvas.height_px, canvas.fit, options.sharpness)
    image = (likeness.path, likeness.path.stat().st_mtime_ns, likeness.turn_deg, likeness.crop)
    return same_name(options.avatar), options.engine, bool(options.remote), image, face, size
