"""The portraits that were prepared last: going back to one of them takes no time."""

from __future__ import annotations

import collections
from collections.abc import Hashable
from typing import Any

from avatar.live.options import LiveOptions
from avatar.portrait_source import Likeness

ROOM = 3  # portraits; one takes some tens of megabytes at 720p


class Shelf:
    """Keeps prepared portraits by all that they were made from; used on one thread."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()

    def find(self, key: Hashable) -> Any | None:
        """The portrait of a key, which is then the last to go."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, portrait: Any) -> None:
        """Put one more on it, in place of the one that was not asked for the longest."""
        self._kept[key] = portrait
        while len(self._kept) > ROOM:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Prepare all of them afresh."""
        self._kept.clear()


def shelf_key(likeness: Likeness, options: LiveOptions) -> Hashable:
    """What a prepared portrait depends on. Raises: OSError: the picture is gone."""
    face = None if likeness.face is None else hash(likeness.face.landmarks.tobytes())
    canvas = options.canvas
    size = (options.size, canvas.width_px, canvas.height_px, canvas.fit)
    picture = (likeness.picture, likeness.picture.stat().st_mtime_ns, likeness.turn_deg, likeness.crop)
    return options.engine, picture, face, size
