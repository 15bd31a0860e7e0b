"""Takes away what killed jobs left behind: drafts that nobody writes to any more, in the folders that are Masque's.

Each kind of draft has a name that nothing else has, and is left alone for a day after it was last written to; so no
running job loses one, and a download that was cut short can be resumed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from avatar.atomic import PART, remove_stale
from avatar.errors import AvatarError

_MODEL_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}\.part")  # of `stored.StoredFile.draft`
_INCOMING = re.compile(r"\.incoming-[0-9a-f]{8}")  # folders of `library.Library.add`


def sweep() -> list[Path]:
    """Remove old drafts and return their paths. Never fails: what cannot be removed stays."""
    return [path for path in _drafts() if remove_stale(path)]


def _drafts() -> Iterator[Path]:
    from avatar.library import library_folder
    from avatar.manifest import read_manifest
    from avatar.settings import settings_path
    from avatar.weights import models_folder

    models, library = models_folder(), library_folder()
    yield from _named(models, _MODEL_DRAFT)
    with contextlib.suppress(AvatarError):  # a manifest that cannot be read
        yield from (models / f"{weight.file}.part" for weight in read_manifest().values())
    avatars = [entry for entry in _entries(library) if entry.is_dir() and not entry.name.startswith(".")]
    for folder in (library, *avatars):
        yield from _named(folder, PART)
    yield from _named(library, _INCOMING)
    settings = settings_path()  # in a folder that may hold others' files
    yield from (path for path in _named(settings.parent, PART) if path.name.startswith(f".{settings.name}."))


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [path for path in _entries(folder) if pattern.fullmatch(path.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not made yet, or not ours to read
        return []
