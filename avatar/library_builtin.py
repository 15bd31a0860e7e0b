"""The avatars that are there from the start: an astronaut out of a package that is installed anyway, and our own."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

from avatar import library_record
from avatar.library_record import Avatar
from avatar.manifest import MANIFEST

ASTRONAUT = "Astronaut"
MADE_HERE = MANIFEST.parent / "avatars"  # a folder each, as in the user's library, drawn by avatar.gallery
GALLERY = {  # in the order in which they are shown
    "Sam": "A toy figure",
    "Rusty": "A fox",
    "Zuri": "A flat cartoon",
    "Bolt": "A robot",
    "Elise": "A portrait in oil",
    "Miso": "A cat",
}


def builtin_avatars() -> list[Avatar]:
    """The portrait of the astronaut Eileen Collins, where scikit-image is installed, then those drawn by code."""
    drawn = (library_record.read(MADE_HERE / name) for name in GALLERY if (MADE_HERE / name).is_dir())
    return [*_astronaut(), *(replace(avatar, builtin=True) for avatar in drawn)]


def _astronaut() -> list[Avatar]:
    package = importlib.util.find_spec("skimage")  # found, not imported: importing it takes a second
    places = package.submodule_search_locations if package else None
    if not places:
        return []
    picture = Path(places[0]) / "data" / "astronaut.png"
    if not picture.is_file():
        return []
    source = "NASA, through scikit-image (skimage.data.astronaut): Eileen Collins, 1996"
    return [Avatar(ASTRONAUT, picture.parent, picture.name, source=source, licence="public domain", builtin=True)]
