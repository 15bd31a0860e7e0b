"""The built-in avatars: an astronaut from a required package, and our own drawings."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from avatar.library import record as library_record
from avatar.library.record import Avatar
from avatar.system.installation import MODELS

ASTRONAUT = "Astronaut"
MADE_HERE = MODELS / "avatars"  # one folder each, as in the user's library; drawn by tools.gallery
GALLERY = {  # in display order
    "Sam": "A toy figure",
    "Rusty": "A fox",
    "Zuri": "A flat cartoon",
    "Bolt": "A robot",
    "Elise": "A portrait in oil",
    "Miso": "A cat",
}


def builtin_avatars() -> list[Avatar]:
    """Return the portrait of the astronaut Eileen Collins, if scikit-image is installed, then the drawn avatars."""
    drawn = (library_record.read(MADE_HERE / name) for name in GALLERY if (MADE_HERE / name).is_dir())
    return [*_astronaut(), *(replace(avatar, builtin=True) for avatar in drawn)]


def _astronaut() -> list[Avatar]:
    package = importlib.util.find_spec("skimage")  # located without importing it, which takes a second
    places = package.submodule_search_locations if package else None
    if not places:
        return []
    path = Path(places[0]) / "data" / "astronaut.png"
    if not path.is_file():
        return []
    source = "NASA, through scikit-image (skimage.data.astronaut): Eileen Collins, 1996"
    return [Avatar(ASTRONAUT, path.parent, path.name, source=source, licence="public domain", builtin=True)]
