"""Removal of leftovers of killed jobs: abandoned temporary files in Masque's folders.

Each kind of temporary file has an unmistakable name and is kept for a day after it was last written to, so that no
running job loses one and an interrupted download can be resumed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from avatar.errors import AvatarError
from avatar.system.atomic import PART, remove_stale

_MODEL_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}\.part")  # temporary files of `stored.StoredFile.draft`
_INCOMING = re.compile(r"\.incoming-[0-9a-f]{8}")  # folders of `library.Library.add`


def sweep() -> list[Path]:
    """Remove old temporary files and return their paths. Never fails; files that cannot be removed stay."""
    return [path for path in _drafts() if remove_stale(path)]


def _drafts() -> Iterator[Path]:
    from avatar.library.library import library_folder
    from avatar.settings import settings_path
    from avatar.weights import models_folder
    from avatar.weights.manifest import read_manifest

    models, library = models_folder(), library_folder()
    yield from _named(models, _MODEL_DRAFT)
    with contextlib.suppress(AvatarError):  # an unreadable manifest
        known = read_manifest()
        for folder in {models / weight.set for weight in known.values() if weight.set}:
            yield from _named(folder, _MODEL_DRAFT)
        yield from (models / weight.set / f"{weight.file}.part" for weight in known.values())
    avatars = [entry for entry in _entries(library) if entry.is_dir() and not entry.name.startswith(".")]
    for folder in (library, *avatars):
        yield from _named(folder, PART)
    yield from _named(library, _INCOMING)
    settings = settings_path()  # in a folder that may contain files of other programs
    yield from (path for path in _named(settings.parent, PART) if path.name.startswith(f".{settings.name}."))


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [path for path in _entries(folder) if pattern.fullmatch(path.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # missing or not readable
        return []
