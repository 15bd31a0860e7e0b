"""The avatars that are there from the start, taken from packages that are installed anyway."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from avatar.library_record import Avatar

ASTRONAUT = "Astronaut"


def builtin_avatars() -> list[Avatar]:
    """The portrait of the astronaut Eileen Collins; without scikit-image, nothing."""
    package = importlib.util.find_spec("skimage")  # found, not imported: importing it takes a second
    places = package.submodule_search_locations if package else None
    if not places:
        return []
    picture = Path(places[0]) / "data" / "astronaut.png"
    if not picture.is_file():
        return []
    source = "NASA, through scikit-image (skimage.data.astronaut): Eileen Collins, 1996"
    return [Avatar(ASTRONAUT, picture.parent, picture.name, source=source, licence="public domain", builtin=True)]
