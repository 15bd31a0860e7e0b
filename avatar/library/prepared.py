"""Prepared portraits on disk, so that an avatar that was shown once is there at once after a restart."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

from avatar import __version__
from avatar.system.atomic import remove_stale_parts, replacing
from avatar.system.limits import MAX_PREPARED_BYTES
from avatar.system.tree_file import UnfitError, pack, read

logger = logging.getLogger(__name__)

MAX_BYTES = 512 * 2**20  # of all; the one that was not used for longest goes first
SUFFIX = ".prepared"
# Whose classes a file may name, and whose code a prepared portrait depends on.
_RECORDS = ("avatar.engines", "avatar.images.box", "avatar.live.live_engine", "avatar.motion", "avatar.tracking")
_CODE = ("engines", "images", "live/live_engine.py", "motion", "portrait", "tracking", "models")


def prepared_folder() -> Path:
    """Return the folder of prepared portraits: MASQUE_PREPARED, otherwise in the user's cache folder."""
    if override := os.environ.get("MASQUE_PREPARED"):
        return Path(override).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("masque", appauthor=False)) / "prepared"


class PreparedStore:
    """A folder of prepared portraits; nothing that is wrong with it is worth an error. Used on one thread."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or prepared_folder()

    def find(self, key: object, image: Path | None = None) -> Any | None:
        """Return the portrait for a key; None: it is not here, damaged, or of another version.

        Args:
            key: everything that the portrait depends on.
            image: the file of which it was made, by which `forget` finds it.
        """
        path = self._path(key, image)
        try:
            found = read(path, _RECORDS)
        except FileNotFoundError:
            return None
        except (OSError, UnfitError, ImportError) as error:
            logger.debug("%s cannot be used: %s", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def has(self, key: object, image: Path | None = None) -> bool:
        """Return whether there is a file for a key."""
        return self._path(key, image).is_file()

    def keep(self, key: object, portrait: Any, image: Path | None = None) -> None:
        """Write a portrait, and remove those that no longer fit in. What cannot be written is not kept.

        Nor is what was made of an image that is gone, because its avatar was removed meanwhile.
        """
        path = self._path(key, image)
        try:
            content = pack(portrait)
            if len(content) > MAX_PREPARED_BYTES:
                return
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            remove_stale_parts(path)
            with replacing(path) as part:
                part.write_bytes(content)
                part.chmod(0o600)
            if image is not None and not image.is_file():
                self.forget(image)
            self._shrink()
        except (OSError, UnfitError) as error:
            logger.debug("The portrait is not kept: %s", error)

    def forget(self, image: Path) -> None:
        """Remove all that was made of an image file; any thread."""
        for path in self._files(f"{_group(image)}-"):
            with contextlib.suppress(OSError):
                path.unlink()

    def clear(self) -> None:
        """Remove all of them."""
        for path in self._files():
            with contextlib.suppress(OSError):
                path.unlink()

    def _path(self, key: object, image: Path | None = None) -> Path:
        name = hashlib.sha256(f"{_code_digest()} {key!r}".encode()).hexdigest()[:32]
        return self.folder / f"{_group(image)}-{name}{SUFFIX}"

    def _shrink(self) -> None:
        facts = []
        for path in self._files():
            with contextlib.suppress(OSError):
                facts.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(size for _, size, _ in facts)
        for _, size, path in sorted(facts, key=lambda each: each[0]):
            if total <= MAX_BYTES:
                return
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size

    def _files(self, beginning: str = "") -> list[Path]:
        with contextlib.suppress(OSError):
            return list(self.folder.glob(f"{beginning}*{SUFFIX}"))
        return []


def _group(image: Path | None) -> str:
    """Return how the files of an image begin; its path cannot be read from that."""
    return hashlib.sha256(os.fsencode(image.absolute())).hexdigest()[:16] if image is not None else "0"


@functools.cache
def _code_digest() -> str:
    """Return what tells this version from others that prepare in another way: its code, NumPy and OpenCV."""
    import numpy as np

    from avatar.cv import cv2

    digest = hashlib.sha256(f"{__version__} {np.__version__} {cv2.__version__}".encode())
    root = Path(__file__).parents[1]
    for name in _CODE:
        place = root / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
