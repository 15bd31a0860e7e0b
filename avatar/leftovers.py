"""Takes away what killed jobs left behind: drafts that nobody writes to any more, in the folders that are Masque's.

Each kind of draft has a name that nothing else has, and is left alone for a day after it was last written to; so no
running job loses one. An unfinished download is there to be resumed and stays for a week.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from avatar.atomic import PART
from avatar.errors import AvatarError
from avatar.limits import STALE_DOWNLOAD_S, STALE_DRAFT_S

_MODEL_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}\.part")  # of `stored.StoredFile.draft`
_INCOMING = re.compile(r"\.incoming-[0-9a-f]{8}")  # folders of `library.Library.add`


def sweep() -> list[Path]:
    """Remove old drafts and return their paths. Never fails: what cannot be removed stays."""
    gone = []
    for path, stale_s in _drafts():
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > stale_s:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                gone.append(path)
    return gone


def _drafts() -> Iterator[tuple[Path, float]]:
    from avatar.library import library_folder
    from avatar.manifest import read_manifest
    from avatar.settings import settings_path
    from avatar.weights import models_folder

    models, library = models_folder(), library_folder()
    yield from ((path, STALE_DRAFT_S) for path in _named(models, _MODEL_DRAFT))
    with contextlib.suppress(AvatarError):  # a manifest that cannot be read
        yield from ((models / f"{weight.file}.part", STALE_DOWNLOAD_S) for weight in read_manifest().values())
    avatars = [entry for entry in _entries(library) if entry.is_dir() and not entry.name.startswith(".")]
    for folder in (library, *avatars):
        yield from ((path, STALE_DRAFT_S) for path in _named(folder, PART))
    yield from ((path, STALE_DRAFT_S) for path in _named(library, _INCOMING))
    settings = settings_path()  # in a folder that may hold others' files
    drafts = _named(settings.parent, PART)
    yield from ((path, STALE_DRAFT_S) for path in drafts if path.name.startswith(f".{settings.name}."))


def _named(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [path for path in _entries(folder) if pattern.fullmatch(path.name)]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not made yet, or not ours to read
        return []
