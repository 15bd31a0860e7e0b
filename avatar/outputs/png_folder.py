"""A folder of numbered PNG frames that appears whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from avatar.atomic import flush_to_disk, part_path
from avatar.frames import RgbImage
from avatar.images import encode_png
from avatar.outputs.target import refuse_foreign_folder, write_errors_explained
from avatar.outputs.writer import AbortsUnlessCommitted


class PngFolderWriter(AbortsUnlessCommitted):
    """Writes 000000.png, 000001.png, ... into a hidden folder beside the target, then renames it."""

    def __init__(self, target: Path) -> None:
        """Make the hidden folder. Raises OutputError."""
        refuse_foreign_folder(target)
        self._target = target.resolve()
        self._part = part_path(self._target)
        self._count = 0
        self.notes: list[str] = []
        with write_errors_explained(target):
            self._part.mkdir()

    def write(self, rgb: RgbImage, time_s: float) -> None:
        """Add a frame; a folder of pictures keeps their order but not their times."""
        coded = encode_png(rgb)
        with write_errors_explained(self._target):
            (self._part / f"{self._count:06d}.png").write_bytes(coded)
        self._count += 1

    def commit(self, end_s: float | None = None) -> None:
        """Put the folder in place of an older one."""
        refuse_foreign_folder(self._target)  # somebody may have put something there meanwhile
        older = part_path(self._target)
        with write_errors_explained(self._target):
            for path in self._part.iterdir():
                flush_to_disk(path)
            if self._target.exists():
                self._target.rename(older)
            try:
                self._part.rename(self._target)
            except OSError:
                if older.exists():
                    older.rename(self._target)
                raise
        shutil.rmtree(older, ignore_errors=True)

    def abort(self) -> None:
        """Remove the hidden folder."""
        shutil.rmtree(self._part, ignore_errors=True)
